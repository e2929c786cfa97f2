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
from nnunet_prompt.sliding_window.tiles import Boxes

NOTHING = -30.0  # the object's logit where no tile was run; its sigmoid is zero for all purposes
TOUCH = 1 / 1000  # the share of a tile's face that a mask must cover to count as touching it
Spans = list[tuple[int, int]]


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
        return [(o, o + n) for o, n in zip(self.origin, self.logits.shape, strict=True)]

    def whole(self, shape: Shape) -> Tensor:
        """The logits of the whole grid."""
        result = torch.full(shape, NOTHING)
        result[tuple(slice(low, high) for low, high in self.box)] = self.logits
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
        boxes = [spans for w in windows if _size(spans := self._inside(w))]
        if not boxes:
            return
        if self.sums.numel():
            boxes.append(self.box)
        box = [(min(b[a][0] for b in boxes), max(b[a][1] for b in boxes)) for a in range(3)]
        if box == self.box:
            return
        before, here = (self.sums, self.weights), _slices(self.box, box)
        size = [high - low for low, high in box]
        self.sums, self.weights = torch.zeros(len(self.sums), *size), torch.zeros(size)
        if before[0].numel():
            self.sums[(slice(None), *here)], self.weights[here] = before
        self.box = box

    def add(self, logits: Tensor, window: Window, importance: Tensor) -> None:
        """Adds a tile (heads, *tile), weighted, where it lies inside the volume; `reserve` comes first."""
        spans = self._inside(window)
        if _size(spans):
            tile = [(o, o + n) for o, n in zip(window.origin, window.shape, strict=True)]
            here, there = _slices(spans, tile), _slices(spans, self.box)
            self.sums[(slice(None), *there)] += logits[(slice(None), *here)] * importance[here]
            self.weights[there] += importance[here]
        self.windows.append(window)

    def mask(self, window: Window) -> npt.NDArray[np.bool_]:
        """The mask in a window, where the probability is above one half, boolean with the window's shape."""
        mask = np.zeros(window.shape, bool)
        spans = [
            (max(a, low), min(b, high))
            for (a, b), (low, high) in zip(self._inside(window), self.box, strict=True)
        ]
        if all(low < high for low, high in spans):
            tile = [(o, o + n) for o, n in zip(window.origin, window.shape, strict=True)]
            mask[_slices(spans, tile)] = (self.sums[0][_slices(spans, self.box)] > 0).numpy()
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
        if not _size(spans) or not 0 <= plane + step < self.shape[axis]:
            return None
        face = [*spans]
        face[axis] = (plane, plane + 1)
        touching = self.sums[0][_slices(face, self.box)] > 0
        face[axis] = (plane + step, plane + step + 1)
        if self.box[axis][0] <= plane + step < self.box[axis][1]:
            touching &= self.weights[_slices(face, self.box)] == 0
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
        return [
            (max(o, 0), min(o + n, size))
            for o, n, size in zip(window.origin, window.shape, self.shape, strict=True)
        ]


def _size(spans: Spans) -> int:
    a, b, c = (max(high - low, 0) for low, high in spans)
    return a * b * c


def _slices(spans: Spans, within: Spans) -> tuple[slice, ...]:
    """Slices of the array that lies at `within`."""
    return tuple(
        slice(low - start, high - start)
        for (low, high), (start, _) in zip(spans, within, strict=True)
    )
