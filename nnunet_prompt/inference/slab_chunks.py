"""From slabs of the network's grid to slices of the image: what the next slices need is kept, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nnunet_prompt.prompts.spans import Spans, is_empty
from nnunet_prompt.sliding_window.resampling import Resampler, Span
from nnunet_prompt.sliding_window.rolling import Slab
from nnunet_prompt.sliding_window.torch_resampling import Matrices


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Logits (K, n, Y, X) of the grid, from its slice `start` on, that the slices `span` of the crop depend on."""

    start: int
    logits: Tensor
    span: Span


def chunks(slabs: Iterable[Slab], how: Resampler, step: int) -> Iterator[Chunk]:
    """All slices of the crop in order, `step` at a time or fewer, each as soon as what it depends on is there."""
    used = how.matrices[0] != 0
    first = used.argmax(1)
    last = used.shape[1] - 1 - used[:, ::-1].argmax(1)
    done, kept = 0, None
    for slab in slabs:
        block = slab.logits if kept is None else torch.cat([kept, slab.logits], 1)
        end_of_block = slab.stop
        del slab  # it would stay in memory while the next one is made
        origin = end_of_block - int(block.shape[1])
        waiting = np.flatnonzero(last[done:] >= end_of_block)
        stop = done + int(waiting[0]) if waiting.size else len(first)
        for low in range(done, stop, step):
            high = min(low + step, stop)
            start, end = int(first[low:high].min()), int(last[low:high].max()) + 1
            yield Chunk(start, block[:, start - origin : end - origin], (low, high))
        done = stop
        if done < len(first):
            kept = block[:, int(first[done:].min()) - origin :].clone()
        del block


class HeadResampler:
    """Resamples one head of a chunk, where it is above a threshold."""

    def __init__(self, how: Resampler, device: torch.device) -> None:
        self.how, self.matrices = how, Matrices(how, device)
        self.everywhere = device.type != "cpu"  # a box would have to be read from the device

    def above(self, chunk: Chunk, head: int, threshold: float) -> tuple[Spans, Tensor] | None:
        """A box of the crop and the logits in it; outside, in the chunk's slices, they are not above the threshold.

        The rows of linear resampling are weights that sum up to one: what depends on nothing above a threshold is not
        above it. None where nothing is.
        """
        logits = chunk.logits[head]
        plane: Spans = [(0, int(n)) for n in logits.shape[1:]]
        if not self.everywhere:
            high = logits.amax(0) > threshold
            plane = [_span(high.any(1)), _span(high.any(0))]
        if is_empty(plane):
            return None
        grid = [(chunk.start, chunk.start + int(logits.shape[0])), *plane]
        box = [chunk.span, *self.how.reached(grid)[1:]]
        if is_empty(box):
            return None
        source = [grid[0], *self.how.source(box)[1:]]
        (_, _), (y, y_end), (x, x_end) = source
        block = logits[:, y:y_end, x:x_end]
        return box, self.matrices.part(block, [low for low, _ in source], box)


def _span(used: Tensor) -> Span:
    where = used.nonzero()
    return (int(where[0]), int(where[-1]) + 1) if len(where) else (0, 0)


def step_of(shape: Sequence[int], voxels: int) -> int:
    """How many slices of a volume have no more than so many voxels; at least one."""
    return max(1, voxels // max(int(np.prod(shape[1:])), 1))
