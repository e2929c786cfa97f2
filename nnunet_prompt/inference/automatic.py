"""The automatic pass of one case: from its image on the grid to labels in its file, some slices at a time.

Of K heads there is never more than what one row of tiles sums up, the slab that is finished, and a halo of one slice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nnunet_prompt.data.structures import StructureTable
from nnunet_prompt.inference.grid import Placed
from nnunet_prompt.inference.label_decoder import label_decoder
from nnunet_prompt.inference.level_files import LevelDecoder, LevelFiles, Levels, as_levels
from nnunet_prompt.inference.memory import is_out_of_memory, release
from nnunet_prompt.inference.merge import LabelMap, decode_structures
from nnunet_prompt.inference.places import Need, Place, places
from nnunet_prompt.inference.slab_chunks import HeadResampler, chunks, step_of
from nnunet_prompt.io.resources import return_large_blocks
from nnunet_prompt.prompts.frames import AxisMap
from nnunet_prompt.sliding_window.canvas import LabelLogits
from nnunet_prompt.sliding_window.lazy_image import DenseImage, LazyImage
from nnunet_prompt.sliding_window.rolling import Slab
from nnunet_prompt.sliding_window.sliding_window import Engine
from nnunet_prompt.sliding_window.structure_pass import TileCount
from nnunet_prompt.sliding_window.torch_resampling import resample_image

_LOG = logging.getLogger(__name__)
AT_ONCE = 4_000_000  # voxels of the image that are resampled and decoded at a time on a CPU
AT_ONCE_ON_DEVICE = 32_000_000


@dataclass(frozen=True, slots=True, eq=False)
class AutomaticPass:
    """A model's engine and structures, and its configuration's function that resamples logits."""

    engine: Engine
    table: StructureTable
    resampling: Callable[..., Any]

    def labels(
        self,
        case: Placed,
        wanted: Sequence[str],
        into: LabelMap,
        levels: LevelFiles | None = None,
    ) -> TileCount:
        """Writes official values into a label map (file frame) that is 0 so far; the structures wanted, or all.

        Probabilities go into `levels` where they are given. What the device's memory does not hold is kept on the CPU:
        decided before, and once more where it was not enough after all. Raises what `is_out_of_memory` knows if
        nothing is enough.
        """
        if self.engine.device.type == "cpu":
            return_large_blocks()
        tried = places(self.engine.device, self._need(case))
        for number, place in enumerate(tried, 1):
            count = TileCount()
            try:
                image = image_at(case, place.image)
                slabs = self.engine.structure_slabs(image, place.sums, count, dtype=torch.half)
                self._write(case, slabs, _Target(wanted, into, levels), place)
                return count
            except Exception as error:
                if number == len(tried) or not is_out_of_memory(error):
                    raise
            release()
            _LOG.warning(
                "out of memory %s: the case is run again %s",
                *(place.description, tried[number].description),
            )
        raise AssertionError("there is always a place")

    def _write(self, case: Placed, slabs: Iterable[Slab], target: _Target, place: Place) -> None:
        how = case.grid.linear(self.resampling)
        if how is None:
            self._write_whole(case, slabs, target)
            return
        keys = target.keys
        labels, resampler = label_decoder(self.table, target.wanted), HeadResampler(how, place.sums)
        levels = LevelDecoder([target.heads(key) for key in keys])
        voxels = AT_ONCE if place.sums.type == "cpu" else AT_ONCE_ON_DEVICE
        there = case.grid.inside(case.file_to_reader.apply(target.labels))
        for chunk in chunks(slabs, how, step_of(how.new_shape, voxels)):
            here = slice(*chunk.span)
            there[here] = labels(chunk, resampler)
            for key, found in zip(keys, levels(chunk, resampler) if keys else (), strict=True):
                case.grid.inside(case.file_to_reader.apply(target.map(key)))[here] = found
            del chunk  # it would stay in memory while the network is asked for the next

    def _write_whole(self, case: Placed, slabs: Iterable[Slab], target: _Target) -> None:
        """All logits at once: of another resampling it is not known what a slice depends on."""
        logits = torch.cat([slab.logits.cpu() for slab in slabs], 1)
        found = [LabelLogits((0, 0, 0), one) for one in logits]

        def labels(here: Any, _: AxisMap) -> LabelMap:
            return decode_structures(here, self.table, target.wanted)

        case.grid.paste(found, self.resampling, labels, case.file_to_reader.apply(target.labels))
        for key in target.keys:
            own = [found[label - 1] for label in target.heads(key)]
            there = case.file_to_reader.apply(target.map(key))
            case.grid.paste(own, self.resampling, as_levels, there)

    def _need(self, case: Placed) -> Need:
        patch = self.engine.patch_size
        height = patch[0] if len(patch) == 3 else 1
        slices = case.grid.to_crop.target_shape[0]
        image = case.image
        return Need(image.channels, image.shape, slices, len(self.table.structures), height)


@dataclass(frozen=True, slots=True, eq=False)
class _Target:
    """The structures wanted, and where labels and probabilities go (file frame)."""

    wanted: Sequence[str]
    labels: LabelMap
    levels: LevelFiles | None

    @property
    def keys(self) -> Sequence[str]:
        return [] if self.levels is None else self.levels.keys

    def heads(self, key: str) -> Sequence[int]:
        assert self.levels is not None  # it has keys
        return self.levels.heads[key]

    def map(self, key: str) -> Levels:
        assert self.levels is not None
        return self.levels.levels(key)


def image_at(case: Placed, device: torch.device) -> DenseImage:
    """The image of a case on its grid as a whole, on a device."""
    if isinstance(case.image, LazyImage):
        return resample_image(case.image, device)
    assert isinstance(case.image, DenseImage)  # there is no third kind
    return case.image.on(device)
