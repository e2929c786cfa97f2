"""Few prompts, as somebody with a viewer gives them: a click or some, one box, or a scribble in one to three slices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnunet_prompt.prompts.checks import BoolArray
from nnunet_prompt.prompts.clicks import deep_point
from nnunet_prompt.prompts.draw import (
    counted,
    jittered_box,
    jittered_points,
    one_slice,
    scribble_in,
    scribble_outside,
)
from nnunet_prompt.prompts.options import FewForm, SimulationOptions
from nnunet_prompt.prompts.types import Box, Point, PromptSet, Scribble
from nnunet_prompt.prompts.voxels import Layers, bounding_box, random_points

P_CLICKS_BESIDE = 0.2  # of the boxes and scribbles have clicks beside them
P_CENTRE = (
    0.6  # of the first clicks lie where the object is deepest, the others at least half as deep
)


def few(
    target: BoolArray,
    rng: np.random.Generator,
    others: Sequence[BoolArray],
    options: SimulationOptions,
) -> PromptSet:
    """One to `max_points` clicks in 3D, the first deep inside; one box in one slice; one box in 3D; or a stroke in one
    to three slices. Boxes and strokes sometimes have clicks beside them, and clicks of other structures as negatives.

    Nothing where the options allow neither clicks nor boxes nor scribbles. `target` must not be empty.
    """
    forms: list[FewForm] = []
    if options.points:
        forms += ["clicks", "clicks"]
    if options.boxes:
        forms += ["slice box", "3D box"]
    if options.scribbles:
        forms += ["scribble"]
    if not forms:
        return PromptSet()
    form = forms[int(rng.integers(len(forms)))]
    boxes: list[Box] = []
    points: list[Point] = []
    strokes: list[Scribble] = []
    if form == "slice box":
        boxes = [_slice_box(target, rng, options)]
    elif form == "3D box":
        spans = [(side.start, side.stop) for side in bounding_box(target) or ()]
        boxes = [jittered_box(spans, target.shape, rng, options)]
    elif form == "scribble":
        strokes = _strokes(target, rng, options)
    if form == "clicks" or (options.points and rng.random() < P_CLICKS_BESIDE):
        points = clicks(target, rng, options)
    for other in others:
        if options.points and rng.random() < options.p_negatives * 0.3:
            count = int(rng.integers(1, 3))
            found = random_points(other & ~target, count, rng, deep=True).tolist()
            points += jittered_points(found, target, rng, options, positive=False)
    return PromptSet(tuple(points), tuple(boxes), tuple(strokes))


def clicks(target: BoolArray, rng: np.random.Generator, options: SimulationOptions) -> list[Point]:
    """One click, or up to `max_points`: the first deep inside, the others anywhere in the target."""
    count = 1 if not options.fixed_points and rng.random() < 0.4 else counted(rng, options)
    first = deep_point(target, rng, least=1.0 if rng.random() < P_CENTRE else 0.5)
    assert first is not None  # the target is not empty
    rest = random_points(target, count - 1, rng, deep=bool(rng.random() < 0.5)).tolist()
    return jittered_points([list(first), *rest], target, rng, options)


def _slice_box(target: BoolArray, rng: np.random.Generator, options: SimulationOptions) -> Box:
    """The box of the middle slice, or of one drawn by how much of the object it shows."""
    axis = options.slice_axis
    inside = Layers(target, axis)
    index = _middle_or_any(inside, rng)
    return jittered_box(inside.extent(index), one_slice(target, axis, index).shape, rng, options)


def _strokes(
    target: BoolArray, rng: np.random.Generator, options: SimulationOptions
) -> list[Scribble]:
    """Strokes in one to three slices, and sometimes one around the object as a negative."""
    axis = options.slice_axis
    inside = Layers(target, axis)
    slices = np.flatnonzero(inside.areas)
    count = min(int(rng.integers(1, 4)), slices.size)
    chosen = {_middle_or_any(inside, rng)} if count == 1 else set(rng.permutation(slices)[:count])
    strokes: list[Scribble] = []
    for index in sorted(int(i) for i in chosen):
        strokes += scribble_in(inside, index, rng)
        if rng.random() < options.p_negatives * 0.2:
            strokes += scribble_outside(target, axis, index, rng)
    return strokes


def _middle_or_any(inside: Layers, rng: np.random.Generator) -> int:
    slices = np.flatnonzero(inside.areas)
    if rng.random() < 0.5:
        return int(slices[len(slices) // 2])
    areas = inside.areas[slices].astype(float)
    return int(rng.choice(slices, p=areas / areas.sum()))
