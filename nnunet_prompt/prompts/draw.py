"""Parts of all kinds of simulated prompts: jittered boxes and points, strokes in a slice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnunet_prompt.prompts.checks import BoolArray, Coordinate
from nnunet_prompt.prompts.options import SimulationOptions
from nnunet_prompt.prompts.strokes import (
    STROKE_FORMS,
    Stroke,
    StrokeForm,
    draw_outside,
    draw_stroke,
)
from nnunet_prompt.prompts.types import Box, Point, Scribble
from nnunet_prompt.prompts.voxels import Layers, random_points


def one_slice(mask: BoolArray, axis: int, index: int) -> BoolArray:
    """One slice, as an array of three axes."""
    return mask[(*(slice(None),) * axis, slice(index, index + 1))]


def at(axis: int, index: int) -> tuple[int, int, int]:
    """The shift of slice `index` along `axis`."""
    a, b, c = (index if a == axis else 0 for a in range(3))
    return a, b, c


def counted(rng: np.random.Generator, options: SimulationOptions) -> int:
    """How many points: `max_points`, or one to as many."""
    if options.fixed_points:
        return options.max_points
    return int(rng.integers(1, options.max_points + 1))


def jittered_box(
    spans: Sequence[tuple[int, int]],
    shape: Sequence[int],
    rng: np.random.Generator,
    options: SimulationOptions,
) -> Box:
    """The box of three spans, its edges jittered inside `shape` along the axes of more than one voxel.

    An edge on the border stays there, because the object may continue behind it. Empty results are drawn again, axis by
    axis, which favours neither direction.
    """
    lower, upper = [], []
    for (low, high), size in zip(spans, shape, strict=True):
        start, stop = low, high
        while options.jitter and size > 1:
            a, b = rng.integers(-options.jitter, options.jitter + 1, 2)
            start = 0 if low == 0 else max(low + int(a), 0)
            stop = size if high == size else min(high + int(b), size)
            if start < stop:
                break
        lower.append(float(start))
        upper.append(float(stop))
    return Box((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2]))


def jittered_points(
    voxels: list[list[int]],
    target: BoolArray,
    rng: np.random.Generator,
    options: SimulationOptions,
    *,
    shift: tuple[int, int, int] = (0, 0, 0),
    positive: bool = True,
) -> list[Point]:
    """Points at these voxels of the array `target`, which begins at `shift` in the image: jittered in the array along
    the axes of more than one voxel, and sometimes one of them put outside the target, or a negative one inside.
    """
    if options.jitter and voxels:
        size = np.array(target.shape)
        reach = np.where(size > 1, options.jitter, 0)
        moved = voxels + rng.integers(-reach, reach + 1, (len(voxels), 3))
        voxels = np.clip(moved, 0, size - 1).tolist()
    if positive and voxels and rng.random() < options.p_wrong:
        outside = random_points(~target, 1, rng).tolist()
        voxels = outside + voxels[len(outside) :]
    a, b, c = shift
    points = [Point((float(z + a), float(y + b), float(x + c)), positive) for z, y, x in voxels]
    if positive and voxels and options.p_contradict and rng.random() < options.p_contradict:
        (z, y, x), *_ = random_points(target, 1, rng).tolist() or [voxels[0]]
        points.append(Point((float(z + a), float(y + b), float(x + c)), False))
    return points


def scribble_in(
    layers: Layers,
    index: int,
    rng: np.random.Generator,
    *,
    positive: bool = True,
    form: StrokeForm | None = None,
) -> list[Scribble]:
    """One stroke in slice `index`, of a form drawn at random if none is named; none where the slice has no voxel."""
    if not layers.areas[index]:
        return []
    form = form or STROKE_FORMS[int(rng.integers(len(STROKE_FORMS)))]
    path = draw_stroke(layers.stack[index - layers.first], rng, form)
    return _as_scribble(path, layers.corner, layers.axis, index, positive)


def scribble_outside(
    target: BoolArray, axis: int, index: int, rng: np.random.Generator
) -> list[Scribble]:
    """A negative stroke around the object in slice `index`, a few voxels away from it, as far as the image goes."""
    plane = np.moveaxis(target, axis, 0)[index]
    return _as_scribble(draw_outside(plane, rng), (0, 0), axis, index, False)


def _as_scribble(
    path: Stroke | None, corner: Sequence[int], axis: int, index: int, positive: bool
) -> list[Scribble]:
    if path is None:
        return []
    places = np.insert(path + corner, axis, index, axis=1)
    vertices: tuple[Coordinate, ...] = tuple(map(tuple, places.tolist()))
    return [Scribble(vertices, positive)]
