"""From the reader frame to the network's grid and back, as nnU-Net's preprocessing does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nnunet_prompt.inference.merge import LabelMap
from nnunet_prompt.prompts.checks import Shape
from nnunet_prompt.prompts.frames import AxisMap, crop, flip_permute, resample
from nnunet_prompt.prompts.spans import intersection, is_empty, slices_in, union
from nnunet_prompt.sliding_window.canvas import NOTHING, LabelLogits
from nnunet_prompt.sliding_window.lazy_image import GridImage
from nnunet_prompt.sliding_window.resampling import Resampler
from nnunet_prompt.sliding_window.resampling import resampler as linear

SLAB = 4_000_000  # logits that are resampled and decoded at a time
Decode = Callable[[npt.NDArray[np.floating[Any]], AxisMap], LabelMap]


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """How one case got from the reader frame to the grid.

    `to_crop` permutes and crops, `to_grid` resamples as well; spacings are in mm, in the grid's axis order.
    """

    to_crop: AxisMap
    to_grid: AxisMap
    crop_spacing: tuple[float, ...]
    grid_spacing: tuple[float, ...]
    bounds: tuple[tuple[int, int], ...]

    def restore(self, logits: Tensor, resampler: Callable[..., Any], decode: Decode) -> LabelMap:
        """The label map in the reader frame; zero outside nnU-Net's crop.

        `logits` (L, *grid) are resampled to the crop as nnU-Net's `resampler` does it before `decode` makes of them
        labels; `decode` is given the map from its part of the crop to the reader frame.
        """
        labels = np.zeros(self.to_crop.source_shape, np.int32)
        self.paste([LabelLogits((0, 0, 0), one) for one in logits], resampler, decode, labels)
        return labels

    def inside(self, labels: LabelMap) -> LabelMap:
        """The part of a label map in the reader frame that nnU-Net's crop holds, in the grid's axis order; a view."""
        box = tuple(slice(low, high) for low, high in self.bounds)
        return labels.transpose(self.to_crop.axes)[box]

    def linear(self, resampler: Callable[..., Any]) -> Resampler | None:
        """How logits get from the grid to the crop, where that is linear and cannot leave the range of its values."""
        shapes = self.to_grid.target_shape, self.to_crop.target_shape
        how = linear(resampler, *shapes, self.grid_spacing, self.crop_spacing)
        return None if how is None or how.clips else how

    def paste(
        self,
        answers: Sequence[LabelLogits],
        resampler: Callable[..., Any],
        decode: Decode,
        labels: LabelMap,
    ) -> None:
        """Writes what was found of each label into a label map in the reader frame, and nothing elsewhere.

        Only the part of the crop that the logits reach is resampled, some slices at a time, because `decode` looks at
        one voxel at a time; what lies outside a label's logits counts as `NOTHING`. Changes `labels` in place.
        """
        crop_shape, grid_shape = self.to_crop.target_shape, self.to_grid.target_shape
        target = self.inside(labels)
        how = self.linear(resampler)
        if how is None:
            if any(f.logits.numel() for f in answers):
                whole = torch.stack([f.whole(grid_shape) for f in answers])
                there = resampler(whole, crop_shape, self.grid_spacing, self.crop_spacing)
                target[...] = decode(np.asarray(there), self.to_crop.inverse())
            return
        for box in _slabs(answers, how):
            logits = np.stack([_part(f, how, box) for f in answers])
            here = crop(crop_shape, box)
            target[tuple(slice(low, high) for low, high in box)] = decode(
                logits, here.inverse().then(self.to_crop.inverse())
            )


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """One case, preprocessed: its image on the grid and how it got there from the file of its first channel."""

    image: GridImage
    grid: Grid
    file_to_reader: AxisMap
    file_to_pls: AxisMap

    @property
    def file_shape(self) -> Shape:
        return self.file_to_reader.source_shape


def grid_of(
    properties: Mapping[str, Any],
    transpose_forward: Sequence[int],
    grid: Shape,
    spacing: Sequence[float],
) -> Grid:
    """The maps of one case from nnU-Net's `properties` after preprocessing.

    `spacing` is the configuration's: three numbers, or two for a 2d configuration, which keeps the slices.
    """
    transposed: Shape = tuple(int(n) for n in properties["shape_before_cropping"])  # type: ignore[assignment]
    back = np.argsort(transpose_forward)
    reader: Shape = tuple(transposed[i] for i in back)  # type: ignore[assignment]
    bounds = tuple((int(a), int(b)) for a, b in properties["bbox_used_for_cropping"])
    permuted = flip_permute(list(transpose_forward), (False, False, False), reader)
    cropped = permuted.then(crop(transposed, bounds))
    here = tuple(float(properties["spacing"][i]) for i in transpose_forward)
    there = tuple(float(s) for s in spacing)
    return Grid(
        to_crop=cropped,
        to_grid=cropped.then(resample(cropped.target_shape, grid)),
        crop_spacing=here,
        grid_spacing=(here[0], *there) if len(there) == 2 else there,
        bounds=bounds,
    )


def _slabs(found: Sequence[LabelLogits], how: Resampler) -> Iterator[list[tuple[int, int]]]:
    """Boxes of the crop that together hold all that the logits reach, none with too many logits for the memory."""
    reached = [how.reached(f.box) for f in found]
    boxes = [box for box in reached if not is_empty(box)]
    if not boxes:
        return
    (low, high), *rest = union(boxes)
    slice_size = len(found) * int(np.prod([b - a for a, b in rest]))
    step = max(1, SLAB // max(slice_size, 1))
    for start in range(low, high, step):
        yield [(start, min(start + step, high)), *rest]


def _part(
    found: LabelLogits, how: Resampler, box: Sequence[tuple[int, int]]
) -> npt.NDArray[np.float32]:
    """The logits of one label in a box of the crop."""
    part = np.full([b - a for a, b in box], NOTHING, np.float32)
    reached = how.reached(found.box)  # nothing by nothing
    here = intersection(box, reached)
    if is_empty(here):
        return part
    # the rows of a resampling sum up to one, so that what is zero outside is NOTHING outside
    logits = (
        found.logits.numpy()[slices_in(how.source(here), found.box)].astype(np.float64) - NOTHING
    )
    origin = [max(o, a) for o, (a, _) in zip(found.origin, how.source(here), strict=True)]
    part[slices_in(here, box)] = how.part(logits, origin, here) + NOTHING
    return part
