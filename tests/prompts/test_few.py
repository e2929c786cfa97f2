"""Few prompts, as in a viewer: some clicks, one box, or a scribble in one to three slices."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nnunet_prompt.prompts.clicks import deep_point
from nnunet_prompt.prompts.few import few
from nnunet_prompt.prompts.options import EXACT, SimulationOptions
from nnunet_prompt.prompts.types import Box, PromptSet
from tests.helpers.each import each
from tests.prompts.masks import ball, masks, modest, rng, seeds

POINTS = replace(EXACT, boxes=False, scribbles=False)
BOXES = replace(EXACT, points=False, scribbles=False)
STROKES = replace(EXACT, points=False, boxes=False)


def voxel(position: Any) -> Any:
    assert all(x == int(x) for x in position)
    return tuple(int(x) for x in position)


def tight(mask: Any) -> Box:
    where = np.argwhere(mask)
    return Box(tuple(map(float, where.min(0))), tuple(map(float, where.max(0) + 1)))


def form_of(prompts: PromptSet, target: Any, axis: int = 0) -> str:
    """What was drawn, with "+" where clicks lie beside it."""
    assert len(prompts.boxes) <= 1
    beside = " +" if prompts.points else ""
    if prompts.boxes:
        assert not prompts.scribbles
        box = prompts.boxes[0]
        if box == tight(target):
            return "3D box" + beside
        index = int(box.lower[axis])
        alone = np.zeros_like(target)
        here = tuple(slice(None) if a != axis else index for a in range(3))
        alone[here] = target[here]
        assert box == tight(alone)
        return "slice box" + beside
    return "scribble" + beside if prompts.scribbles else "clicks"


@each("axis", [0, 1, 2])
def test_all_forms_and_no_other(axis: int) -> None:
    target = np.moveaxis(ball((5, 9, 11), 3), 0, axis)
    forms = [
        form_of(few(target, rng(s), (), replace(EXACT, slice_axis=axis)), target, axis)
        for s in range(300)
    ]
    named = ("slice box", "3D box", "scribble")
    assert set(forms) == {"clicks", *named, *(f"{name} +" for name in named)}
    assert 0.25 < forms.count("clicks") / 300 < 0.55
    beside = [form for form in forms if form.endswith("+")]
    assert 0.1 < len(beside) / (300 - forms.count("clicks")) < 0.3


def test_what_the_options_forbid_is_never_drawn() -> None:
    target, other = np.zeros((2, 3, 9, 9), bool)
    target[:, 1:4, 1:4] = True
    other[:, 6:, 6:] = True
    for boxes, points, scribbles in product((True, False), repeat=3):
        options = SimulationOptions(boxes=boxes, points=points, scribbles=scribbles)
        drawn = [few(target, rng(s), [other], options) for s in range(40)]
        assert any(d.boxes for d in drawn) == boxes
        assert any(d.points for d in drawn) == points
        assert any(d.scribbles for d in drawn) == scribbles
        assert all(d.empty for d in drawn) == (not (boxes or points or scribbles))
        assert all(d.empty == (not (boxes or points or scribbles)) for d in drawn)
        assert all(d.mask is None and d.negative_mask is None for d in drawn)


# --- clicks


def test_how_many_clicks() -> None:
    target = np.ones((3, 4, 5), bool)
    counts = [len(few(target, rng(s), (), POINTS).points) for s in range(300)]
    assert set(counts) == {1, 2, 3, 4, 5}
    assert 0.4 < counts.count(1) / 300 < 0.65  # one click is what most give
    three = replace(POINTS, max_points=3)
    assert {len(few(target, rng(s), (), three).points) for s in range(60)} == {1, 2, 3}
    fixed = replace(POINTS, max_points=4, fixed_points=True)
    assert {len(few(target, rng(s), (), fixed).points) for s in range(60)} == {4}
    small = np.zeros((3, 4, 5), bool)
    small[1, 2, 3] = True
    for seed in range(20):
        assert {p.position for p in few(small, rng(seed), (), fixed).points} == {(1, 2, 3)}


def test_the_first_click_is_the_deepest_or_half_as_deep() -> None:
    target = np.zeros((9, 15, 15), bool)
    target[1:8, 3:10, 4:11] = True
    deepest = deep_point(target)
    assert deepest == (4, 6, 7)
    centre = 0
    for seed in range(200):
        first = voxel(few(target, rng(seed), (), POINTS).points[0].position)
        centre += first == deepest
        assert np.abs(np.subtract(first, deepest)).max() <= 2  # of a depth of 4
    assert 0.5 < centre / 200 < 0.75


def test_the_other_clicks_lie_anywhere() -> None:
    target = np.zeros((5, 9, 9), bool)
    target[1:4, 2:7, 2:7] = True
    rest = {
        p.position for seed in range(400) for p in few(target, rng(seed), (), POINTS).points[1:]
    }
    assert {voxel(v) for v in rest} == {tuple(v) for v in np.argwhere(target).tolist()}


# --- boxes


def test_a_slice_box_prefers_the_middle_and_the_large_slices() -> None:
    target = np.zeros((7, 9, 20), bool)
    for z, width in ((1, 1), (2, 1), (3, 2), (5, 14)):
        target[z, 4, 2 : 2 + width] = True
    slices = []
    for seed in range(600):
        (box,) = few(target, rng(seed), (), BOXES).boxes
        if box != tight(target):
            assert form_of(PromptSet(boxes=(box,)), target) == "slice box"
            slices.append(int(box.lower[0]))
    counts = np.bincount(slices, minlength=7) / len(slices)
    assert counts[[0, 4, 6]].tolist() == [0, 0, 0]
    assert 0.45 < counts[3] < 0.68  # half of them, the third of four, and 2 of 18 voxels
    assert 0.3 < counts[5] < 0.48  # 14 of 18
    assert 0 < counts[1] < 0.1 and 0 < counts[2] < 0.1


# --- scribbles


@each("axis", [0, 1, 2])
def test_strokes_lie_in_one_to_three_slices(axis: int) -> None:
    target = np.moveaxis(ball((6, 13, 13), 5), 0, axis)
    options = replace(STROKES, slice_axis=axis)
    counts = set()
    for seed in range(60):
        strokes = few(target, rng(seed), (), options).scribbles
        slices = []
        for stroke in strokes:
            (index,) = {v[axis] for v in stroke.path}
            slices.append((index, stroke.positive))
            for vertex in stroke.path:
                assert target[voxel(vertex)] == stroke.positive
        positive = [index for index, said in slices if said]
        assert positive == sorted(set(positive))
        assert {index for index, said in slices if not said} <= set(positive)
        counts.add(len(positive))
    assert counts == {1, 2, 3}


def test_one_slice_has_one_stroke() -> None:
    target = np.zeros((3, 9, 9), bool)
    target[1, 2:7, 3:6] = True
    for seed in range(20):
        strokes = few(target, rng(seed), (), STROKES).scribbles
        assert [s.positive for s in strokes].count(True) == 1


def test_without_negatives_no_stroke_says_no() -> None:
    target = np.zeros((3, 20, 20), bool)
    target[:, 8:13, 8:13] = True
    said: dict[float, set[bool]] = {0.0: set(), 1.0: set()}
    for share, seen in said.items():
        options = replace(STROKES, p_negatives=share)
        for seed in range(60):
            seen |= {s.positive for s in few(target, rng(seed), (), options).scribbles}
    assert said == {0.0: {True}, 1.0: {True, False}}


# --- negatives, noise


@modest
@given(masks(), seeds, st.integers(0, 2))
def test_positive_is_inside_and_negative_outside(mask: Any, seed: int, axis: int) -> None:
    others = [rng(seed + i).random(mask.shape) < 0.5 for i in (1, 2)]  # they overlap the target
    prompts = few(mask, rng(seed), others, replace(EXACT, slice_axis=axis))
    assert any(p.positive for p in (*prompts.points, *prompts.boxes, *prompts.scribbles))
    for point in prompts.points:
        here = voxel(point.position)
        assert mask[here] == point.positive
        assert point.positive or others[0][here] or others[1][here]
    for stroke in prompts.scribbles:
        assert all(mask[voxel(v)] == stroke.positive for v in stroke.path)
    prompts.check_inside(mask.shape)


def test_some_have_one_or_two_clicks_on_each_other_structure() -> None:
    target, first, second = np.zeros((3, 3, 12, 12), bool)
    target[:, 1:4, 1:4] = True
    first[:, 8:, 1:4] = True
    second[:, 8:, 8:] = True
    counts = []
    for seed in range(200):
        points = few(target, rng(seed), [first, second], EXACT).points
        where = [voxel(p.position) for p in points if not p.positive]
        for other in (first, second):
            counts.append(sum(bool(other[v]) for v in where))
        assert len(where) == sum(counts[-2:])
    assert set(counts) == {0, 1, 2}
    assert 0.2 < np.mean([c > 0 for c in counts]) < 0.4
    none = replace(EXACT, p_negatives=0.0)
    for seed in range(40):
        assert all(p.positive for p in few(target, rng(seed), [first], none).points)


def test_one_wrong_click_lies_outside() -> None:
    target = ball((5, 11, 11), 4)
    options = replace(POINTS, p_wrong=1.0, fixed_points=True, max_points=3)
    for seed in range(20):
        points = few(target, rng(seed), (), options).points
        assert all(p.positive for p in points)
        assert [bool(target[voxel(p.position)]) for p in points] == [False, True, True]
