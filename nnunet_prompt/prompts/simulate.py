"""Makes prompts from masks, as a user or the challenge would give them.

Draw, then do: every function takes the generator and returns new prompts; nothing here touches a global random state.
Masks have three axes; `slice_axis` is the axis through the slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nnunet_prompt.prompts.masks import continued, corrupt
from nnunet_prompt.prompts.model import BoolArray, Box, Point, PromptSet
from nnunet_prompt.prompts.voxels import Layers, bounding_box, random_points

__all__ = ["EXACT", "KINDS", "Kind", "SimulationOptions", "corrupt", "random_points", "simulate"]

Kind = Literal["slices", "volume", "mask", "continue", "none"]
KINDS: tuple[Kind, ...] = ("slices", "volume", "mask", "continue", "none")


@dataclass(frozen=True, slots=True)
class SimulationOptions:
    """How prompts are drawn. Lengths are in voxels, `p_` are probabilities.

    `max_points` per slice (or per volume); a slice below `min_voxels` gets no prompt; `jitter` moves box edges by up
    to that many voxels either way, and points that stay in the image likewise; `p_drop` leaves a slice out; `p_wrong`
    puts a point outside the object; `p_negatives` adds points of other structures as negatives.
    """

    boxes: bool = True
    points: bool = True
    max_points: int = 5
    fixed_points: bool = False
    min_voxels: int = 1
    jitter: int = 0
    p_drop: float = 0.0
    p_wrong: float = 0.0
    p_negatives: float = 1.0
    slice_axis: int = 0


EXACT = SimulationOptions()


def simulate(
    target: BoolArray,
    rng: np.random.Generator,
    *,
    kind: Kind,
    others: Sequence[BoolArray] = (),
    options: SimulationOptions = EXACT,
) -> PromptSet:
    """Prompts of one kind for the object `target`; `others` are structures whose points serve as negatives.

    `slices`: a box and points in every slice; `volume`: points or one box in 3D; `mask`: a rough mask, sometimes with
    clicks on its errors; `continue`: a part of the mask that enters at the border (see `continued`) and nothing else;
    `none`: nothing. An empty target gives an empty set, but for `mask` possibly invented blobs. Raises `ValueError`
    for an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}, found {kind!r}")
    if kind == "none" or (kind != "mask" and not target.any()):
        return PromptSet()
    if kind == "slices":
        return _slices(target, rng, others, options)
    if kind == "volume":
        return _volume(target, rng, others, options)
    if kind == "continue":
        return PromptSet(mask=continued(target, rng, slice_axis=options.slice_axis))
    mask = corrupt(target, rng, slice_axis=options.slice_axis)
    clicks = rng.random() < 0.5
    return PromptSet(
        points=_clicks_on_errors(target, mask, rng, options) if clicks else (), mask=mask
    )


def _slices(
    target: BoolArray,
    rng: np.random.Generator,
    others: Sequence[BoolArray],
    options: SimulationOptions,
) -> PromptSet:
    axis = options.slice_axis
    inside = Layers(target, axis)
    boxes: list[Box] = []
    points: list[Point] = []
    negatives = [
        Layers(other, axis, without=target)
        for other in others
        if options.points and rng.random() < options.p_negatives
    ]
    for index in np.flatnonzero(inside.areas >= max(1, options.min_voxels)).tolist():
        if rng.random() < options.p_drop:
            continue
        here, shift = _slice(target, axis, index), _at(axis, index)
        if options.boxes:
            boxes.append(_box(inside.extent(index), here.shape, rng, options))
        if options.points:
            found = inside.points(index, _count(rng, options), rng)
            points += _points(found, here, rng, options, shift=shift)
        for other in negatives:
            found = other.points(index, _count(rng, options), rng)
            points += _points(found, here, rng, options, shift=shift, positive=False)
    return PromptSet(tuple(points), tuple(boxes))


def _volume(
    target: BoolArray,
    rng: np.random.Generator,
    others: Sequence[BoolArray],
    options: SimulationOptions,
) -> PromptSet:
    """One to `max_points` points in 3D, or a box in one slice, or a 3D box; sometimes with points beside it."""
    boxes: list[Box] = []
    points: list[Point] = []
    forms = ["points"] * options.points + ["slice box", "3D box"] * options.boxes
    if not forms:
        return PromptSet()
    form = rng.choice(forms)
    if form == "slice box":
        axis = options.slice_axis
        inside = Layers(target, axis)
        areas = inside.areas.astype(float)
        index = int(rng.choice(len(areas), p=areas / areas.sum()))
        here = _slice(target, axis, index)
        boxes.append(_box(inside.extent(index), here.shape, rng, options))
    elif form == "3D box":
        spans = [(side.start, side.stop) for side in bounding_box(target) or ()]
        boxes.append(_box(spans, target.shape, rng, options))
    if form == "points" or (options.points and rng.random() < 0.5):
        count = _count(rng, options)
        deep = bool(rng.random() < 0.5)
        found = random_points(target, count, rng, deep=deep).tolist()
        points += _points(found, target, rng, options)
    for other in others:
        if options.points and rng.random() < options.p_negatives * 0.5:
            found = random_points(other & ~target, _count(rng, options), rng).tolist()
            points += _points(found, target, rng, options, positive=False)
    return PromptSet(tuple(points), tuple(boxes))


def _slice(mask: BoolArray, axis: int, index: int) -> BoolArray:
    """One slice, as an array of three axes."""
    return mask[(*(slice(None),) * axis, slice(index, index + 1))]


def _at(axis: int, index: int) -> tuple[int, int, int]:
    a, b, c = (index if a == axis else 0 for a in range(3))
    return a, b, c


def _count(rng: np.random.Generator, options: SimulationOptions) -> int:
    if options.fixed_points:
        return options.max_points
    return int(rng.integers(1, options.max_points + 1))


def _box(
    spans: Sequence[tuple[int, int]],
    shape: Sequence[int],
    rng: np.random.Generator,
    options: SimulationOptions,
) -> Box:
    """The box of three spans, its edges jittered inside `shape` along the axes of more than one voxel.

    Empty results are drawn again, axis by axis, which favours neither direction.
    """
    lower, upper = [], []
    for (low, high), size in zip(spans, shape, strict=True):
        start, stop = low, high
        while options.jitter and size > 1:
            a, b = rng.integers(-options.jitter, options.jitter + 1, 2)
            start, stop = max(low + int(a), 0), min(high + int(b), size)
            if start < stop:
                break
        lower.append(float(start))
        upper.append(float(stop))
    return Box((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2]))


def _points(
    found: list[list[int]],
    here: BoolArray,
    rng: np.random.Generator,
    options: SimulationOptions,
    *,
    shift: tuple[int, int, int] = (0, 0, 0),
    positive: bool = True,
) -> list[Point]:
    """Points at the voxels `found` of the array `here`, which holds the target and begins at `shift`: jittered in it
    along the axes of more than one voxel, and sometimes one of them put outside the target.
    """
    if options.jitter and found:
        size = np.array(here.shape)
        reach = np.where(size > 1, options.jitter, 0)
        moved = found + rng.integers(-reach, reach + 1, (len(found), 3))
        found = np.clip(moved, 0, size - 1).tolist()
    if positive and found and rng.random() < options.p_wrong:
        outside = random_points(~here, 1, rng).tolist()
        found = outside + found[len(outside) :]
    a, b, c = shift
    return [Point((float(z + a), float(y + b), float(x + c)), positive) for z, y, x in found]


def _clicks_on_errors(
    target: BoolArray, mask: BoolArray, rng: np.random.Generator, options: SimulationOptions
) -> tuple[Point, ...]:
    count = int(rng.integers(1, options.max_points + 1))
    missing = random_points(target & ~mask, count, rng)
    spurious = random_points(mask & ~target, count, rng)
    return tuple(Point((float(z), float(y), float(x)), True) for z, y, x in missing) + tuple(
        Point((float(z), float(y), float(x)), False) for z, y, x in spurious
    )
