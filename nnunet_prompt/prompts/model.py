"""What a prompt is.

Coordinates are voxel indices of one array, in the order of its three axes; index i is the centre of the interval
[i - 0.5, i + 0.5]. A prompt belongs to that array: to use it with another one, move it there with
`nnunet_prompt.prompts.frames`. Arrays of two axes are treated as one slice, `(1, Y, X)`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from nnunet_prompt.errors import PromptError

Coordinate = tuple[float, float, float]
Shape = tuple[int, int, int]
BoolArray = npt.NDArray[np.bool_]

VOXEL: Coordinate = (0.5, 0.5, 0.5)


@dataclass(frozen=True, slots=True)
class Point:
    """A click at `position`. `extent` is half the size of what was clicked, one voxel of the array of its birth.

    The extent grows when the point moves to a finer grid, so that a click on a 12 mm slice stays 12 mm thick.
    """

    position: Coordinate
    positive: bool = True
    extent: Coordinate = VOXEL

    def __post_init__(self) -> None:
        _check_finite("point", self.position)


@dataclass(frozen=True, slots=True)
class Box:
    """A box, half-open in voxel indices: it covers lower <= i < upper, with its edges at lower-0.5 and upper-0.5.

    A 2D box is a box of one slice.
    """

    lower: Coordinate
    upper: Coordinate
    positive: bool = True

    def __post_init__(self) -> None:
        _check_finite("box", self.lower + self.upper)
        if not all(a < b for a, b in zip(self.lower, self.upper, strict=True)):
            raise PromptError(
                f"box: every lower corner must be below its upper corner, found {self.lower} and {self.upper}"
            )


@dataclass(frozen=True, slots=True)
class Scribble:
    """A polyline through `path`, at least one vertex."""

    path: tuple[Coordinate, ...]
    positive: bool = True
    extent: Coordinate = VOXEL

    def __post_init__(self) -> None:
        if not self.path:
            raise PromptError("scribble: a path needs at least one vertex, found none")
        for vertex in self.path:
            _check_finite("scribble", vertex)


@dataclass(frozen=True, slots=True, eq=False)
class PromptSet:
    """All that is said about one object: its points, boxes, scribbles and a rough mask.

    `mask` is boolean with the shape of the array that the set belongs to.
    """

    points: tuple[Point, ...] = ()
    boxes: tuple[Box, ...] = ()
    scribbles: tuple[Scribble, ...] = ()
    mask: BoolArray | None = None

    @property
    def empty(self) -> bool:
        """True if all seven channels would be zero everywhere."""
        no_mask = self.mask is None or not self.mask.any()
        return not (self.points or self.boxes or self.scribbles) and no_mask

    def with_negatives(self, others: Iterable[PromptSet]) -> PromptSet:
        """This set and, as negative points, the positive points of `others` (the other structures of the case)."""
        negatives = tuple(
            Point(p.position, False, p.extent)
            for other in others
            for p in other.points
            if p.positive
        )
        return PromptSet(self.points + negatives, self.boxes, self.scribbles, self.mask)

    def check_inside(self, shape: Shape) -> None:
        """Raises `PromptError` if a prompt lies outside an array of `shape`, or the mask has another shape."""
        for p in self.points:
            _check_inside("point", p.position, shape)
        for s in self.scribbles:
            for vertex in s.path:
                _check_inside("scribble vertex", vertex, shape)
        for b in self.boxes:
            if any(lo < 0 or hi > n for lo, hi, n in zip(b.lower, b.upper, shape, strict=True)):
                raise PromptError(
                    f"box {b.lower} to {b.upper} leaves the image, whose shape is {shape}"
                )
        if self.mask is not None and self.mask.shape != shape:
            raise PromptError(f"mask: expected the image's shape {shape}, found {self.mask.shape}")


FrameName = Literal["file", "PLS"]


@dataclass(frozen=True, slots=True, eq=False)
class CasePrompts:
    """The prompts of one case, per label id, in one frame of its image file.

    `slices` states which labels may appear in which slice along `slice_axis` of the PLS frame; slices that it does
    not name stay empty. None means that there is no such rule.
    """

    labels: Mapping[int, PromptSet] = field(default_factory=dict)
    frame: FrameName = "file"
    slices: Mapping[int, frozenset[int]] | None = None
    slice_axis: int = 2


def _check_finite(kind: str, values: tuple[float, ...]) -> None:
    if not all(math.isfinite(v) for v in values):
        raise PromptError(f"{kind}: coordinates must be finite numbers, found {values}")


def _check_inside(kind: str, position: Coordinate, shape: Shape) -> None:
    if any(not -0.5 <= x < n - 0.5 for x, n in zip(position, shape, strict=True)):
        raise PromptError(f"{kind} {position} lies outside the image, whose shape is {shape}")
