"""Arithmetic of boxes of voxels: one half-open span (start, stop) per axis.

A box is empty if one of its spans is: then its start may lie behind its stop.
"""

from __future__ import annotations

from collections.abc import Sequence

Spans = list[tuple[int, int]]


def spans_at(origin: Sequence[int], shape: Sequence[int]) -> Spans:
    """The box of an array of `shape` whose first voxel is at `origin`."""
    return [(o, o + n) for o, n in zip(origin, shape, strict=True)]


def spans_of(shape: Sequence[int]) -> Spans:
    """The box of an array that begins at 0."""
    return [(0, n) for n in shape]


def is_empty(box: Sequence[tuple[int, int]]) -> bool:
    """Whether a box holds no voxel."""
    return any(start >= stop for start, stop in box)


def intersection(a: Sequence[tuple[int, int]], b: Sequence[tuple[int, int]]) -> Spans:
    """The part of two boxes that lies in both; empty where they do not meet."""
    return [
        (max(start, other), min(stop, end))
        for (start, stop), (other, end) in zip(a, b, strict=True)
    ]


def union(boxes: Sequence[Sequence[tuple[int, int]]]) -> Spans:
    """The smallest box that holds these, none of which is empty; an empty one of three axes for no box."""
    if not boxes:
        return [(0, 0)] * 3
    axes = zip(*boxes, strict=True)
    return [(min(a for a, _ in spans), max(b for _, b in spans)) for spans in axes]


def slices_in(
    box: Sequence[tuple[int, int]], outer: Sequence[tuple[int, int]]
) -> tuple[slice, ...]:
    """Slices of an array that lies at `outer`: its part in `box`, nothing where they do not meet."""
    return tuple(
        slice(max(low, start) - start, max(min(high, end), start) - start)
        for (low, high), (start, end) in zip(box, outer, strict=True)
    )
