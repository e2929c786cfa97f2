"""Object logits on the file grid, before they are merged: so several images of a case become one mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.inference.merge import LabelMap
from nnunet_prompt.prompts.checks import Shape
from nnunet_prompt.prompts.frames import AxisMap, flip_permute
from nnunet_prompt.prompts.spans import Spans, slices_in, spans_at, union
from nnunet_prompt.prompts.types import Box

if TYPE_CHECKING:
    from nnunet_prompt.inference.grid import Placed
    from nnunet_prompt.sliding_window.canvas import LabelLogits


@dataclass(frozen=True, slots=True, eq=False)
class ObjectLogits:
    """The object head's logits (L, *part), float32, in the order of `labels`, where the part begins at `origin`.

    All is in the file frame. Outside the part no label is; it has no voxels where nothing was found. `seen` is where
    the image holds anything: nnU-Net's crop to what is not zero, one half-open span per axis.
    """

    labels: tuple[int, ...]
    origin: Shape
    logits: npt.NDArray[np.float32]
    seen: Spans

    @property
    def box(self) -> Spans:
        """Where the part lies, one half-open span per axis."""
        return spans_at(self.origin, self.logits.shape[1:])


def on_file(
    case: Placed, answers: Mapping[int, LabelLogits], resampler: Callable[..., Any]
) -> ObjectLogits:
    """Resamples the logits of each label to the file grid, as for a label map, with nnU-Net's `resampler`."""
    from nnunet_prompt.sliding_window.canvas import NOTHING

    to_file = case.file_to_reader.inverse()
    parts: list[tuple[Spans, npt.NDArray[np.float32]]] = []

    def keep(logits: npt.NDArray[Any], from_crop: AxisMap) -> LabelMap:
        here = from_crop.then(to_file)
        turn = flip_permute(here.axes, [k < 0 for k in here.scale], here.source_shape)
        parts.append((_reach(here), turn.apply(np.asarray(logits, np.float32))))
        return np.broadcast_to(np.uint8(0), here.source_shape)

    nowhere = np.zeros(case.file_to_reader.target_shape, np.uint8)
    case.grid.paste(list(answers.values()), resampler, keep, nowhere)
    box = union([spans for spans, _ in parts])
    whole = np.full((len(answers), *(b - a for a, b in box)), NOTHING, np.float32)
    for spans, part in parts:
        whole[(slice(None), *slices_in(spans, box))] = part
    (x, _), (y, _), (z, _) = box
    seen = _reach(case.grid.to_crop.inverse().then(to_file))
    return ObjectLogits(tuple(answers), (x, y, z), whole, seen)


def _reach(to_file: AxisMap) -> Spans:
    """Where all of the map's source lies."""
    box = to_file.box(Box((0, 0, 0), to_file.source_shape))
    return [(int(a), int(b)) for a, b in zip(box.lower, box.upper, strict=True)]
