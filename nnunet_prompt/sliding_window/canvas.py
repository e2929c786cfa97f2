"""Where the tiles of one label are put together, and where its mask runs out of what was computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nnunet_prompt.prompts.checks import Shape
from nnunet_prompt.prompts.encode import Window
from nnunet_prompt.prompts.spans import (
    Spans,
    intersection,
    is_empty,
    slices_in,
    spans_at,
    spans_of,
    union,
)
from nnunet_prompt.sliding_window.tiles import Boxes

NOTHING = -30.0  # the object's logit where no tile was run; its sigmoid is zero for all purposes
TOUCH = 1 / 1000  # the share of a tile's face that a mask must cover to count as touching it


@dataclass(frozen=True, slots=True, eq=False)
class LabelLogits:
    """The logits of one label, float32 on the CPU, in a part of the grid that begins at `origin`; elsewhere `NOTHING`.

    `tiles` is how many tiles were run for it, `grown` how many of them because the mask touched the border, and
    `windows` the tiles that were planned around its prompts.
    """

    origin: Shape
    logits: Tensor
    tiles: int = 0
    grown: int = 0
    windows: tuple[Window, ...] = ()

    @property
    def box(self) -> Spans:
        """Where it lies in the grid; empty spans where nothing was computed."""
        return spans_at(self.origin, self.logits.shape)

    def whole(self, shape: Shape) -> Tensor:
        """The logits of the whole grid."""
        result = torch.full(shape, NOTHING)
        result[slices_in(self.box, spans_of(shape))] = self.logits
        return result


class Canvas:
    """Sums (heads, *part) and weights of one label's tiles on a grid of `shape`, as large as the tiles need."""

    def __init__(self, shape: Shape, heads: int = 1) -> None:
        self.shape = shape
        self.box: Spans = [(0, 0), (0, 0), (0, 0)]
        self.sums = torch.zeros(heads, 0, 0, 0)
        self.weights = torch.zeros(0, 0, 0)
        self.windows: list[Window] = []

    def reserve(self, windows: Sequence[Window]) -> None:
        """Makes room for these tiles, as far as they lie in the volume."""
        boxes = [spans for w in windows if not is_empty(spans := self._inside(w))]
        if not boxes:
            return
        if self.sums.numel():
            boxes.append(self.box)
        box = union(boxes)
        if box == self.box:
            return
        before, here = (self.sums, self.weights), slices_in(self.box, box)
        size = [high - low for low, high in box]
        self.sums, self.weights = torch.zeros(len(self.sums), *size), torch.zeros(size)
        if before[0].numel():
            self.sums[(slice(None), *here)], self.weights[here] = before
        self.box = box

    def add(self, logits: Tensor, window: Window, importance: Tensor) -> None:
        """Adds a tile (heads, *tile), weighted, where it lies inside the volume; `reserve` comes first."""
        spans = self._inside(window)
        if not is_empty(spans):
            here, there = slices_in(spans, window.spans), slices_in(spans, self.box)
            self.sums[(slice(None), *there)] += logits[(slice(None), *here)] * importance[here]
            self.weights[there] += importance[here]
        self.windows.append(window)

    def mask(self, window: Window) -> npt.NDArray[np.bool_]:
        """The mask in a window, where the probability is above one half, boolean with the window's shape."""
        mask = np.zeros(window.shape, bool)
        spans = intersection(self._inside(window), self.box)
        if not is_empty(spans):
            part = self.sums[0][slices_in(spans, self.box)]
            mask[slices_in(spans, window.spans)] = (part > 0).numpy()
        return mask

    def beyond(self, windows: Sequence[Window]) -> Boxes:
        """The regions next to these tiles where the mask touches their faces and no tile has been, half a tile deep.

        Faces on the border of the volume do not count, nor those across slices of a 2d configuration.
        """
        found = [
            box
            for window in windows
            for axis in range(3)
            if window.shape[axis] > 1
            for step in (-1, 1)
            if (box := self._beyond(window, axis, step)) is not None
        ]
        return np.array(found, np.int64).reshape(-1, 3, 2)

    def logits(self) -> Tensor:
        """The weighted mean of the tiles, (heads, *part). It takes the place of the sums: call it last."""
        # in the corner of a tile nnU-Net's Gaussian is below 1e-9: only what no tile has covered is zero
        return self.sums.div_(self.weights).masked_fill_(self.weights == 0, NOTHING)

    def label_logits(self, first: int, planned: Sequence[Window]) -> LabelLogits:
        """The result, with the first head's logits; the tiles after the `first` ones were added. Call it last."""
        (z, _), (y, _), (x, _) = self.box
        tiles = len(self.windows)
        return LabelLogits((z, y, x), self.logits()[0], tiles, tiles - first, tuple(planned))

    def _beyond(self, window: Window, axis: int, step: int) -> Spans | None:
        spans = self._inside(window)
        plane = spans[axis][1] - 1 if step > 0 else spans[axis][0]
        if is_empty(spans) or not 0 <= plane + step < self.shape[axis]:
            return None
        face = [*spans]
        face[axis] = (plane, plane + 1)
        touching = self.sums[0][slices_in(face, self.box)] > 0
        face[axis] = (plane + step, plane + step + 1)
        if self.box[axis][0] <= plane + step < self.box[axis][1]:
            touching &= self.weights[slices_in(face, self.box)] == 0
        where = np.argwhere(touching.numpy())
        if len(where) <= touching.numel() * TOUCH:
            return None
        box = [
            (low + int(where[:, a].min()), low + int(where[:, a].max()) + 1)
            for a, (low, _) in enumerate(spans)
        ]
        deep = -(-window.shape[axis] // 2)
        box[axis] = (plane + 1, plane + 1 + deep) if step > 0 else (plane - deep, plane)
        return box

    def _inside(self, window: Window) -> Spans:
        return intersection(window.spans, spans_of(self.shape))
