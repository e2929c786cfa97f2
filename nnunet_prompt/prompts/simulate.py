"""Makes prompts from masks, as a user or the challenge would give them.

Draw, then do: every function takes the generator and returns new prompts; nothing here touches a global random state.
Masks have three axes; `slice_axis` is the axis through the slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nnunet_prompt.prompts.checks import BoolArray
from nnunet_prompt.prompts.clicks import as_position, corrective_clicks, deep_point
from nnunet_prompt.prompts.corrupt import continued, corrupt, disturbed
from nnunet_prompt.prompts.draw import (
    at,
    counted,
    jittered_box,
    jittered_points,
    one_slice,
    scribble_in,
    scribble_outside,
)
from nnunet_prompt.prompts.few import few
from nnunet_prompt.prompts.options import EXACT, KINDS, Kind, SimulationOptions
from nnunet_prompt.prompts.types import Box, Point, PromptSet, Scribble
from nnunet_prompt.prompts.voxels import Layers, random_points


def simulate(
    target: BoolArray,
    rng: np.random.Generator,
    *,
    kind: Kind,
    others: Sequence[BoolArray] = (),
    options: SimulationOptions = EXACT,
) -> PromptSet:
    """Prompts of one kind for the object `target`; `others` are structures that serve as negatives.

    `few`: one to five clicks in 3D, or one box, or a scribble in one to three slices (see `few`); `slices`: a box and
    points in every slice; `scribbles`: strokes in some or all slices; `mask`: a rough mask, sometimes with clicks on
    its errors; `continue`: a part of the mask that enters at the border (see `continued`), sometimes with the prompts
    that lie in it; `none`: nothing. An empty target gives an empty set, but for `mask` possibly invented blobs. Raises
    `ValueError` for an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}, found {kind!r}")
    if kind == "none" or (kind != "mask" and not target.any()):
        return PromptSet()
    if kind == "continue":
        prompts = _continue(target, rng, options)
    elif kind == "mask":
        prompts = _mask(target, rng, options)
    elif kind == "few":
        prompts = few(target, rng, others, options)
    elif kind == "slices":
        prompts = _slices(target, rng, others, options)
    else:
        prompts = _scribbles(target, rng, others, options)
    if prompts.empty or rng.random() >= options.p_negative_area:
        return prompts
    return _with_negative_area(prompts, target, rng, others, options)


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
    everywhere = negatives and rng.random() < options.p_beyond
    shown = inside.areas >= max(1, options.min_voxels)
    for index in np.flatnonzero(shown | bool(everywhere)).tolist():
        if rng.random() < options.p_drop:
            continue
        here, shift = one_slice(target, axis, index), at(axis, index)
        if shown[index] and options.boxes:
            boxes.append(jittered_box(inside.extent(index), here.shape, rng, options))
        if shown[index] and options.points:
            found = inside.points(index, counted(rng, options), rng)
            points += jittered_points(found, here, rng, options, shift=shift)
        for other in negatives:
            found = other.points(index, counted(rng, options), rng)
            points += jittered_points(found, here, rng, options, shift=shift, positive=False)
    return PromptSet(tuple(points), tuple(boxes))


def _scribbles(
    target: BoolArray,
    rng: np.random.Generator,
    others: Sequence[BoolArray],
    options: SimulationOptions,
) -> PromptSet:
    """A stroke in some slices or in all; sometimes strokes of other structures or around the object as negatives."""
    axis = options.slice_axis
    inside = Layers(target, axis)
    slices = np.flatnonzero(inside.areas >= max(1, options.min_voxels))
    if not slices.size:
        return PromptSet()
    share = 1.0 if rng.random() < 0.5 else rng.uniform(0.1, 1.0)
    chosen = rng.permutation(slices)[: max(1, round(share * slices.size))]
    strokes: list[Scribble] = []
    negatives = [Layers(o, axis, without=target) for o in others if rng.random() < 0.5]
    negative = rng.random() < options.p_negatives
    for index in sorted(chosen.tolist()):
        strokes += scribble_in(inside, index, rng)
        if not negative:
            continue
        for other in negatives:
            strokes += scribble_in(other, index, rng, positive=False)
        if rng.random() < 0.3:
            strokes += scribble_outside(target, axis, index, rng)
    return PromptSet(scribbles=tuple(strokes))


def _mask(target: BoolArray, rng: np.random.Generator, options: SimulationOptions) -> PromptSet:
    """A rough mask; one time in two with clicks: on its largest errors, anywhere in its errors, or on what is right."""
    mask = corrupt(target, rng, slice_axis=options.slice_axis)
    if rng.random() < options.p_disturb:
        mask = disturbed(mask, rng, slice_axis=options.slice_axis)
    draw = rng.random()
    points: tuple[Point, ...] = ()
    if draw < 0.25:
        count = int(rng.integers(1, min(3, options.max_points) + 1))
        points = corrective_clicks(target, mask, rng, count=count, least=0.6)
    elif draw < 0.5:
        points = _clicks_on_errors(target, mask, rng, options)
        if rng.random() < options.p_satisfied:
            points += tuple(_click(v, True) for v in random_points(target & mask, 2, rng))
    return PromptSet(points=points, mask=mask)


def _continue(target: BoolArray, rng: np.random.Generator, options: SimulationOptions) -> PromptSet:
    """A part of the mask that enters at the border; one time in two the prompts beside it, as a tile sees them."""
    mask = continued(target, rng, slice_axis=options.slice_axis)
    prompts = PromptSet(mask=mask)
    if mask is None or rng.random() >= options.p_beside:
        return prompts
    known = mask & target
    if rng.random() < 0.5:
        beside = _slices(known, rng, (), options) if known.any() else PromptSet()
        return replace(prompts, points=beside.points, boxes=beside.boxes)
    place = deep_point(known, rng, least=0.5)
    return prompts if place is None else replace(prompts, points=(_click(place, True),))


def _with_negative_area(
    prompts: PromptSet,
    target: BoolArray,
    rng: np.random.Generator,
    others: Sequence[BoolArray],
    options: SimulationOptions,
) -> PromptSet:
    """The other structures as forbidden area: their masks, or boxes around what of them no box of the target meets."""
    areas = [other & ~target for other in others]
    areas = [area for area in areas if area.any() and rng.random() < 0.7]
    if not areas:
        return prompts
    if rng.random() < 0.5:
        forbidden = np.logical_or.reduce(areas)
        if rng.random() < options.p_disturb:
            forbidden = corrupt(forbidden, rng, slice_axis=options.slice_axis) & ~target
        return replace(prompts, negative_mask=forbidden)
    boxes: list[Box] = []
    axis = options.slice_axis
    for area in areas:
        layers = Layers(area, axis)
        for index in np.flatnonzero(layers.areas).tolist():
            spans = layers.extent(index)
            if not target[tuple(slice(a, b) for a, b in spans)].any():
                shape = one_slice(target, axis, index).shape
                box = jittered_box(spans, shape, rng, options)
                if target[_filled(box)].any():
                    box = jittered_box(spans, shape, rng, replace(options, jitter=0))
                boxes.append(replace(box, positive=False))
    if boxes and rng.random() < 0.5:  # in one slice, as a viewer's user draws it
        boxes = [boxes[int(rng.integers(len(boxes)))]]
    return replace(prompts, boxes=(*prompts.boxes, *boxes))


def _filled(box: Box) -> tuple[slice, ...]:
    return tuple(slice(int(a), int(b)) for a, b in zip(box.lower, box.upper, strict=True))


def _click(voxel: Sequence[int], positive: bool) -> Point:
    return Point(as_position((voxel[0], voxel[1], voxel[2])), positive)


def _clicks_on_errors(
    target: BoolArray, mask: BoolArray, rng: np.random.Generator, options: SimulationOptions
) -> tuple[Point, ...]:
    count = int(rng.integers(1, options.max_points + 1))
    missing = random_points(target & ~mask, count, rng).tolist()
    spurious = random_points(mask & ~target, count, rng).tolist()
    return (*(_click(v, True) for v in missing), *(_click(v, False) for v in spurious))
