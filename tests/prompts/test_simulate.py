"""Prompts drawn from masks: inside what they point at, in no preferred direction, and by the generator alone.

The kind "few" has a file of its own, and so have strokes, masks and negative areas.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_prompt.prompts.options import EXACT, KINDS, SimulationOptions
from nnunet_prompt.prompts.simulate import simulate
from nnunet_prompt.prompts.types import Box, PromptSet
from tests.helpers.each import each
from tests.prompts.masks import ball, masks, modest, rng, seeds

C_SHAPE = np.array(
    [
        [0, 0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 1, 0],
        [0, 1, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ],
    bool,
)

NOISY = SimulationOptions(
    jitter=2,
    p_drop=0.2,
    p_wrong=0.3,
    p_negatives=0.7,
    p_beyond=0.5,
    p_negative_area=0.5,
    p_beside=0.5,
    p_disturb=0.5,
    p_satisfied=0.5,
    p_contradict=0.3,
    max_points=4,
)


def voxel(position: Any) -> Any:
    assert all(x == int(x) for x in position)
    return tuple(int(x) for x in position)


def said(prompts: PromptSet) -> Any:
    """All of a prompt set, to compare."""
    masks = [None if m is None else m.tolist() for m in (prompts.mask, prompts.negative_mask)]
    return prompts.points, prompts.boxes, prompts.scribbles, masks


def tight(mask: Any) -> Box:
    where = np.argwhere(mask)
    return Box(tuple(map(float, where.min(0))), tuple(map(float, where.max(0) + 1)))


# --- chance


@each("kind", KINDS)
def test_the_generator_alone_decides(kind: Any) -> None:
    target, other = ball((6, 12, 13), 4), np.zeros((6, 12, 13), bool)
    other[:, 0:3] = True
    before = np.random.get_state()  # noqa: NPY002
    draws = [
        said(simulate(target, rng(seed), kind=kind, others=[other], options=NOISY))
        for seed in (1, 1, *range(2, 8))
    ]
    after = np.random.get_state()  # noqa: NPY002
    assert draws[0] == draws[1]
    assert (kind == "none") == all(d == draws[0] for d in draws)
    assert before[0] == after[0]
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]


@modest
@given(masks(), seeds, st.sampled_from(KINDS), st.integers(0, 2))
def test_inputs_are_never_changed(mask: Any, seed: int, kind: Any, axis: int) -> None:
    other = ~mask
    target, negative = mask.copy(), other.copy()
    options = replace(NOISY, slice_axis=axis)
    prompts = simulate(target, rng(seed), kind=kind, others=[negative], options=options)
    np.testing.assert_array_equal(target, mask)
    np.testing.assert_array_equal(negative, other)
    prompts.check_inside(mask.shape)  # whatever the noise
    for area in (prompts.mask, prompts.negative_mask):
        if area is not None:
            area[:] = True
            np.testing.assert_array_equal(target, mask)
            np.testing.assert_array_equal(negative, other)


def test_an_unknown_kind_is_no_mask() -> None:
    unknown: Any = "slice"
    with pytest.raises(ValueError, match=r"kind must be one of .*found 'slice'"):
        simulate(np.ones((1, 2, 3), bool), rng(), kind=unknown)


# --- points


@modest
@given(masks(), seeds, st.sampled_from(["slices", "few"]), st.integers(0, 2))
def test_points_lie_in_the_mask(mask: Any, seed: int, kind: Any, axis: int) -> None:
    options = SimulationOptions(slice_axis=axis)
    for point in simulate(mask, rng(seed), kind=kind, options=options).points:
        assert point.positive
        assert mask[voxel(point.position)]


@each("kind", ["slices", "few"])
@each("axis", [0, 1, 2])
def test_the_centre_of_a_c_is_never_clicked(kind: Any, axis: int) -> None:
    assert not C_SHAPE[3, 3]  # where its centroid, (3, 2.6), lies
    target = np.moveaxis(np.stack([C_SHAPE, C_SHAPE]), 0, axis)
    options = SimulationOptions(slice_axis=axis)
    clicked = set()
    for seed in range(150):
        for point in simulate(target, rng(seed), kind=kind, options=options).points:
            assert target[voxel(point.position)]
            clicked.add(point.position)
    assert len(clicked) == target.sum()  # every voxel has its chance


def test_how_many_points() -> None:
    mask = np.ones((3, 4, 5), bool)
    counts = {
        len(
            simulate(
                mask, rng(seed), kind="few", options=replace(EXACT, boxes=False, scribbles=False)
            ).points
        )
        for seed in range(60)
    }
    assert counts == {1, 2, 3, 4, 5}
    fixed = SimulationOptions(fixed_points=True, max_points=3)
    points = simulate(mask, rng(), kind="slices", options=fixed).points
    assert [p.position[0] for p in points] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    mask[1] = False
    mask[1, 2, 2:4] = True
    points = simulate(mask, rng(), kind="slices", options=fixed).points
    assert [p.position for p in points if p.position[0] == 1] == [(1, 2, 2), (1, 2, 3)]


# --- slices


def test_every_slice_with_foreground_is_prompted() -> None:
    target = np.zeros((5, 6, 7), bool)
    target[1, 2:4, 3:6] = target[3, 0, 0] = target[4, 5, 1:7] = True
    for axis in range(3):
        moved = np.moveaxis(target, 0, axis)
        options = SimulationOptions(slice_axis=axis)
        prompts = simulate(moved, rng(), kind="slices", options=options)
        assert [b.lower[axis] for b in prompts.boxes] == [1, 3, 4]
        assert {p.position[axis] for p in prompts.points} == {1, 3, 4}
        for box in prompts.boxes:
            index = int(box.lower[axis])
            alone = np.zeros_like(moved)
            here = tuple(slice(None) if a != axis else index for a in range(3))
            alone[here] = moved[here]
            assert box == tight(alone)


def test_a_box_is_tight_and_half_open() -> None:
    """Rows 40 to 59 and columns 70 to 89: a published simulator always began this box at (0, 0)."""
    target = np.zeros((3, 100, 120), bool)
    target[1, 40:60, 70:90] = True
    expected = Box((1.0, 40.0, 70.0), (2.0, 60.0, 90.0))
    assert simulate(target, rng(), kind="slices").boxes == (expected,)
    forms = {
        b
        for seed in range(60)
        for b in simulate(target, rng(seed), kind="few").boxes  # in a slice, or in 3D
    }
    assert forms == {expected}
    target[0, 50, 10] = True
    boxes = {b for s in range(100) for b in simulate(target, rng(s), kind="few").boxes}
    assert boxes == {
        expected,  # the middle slice, or the one that shows most of it
        Box((0.0, 40.0, 10.0), (2.0, 60.0, 90.0)),
    }


def test_small_slices_and_dropped_slices_have_no_prompt() -> None:
    target = np.zeros((4, 5, 5), bool)
    target[0, 0, 0] = target[1, 0, :3] = target[2, 0, :4] = True
    options = SimulationOptions(min_voxels=3)
    assert [b.lower[0] for b in simulate(target, rng(), kind="slices", options=options).boxes] == [
        1,
        2,
    ]
    assert simulate(target, rng(), kind="slices", options=replace(options, p_drop=1.0)).empty
    half = replace(options, p_drop=0.5, points=False)
    kept = [len(simulate(target, rng(s), kind="slices", options=half).boxes) for s in range(40)]
    assert set(kept) == {0, 1, 2}


@each("kind", ["slices", "few"])
def test_boxes_alone_points_alone_and_neither(kind: Any) -> None:
    target, other = np.zeros((3, 6, 6), bool), np.zeros((3, 6, 6), bool)
    target[:, 1:3, 1:3] = True
    other[:, 4:, 4:] = True
    for seed in range(20):
        for boxes in (True, False):
            for points in (True, False):
                options = SimulationOptions(boxes=boxes, points=points, scribbles=False)
                prompts = simulate(target, rng(seed), kind=kind, others=[other], options=options)
                assert boxes or not prompts.boxes
                assert points or not prompts.points  # no negative ones either
                assert prompts.empty == (not boxes and not points)


# --- noise


def test_points_are_jittered_in_both_directions_alike() -> None:
    target = np.zeros((9, 15, 15), bool)
    target[4, 7, 7] = True
    options = SimulationOptions(boxes=False, scribbles=False, jitter=2)
    for kind, axes in (("slices", [1, 2]), ("few", [0, 1, 2])):
        kind_: Any = kind
        offsets = np.array(
            [
                np.subtract(p.position, (4, 7, 7))
                for seed in range(1500)
                for p in simulate(target, rng(seed), kind=kind_, options=options).points
            ]
        )
        for axis in range(3):
            values, counts = np.unique(offsets[:, axis], return_counts=True)
            if axis not in axes:
                assert values.tolist() == [0]  # never into another slice
                continue
            assert values.tolist() == [-2, -1, 0, 1, 2]
            assert counts.min() > 0.8 * counts.max()
            assert abs(offsets[:, axis].mean()) < 0.12  # 3 sigma


@each("width", [1, 2, 6])
def test_boxes_are_jittered_in_both_directions_alike(width: int) -> None:
    """Also boxes so small that an edge meets its counterpart, which then must not push it ahead."""
    target = np.zeros((3, 20, 20), bool)
    target[1, 8 : 8 + width, 8 : 8 + width] = True
    options = SimulationOptions(points=False, jitter=2)
    moved = []
    for seed in range(1500):
        (box,) = simulate(target, rng(seed), kind="slices", options=options).boxes
        assert (box.lower[0], box.upper[0]) == (1, 2)
        for axis in (1, 2):
            moved.append((box.lower[axis] - 8, box.upper[axis] - 8 - width))
    lower, upper = np.array(moved).T
    for edge in (lower, upper):
        assert set(edge.tolist()) == {-2, -1, 0, 1, 2}
    assert abs((lower + upper).mean()) < 0.15
    mirrored = sorted(zip((-upper).tolist(), (-lower).tolist(), strict=True))
    frequent = {pair: moved.count(pair) for pair in set(moved)}
    back = {pair: mirrored.count(pair) for pair in set(mirrored)}
    assert set(frequent) == set(back)
    assert max(abs(frequent[p] - back[p]) for p in frequent) < 0.04 * len(moved)


def test_jitter_stays_in_the_image() -> None:
    target = np.ones((1, 2, 3), bool)
    options = SimulationOptions(jitter=9)
    for seed in range(50):
        for kind in ("slices", "few"):
            kind_: Any = kind
            prompts = simulate(target, rng(seed), kind=kind_, options=options)
            prompts.check_inside((1, 2, 3))
            for point in prompts.points:
                assert target[voxel(point.position)]


def test_a_wrong_point_lies_outside_and_in_its_slice() -> None:
    target = np.stack([C_SHAPE, C_SHAPE])
    options = SimulationOptions(boxes=False, p_wrong=1.0, fixed_points=True, max_points=3)
    points = simulate(target, rng(), kind="slices", options=options).points
    inside = [bool(target[voxel(p.position)]) for p in points]
    assert inside == [False, True, True] * 2
    assert all(p.positive for p in points)
    everywhere = np.ones((2, 3, 4), bool)
    points = simulate(everywhere, rng(), kind="slices", options=options).points
    assert len(points) == 6  # there is no outside


# --- negatives


@modest
@given(masks(), seeds, st.sampled_from(["slices", "few"]), st.integers(0, 2))
def test_negatives_lie_in_other_structures_and_outside_the_target(
    mask: Any, seed: int, kind: Any, axis: int
) -> None:
    others = [rng(seed + i).random(mask.shape) < 0.5 for i in (1, 2)]  # they overlap the target
    options = SimulationOptions(slice_axis=axis)
    prompts = simulate(mask, rng(seed), kind=kind, others=others, options=options)
    prompted = {p.position[axis] for p in prompts.points if p.positive}
    for point in prompts.points:
        here = voxel(point.position)
        if point.positive:
            assert mask[here]
        else:
            assert not mask[here]
            assert others[0][here] or others[1][here]
            assert kind == "few" or point.position[axis] in prompted


def test_negatives_are_as_frequent_as_said() -> None:
    target, other = np.zeros((4, 6, 6), bool), np.zeros((4, 6, 6), bool)
    target[:2, 1:3, 1:3] = True
    other[:, 4:, 4:] = True
    for share in (0.0, 1.0):
        options = SimulationOptions(p_negatives=share)
        prompts = simulate(target, rng(), kind="slices", others=[other], options=options)
        slices = {p.position[0] for p in prompts.points if not p.positive}
        assert slices == (set() if share == 0 else {0.0, 1.0})  # where the target is


# --- other kinds


def test_an_empty_target_has_no_prompt() -> None:
    nothing = np.zeros((3, 4, 5), bool)
    for kind in ("few", "slices", "scribbles", "continue", "none"):
        kind_: Any = kind
        for options in (EXACT, NOISY):
            prompts = simulate(nothing, rng(), kind=kind_, others=[~nothing], options=options)
            assert said(prompts) == said(PromptSet())
    for seed in range(40):
        prompts = simulate(nothing, rng(seed), kind="mask")
        assert prompts.mask is not None
        assert not prompts.boxes
        for point in prompts.points:  # on a blob that should not be there
            assert not point.positive
            assert prompts.mask[voxel(point.position)]


def test_what_goes_on_is_a_part_of_the_mask_and_nothing_else() -> None:
    target = np.ones((6, 8, 16), bool)
    for seed in range(20):
        options = replace(NOISY, p_beside=0.0)
        prompts = simulate(target, rng(seed), kind="continue", others=[~target], options=options)
        assert prompts.mask is not None
        assert prompts.mask.any() and not prompts.mask.all()
        assert not (prompts.points or prompts.boxes or prompts.scribbles)
    assert simulate(np.ones((1, 1, 1), bool), rng(), kind="continue").empty


def test_none_says_nothing() -> None:
    assert said(simulate(ball((5, 9, 9), 3), rng(), kind="none")) == said(PromptSet())


def test_a_mask_may_come_with_clicks_on_its_errors() -> None:
    target = ball((6, 14, 14), 5)
    clicked = set()
    for seed in range(40):
        prompts = simulate(target, rng(seed), kind="mask")
        assert prompts.mask is not None
        assert not prompts.boxes
        assert not prompts.scribbles
        for point in prompts.points:
            here = voxel(point.position)
            assert target[here] == point.positive
            assert prompts.mask[here] != point.positive
            clicked.add(point.positive)
    assert clicked == {True, False}


# --- negatives beyond the object


@each("axis", [0, 1, 2])
def test_negatives_may_lie_in_slices_that_do_not_show_the_object(axis: int) -> None:
    target, other = np.zeros((4, 6, 6), bool), np.zeros((4, 6, 6), bool)
    target[1:3, 1:3, 1:3] = True
    other[1:, 4:, 4:] = True
    target, other = np.moveaxis(target, 0, axis), np.moveaxis(other, 0, axis)
    for share, expected in ((0.0, {1, 2}), (1.0, {1, 2, 3})):
        options = SimulationOptions(p_beyond=share, slice_axis=axis)
        prompts = simulate(target, rng(), kind="slices", others=[other], options=options)
        assert {b.lower[axis] for b in prompts.boxes} == {1, 2}
        assert {p.position[axis] for p in prompts.points if p.positive} == {1, 2}
        negative = [p for p in prompts.points if not p.positive]
        assert {p.position[axis] for p in negative} == expected
        assert all(other[voxel(p.position)] for p in negative)


def test_without_negatives_nothing_is_said_beyond_the_object() -> None:
    target = np.zeros((4, 6, 6), bool)
    target[1:3, 1:3, 1:3] = True
    for options in (SimulationOptions(p_beyond=1.0, p_negatives=0.0), EXACT):
        prompts = simulate(target, rng(), kind="slices", others=[~target], options=options)
        assert {p.position[0] for p in prompts.points} == {1, 2}
    exact = simulate(target, rng(3), kind="slices")
    beyond = simulate(target, rng(3), kind="slices", options=SimulationOptions(p_beyond=1.0))
    assert said(exact) == said(beyond)  # without other structures


def test_a_negative_point_may_contradict() -> None:
    target = np.stack([C_SHAPE, C_SHAPE])
    options = SimulationOptions(boxes=False, p_contradict=1.0, fixed_points=True, max_points=2)
    points = simulate(target, rng(), kind="slices", options=options).points
    assert [p.positive for p in points] == [True, True, False] * 2
    assert [p.position[0] for p in points] == [0, 0, 0, 1, 1, 1]
    assert all(target[voxel(p.position)] for p in points)


# --- boxes at the border


def test_an_edge_at_the_border_of_the_patch_stays_there() -> None:
    """The object may go on behind it: a box that ended before the border would say that it does not."""
    target = np.zeros((3, 12, 14), bool)
    target[1, :6, 8:] = True
    options = SimulationOptions(points=False, jitter=3)
    inner = set()
    for seed in range(60):
        (box,) = simulate(target, rng(seed), kind="slices", options=options).boxes
        assert (box.lower[1], box.upper[2]) == (0, 14)
        inner.add((box.upper[1] - 6, box.lower[2] - 8))
    assert {a for a, _ in inner} == {b for _, b in inner} == set(range(-3, 4))


def test_a_3d_box_stays_at_the_border_along_every_axis() -> None:
    target = np.zeros((8, 9, 10), bool)
    target[:4, 5:, 3:7] = True
    options = replace(EXACT, points=False, scribbles=False, jitter=2, slice_axis=1)
    solid = 0
    for seed in range(60):
        (box,) = simulate(target, rng(seed), kind="few", options=options).boxes
        assert box.lower[0] == 0
        if box.upper[1] - box.lower[1] > 1:
            assert box.upper[1] == 9
            solid += 1
    assert 10 < solid < 50


# --- scribbles


def along(scribble: Any, axis: int) -> int:
    """The slice that a stroke lies in."""
    (index,) = {v[axis] for v in scribble.path}
    return int(index)


@modest
@given(masks(), seeds, st.integers(0, 2))
def test_strokes_are_positive_inside_and_negative_outside(mask: Any, seed: int, axis: int) -> None:
    others = [rng(seed + i).random(mask.shape) < 0.5 for i in (1, 2)]  # they overlap the target
    options = replace(NOISY, p_negative_area=0.0, p_negatives=1.0, slice_axis=axis)
    prompts = simulate(mask, rng(seed), kind="scribbles", others=others, options=options)
    assert not prompts.points and not prompts.boxes
    assert prompts.mask is None and prompts.negative_mask is None
    positive = [s for s in prompts.scribbles if s.positive]
    assert positive
    for stroke in prompts.scribbles:
        assert along(stroke, axis) in {along(s, axis) for s in positive}
        for vertex in stroke.path:
            assert mask[voxel(vertex)] == stroke.positive
    prompts.check_inside(mask.shape)


def test_some_slices_have_a_stroke_or_all() -> None:
    target = np.zeros((10, 6, 7), bool)
    target[2:9, 1:5, 2:6] = True
    target[4] = False
    counts = []
    for seed in range(60):
        strokes = simulate(target, rng(seed), kind="scribbles").scribbles
        slices = [along(s, 0) for s in strokes if s.positive]
        assert slices == sorted(set(slices))  # one stroke each
        assert set(slices) <= {2, 3, 5, 6, 7, 8}
        counts.append(len(slices))
    assert set(counts) == {1, 2, 3, 4, 5, 6}
    assert 20 < counts.count(6) < 50
    target[2, 1, 2] = False
    few = SimulationOptions(min_voxels=16)
    seen = {
        along(s, 0)
        for seed in range(40)
        for s in simulate(target, rng(seed), kind="scribbles", options=few).scribbles
    }
    assert seen == {3, 5, 6, 7, 8}
    none = SimulationOptions(min_voxels=17)
    assert simulate(target, rng(), kind="scribbles", options=none).empty


def test_negative_strokes_are_as_frequent_as_said() -> None:
    target, other = np.zeros((2, 3, 12, 12), bool)
    target[:, 2:5, 2:5] = True
    other[:, 8:11, 7:11] = True
    inside, beside = 0, 0
    for seed in range(60):
        for share in (0.0, 1.0):
            options = SimulationOptions(p_negatives=share)
            strokes = simulate(
                target, rng(seed), kind="scribbles", others=[other], options=options
            ).scribbles
            negative = [s for s in strokes if not s.positive]
            assert share or not negative
            for stroke in negative:
                voxels = [voxel(v) for v in stroke.path]
                if all(other[v] for v in voxels):
                    inside += 1
                else:
                    beside += 1
    assert inside > 10 and beside > 10


# --- masks with more


def test_clicks_on_errors_are_large_errors_or_anywhere_and_sometimes_on_what_is_right() -> None:
    target = ball((6, 14, 14), 5)
    right = 0
    options = SimulationOptions(p_satisfied=1.0)
    for seed in range(60):
        prompts = simulate(target, rng(seed), kind="mask", options=options)
        assert prompts.mask is not None
        for point in prompts.points:
            here = voxel(point.position)
            assert target[here] == point.positive  # never said of the wrong side
            satisfied = prompts.mask[here] == point.positive
            assert not satisfied or point.positive
            right += satisfied
    assert right > 5


def test_a_mask_may_be_disturbed_as_a_whole() -> None:
    target = np.zeros((7, 20, 20), bool)
    target[2:5, 6:14, 6:14] = True
    for share in (0.0, 1.0):
        options = SimulationOptions(p_disturb=share)
        drawn = [
            simulate(target, rng(seed), kind="mask", options=options).mask for seed in range(60)
        ]
        perfect = sum(np.array_equal(m, target) for m in drawn)
        assert (perfect < 3) == bool(share)
        assert all(m is not None and m.any() for m in drawn)


def test_beside_a_mask_that_goes_on_lie_prompts_of_what_it_shows() -> None:
    target = np.zeros((6, 8, 16), bool)
    target[1:5, 2:6] = True
    options = SimulationOptions(p_beside=1.0)
    forms = set()
    for seed in range(60):
        prompts = simulate(target, rng(seed), kind="continue", options=options)
        assert prompts.mask is not None and prompts.mask.any()
        shown = prompts.mask & target
        for point in prompts.points:
            assert point.positive and shown[voxel(point.position)]
        if prompts.boxes:
            assert len(prompts.points) >= len(prompts.boxes)
            assert {b.lower[0] for b in prompts.boxes} == set(np.flatnonzero(shown.any((1, 2))))
        forms.add((bool(prompts.boxes), bool(prompts.points)))
        alone = simulate(target, rng(seed), kind="continue")  # the same mask with or without
        assert alone.mask is not None and np.array_equal(alone.mask, prompts.mask)
        assert said(alone)[:3] == ((), (), ())
    assert {(True, True), (False, True)} <= forms <= {(True, True), (False, True), (False, False)}


# --- negative areas


@modest
@given(masks(), seeds, st.sampled_from(KINDS), st.integers(0, 2))
def test_a_negative_area_never_covers_the_target(
    mask: Any, seed: int, kind: Any, axis: int
) -> None:
    others = [rng(seed + i).random(mask.shape) < 0.5 for i in (1, 2)]  # they overlap the target
    options = SimulationOptions(p_negative_area=1.0, p_disturb=0.5, slice_axis=axis)
    prompts = simulate(mask, rng(seed), kind=kind, others=others, options=options)
    if prompts.negative_mask is not None:
        assert not (prompts.negative_mask & mask).any()
    for box in prompts.boxes:
        if not box.positive:
            spans = tuple(slice(int(a), int(b)) for a, b in zip(box.lower, box.upper, strict=True))
            assert not mask[spans].any()
            assert (others[0] | others[1])[spans].any()
    prompts.check_inside(mask.shape)


def test_a_negative_area_is_the_mask_of_the_others_or_their_boxes_in_slices() -> None:
    target, first, second = np.zeros((3, 4, 9, 9), bool)
    target[1:3, 1:4, 1:4] = True
    first[0:3, 5:7, 1:5] = True
    second[1:4, 0:2, 6:9] = True
    first[1, 2, 2] = True  # of the target, which is never forbidden
    options = SimulationOptions(p_negative_area=1.0)
    areas = {
        "first": first & ~target,
        "second": second,
        "both": (first & ~target) | second,
    }
    tight_boxes = {
        name: [
            replace(tight(area & (np.arange(4) == z)[:, None, None]), positive=False)
            for z in np.flatnonzero(area.any((1, 2)))
        ]
        for name, area in (("first", areas["first"]), ("second", second))
    }
    tight_boxes["both"] = tight_boxes["first"] + tight_boxes["second"]
    seen = set()
    for seed in range(150):
        prompts = simulate(target, rng(seed), kind="few", others=[first, second], options=options)
        negative = [b for b in prompts.boxes if not b.positive]
        assert not (negative and prompts.negative_mask is not None)
        if prompts.negative_mask is not None:
            (name,) = [n for n, a in areas.items() if np.array_equal(a, prompts.negative_mask)]
            seen.add(f"mask of {name}")
        elif len(negative) == 1:
            assert negative[0] in tight_boxes["both"]
            seen.add("one box")
        elif negative:
            (name,) = [n for n, boxes in tight_boxes.items() if boxes == negative]
            seen.add(f"boxes of {name}")
        else:
            seen.add("nothing")
    names = ("first", "second", "both")
    assert seen == {
        *(f"mask of {n}" for n in names),
        *(f"boxes of {n}" for n in names),
        "one box",
        "nothing",
    }


def test_a_box_that_would_meet_the_target_is_not_drawn() -> None:
    ring = np.zeros((2, 7, 7), bool)
    ring[:, 1:6, 1:6] = True
    target = np.zeros((2, 7, 7), bool)
    target[0, 3, 3] = True  # inside the ring of its slice, absent from the other
    options = SimulationOptions(p_negative_area=1.0, boxes=False)
    boxes = {
        b
        for seed in range(60)
        for b in simulate(target, rng(seed), kind="few", others=[ring], options=options).boxes
    }
    assert boxes == {Box((1.0, 1.0, 1.0), (2.0, 6.0, 6.0), False)}


def test_nothing_else_is_forbidden_where_nothing_is_said() -> None:
    target = np.zeros((2, 5, 5), bool)
    target[0, 1, 1] = True
    silent = SimulationOptions(boxes=False, points=False, scribbles=False, p_negative_area=1.0)
    for kind in ("few", "slices", "none"):
        kind_: Any = kind
        assert simulate(target, rng(), kind=kind_, others=[~target], options=silent).empty
    always = SimulationOptions(p_negative_area=1.0)
    assert simulate(target, rng(), kind="few", options=always).negative_mask is None
