"""The sliding window of the automatic pass: sums of as many slices as a tile has, never of the volume.

    slices ->     |finished: given away|  means of one row of tiles |not touched yet|

Tiles come row by row along the first axis. Before a row is added, the slices that it and all later ones leave alone
are given away, so that no more than the slices of one row of tiles exists of K heads.

Not sums are kept but the weighted mean of the tiles so far, which moves to each new one by its share of the weights:
mean + (logits - mean) x weight / (sum of weights). In 16 bits, as nnU-Net keeps its sums, an error is then a share of
the logit, wherever in a tile it lies, and none near zero, where masks end.
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

AT_ONCE = 8_000_000  # logits of a slab on the CPU; a GPU gains from larger ones
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
    shape: Shape,
    windows: Sequence[Window],
    answers: Answers,
    importance: Tensor,
    dtype: torch.dtype = torch.float32,
) -> Iterator[Slab]:
    """The weighted mean of all tiles, slab by slab along the first axis; together they are the volume.

    `windows` cover the volume and are sorted by the first number of their origins. `answers` gives the logits
    (K, *tile) of each of one row of them, in any order, on the device of `importance` (*tile), where means are kept,
    in `dtype`; slabs are float32.
    """
    means: _Means | None = None
    for first, row in groupby(windows, key=lambda w: w.origin[0]):
        if means is not None:
            yield from means.finish(first)
        for window, logits in answers(list(row)):
            if means is None:
                means = _Means(shape, window.shape[0], len(logits), importance.device, dtype)
            means.add(logits, window, importance)
    if means is not None:
        yield from means.finish(shape[0])


class _Means:
    """Means (K, height, Y, X) and sums of weights of the slices from `start` on."""

    def __init__(
        self, shape: Shape, height: int, heads: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        size = (min(height, shape[0]), *shape[1:])
        self.shape, self.start = shape, 0
        self.means = torch.zeros((heads, *size), device=device, dtype=dtype)
        self.weights = torch.zeros(size, device=device)

    def add(self, logits: Tensor, window: Window, importance: Tensor) -> None:
        spans = intersection(window.spans, spans_of(self.shape))
        if is_empty(spans):
            return
        here, there = slices_in(spans, window.spans), slices_in(spans, self._box)
        self.weights[there] += importance[here]
        dtype = self.means.dtype
        # in the corner of a tile nnU-Net's Gaussian is below 1e-9, but never zero
        share = (importance[here] / self.weights[there]).to(dtype)
        for mean, own in zip(self.means, logits, strict=True):  # head by head: copies are small
            mean[there].lerp_(_fitting(own[here], dtype), share)

    def finish(self, stop: int) -> Iterator[Slab]:
        """The slices before `stop`, a few at a time, which are forgotten."""
        count = stop - self.start
        if count <= 0:
            return
        step = max(1, AT_ONCE // max(self.means[:, 0].numel(), 1))
        if self.means.device.type != "cpu":
            step = count
        for low in range(0, count, step):
            high = min(low + step, count)
            own = self.start + low
            yield Slab(own, self.means[:, low:high].to(torch.float32, copy=True))
        for volume in (*self.means, self.weights):
            kept = volume[count:].clone()
            volume[: len(kept)] = kept
            volume[len(kept) :] = 0
        self.start = stop

    @property
    def _box(self) -> Spans:
        height = int(self.weights.shape[0])
        return [(self.start, self.start + height), (0, self.shape[1]), (0, self.shape[2])]


def _fitting(logits: Tensor, dtype: torch.dtype) -> Tensor:
    """Logits in another type, none of them infinite there."""
    if dtype == logits.dtype:
        return logits
    most = torch.finfo(dtype).max
    return logits.clamp(-most, most).to(dtype)
