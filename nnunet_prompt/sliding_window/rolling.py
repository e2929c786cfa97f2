"""The sliding window of the automatic pass: sums of as many slices as a tile has, never of the volume.

    slices ->     |finished: given away|  sums of one row of tiles  |not touched yet|

Tiles come row by row along the first axis. Before a row is added, the slices that it and all later ones leave alone
are divided by their weights and given away, so that no more than the slices of one row of tiles exists of K heads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from nnunet_prompt.prompts.checks import Shape
from nnunet_prompt.prompts.encode import Window
from nnunet_prompt.prompts.spans import Spans, intersection, is_empty, slices_in, spans_of

Answers = Callable[[Sequence[Window]], Iterable[tuple[Window, Tensor]]]


@dataclass(frozen=True, slots=True, eq=False)
class Slab:
    """Mean logits (K, n, Y, X) of n finished slices, the first of which is `start`, where the sums are kept."""

    start: int
    logits: Tensor

    @property
    def stop(self) -> int:
        return self.start + int(self.logits.shape[1])


def rolling(
    shape: Shape, windows: Sequence[Window], answers: Answers, importance: Tensor
) -> Iterator[Slab]:
    """The weighted mean of all tiles, slab by slab along the first axis; together they are the volume.

    `windows` cover the volume and are sorted by the first number of their origins. `answers` gives the logits
    (K, *tile) of each of one row of them, in any order, on the device of `importance` (*tile), where sums are kept.
    """
    sums: _Sums | None = None
    for first, row in groupby(windows, key=lambda w: w.origin[0]):
        if sums is not None and (slab := sums.finish(first)) is not None:
            yield slab
        for window, logits in answers(list(row)):
            if sums is None:
                sums = _Sums(shape, window.shape[0], len(logits), importance.device)
            sums.add(logits, window, importance)
    if sums is not None and (slab := sums.finish(shape[0])) is not None:
        yield slab


class _Sums:
    """Sums (K, height, Y, X) and weights of the slices from `start` on."""

    def __init__(self, shape: Shape, height: int, heads: int, device: torch.device) -> None:
        size = (min(height, shape[0]), *shape[1:])
        self.shape, self.start = shape, 0
        self.sums = torch.zeros((heads, *size), device=device)
        self.weights = torch.zeros(size, device=device)

    def add(self, logits: Tensor, window: Window, importance: Tensor) -> None:
        spans = intersection(window.spans, spans_of(self.shape))
        if is_empty(spans):
            return
        here, there = slices_in(spans, window.spans), slices_in(spans, self._box)
        weights = importance[here]
        self.sums[(slice(None), *there)].addcmul_(logits[(slice(None), *here)], weights)
        self.weights[there] += weights

    def finish(self, stop: int) -> Slab | None:
        """The mean of the slices before `stop`, which are forgotten; None if there are none."""
        count = stop - self.start
        if count <= 0:
            return None
        # in the corner of a tile nnU-Net's Gaussian is below 1e-9, but never zero
        slab = Slab(self.start, self.sums[:, :count] / self.weights[:count])
        for volume in (*self.sums, self.weights):  # head by head, so that the copies are small
            kept = volume[count:].clone()
            volume[: len(kept)] = kept
            volume[len(kept) :] = 0
        self.start = stop
        return slab

    @property
    def _box(self) -> Spans:
        height = int(self.weights.shape[0])
        return [(self.start, self.start + height), (0, self.shape[1]), (0, self.shape[2])]
