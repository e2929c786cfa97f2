"""Prompts drawn from masks: inside what they point at, in no preferred direction, and by the generator alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_prompt.prompts.model import Box, PromptSet
from nnunet_prompt.prompts.simulate import (
    EXACT,
    KINDS,
    SimulationOptions,
    simulate,
)
from tests.mask_fixture import ball, masks, modest, rng, seeds

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

NOISY = SimulationOptions(jitter=2, p_drop=0.2, p_wrong=0.3, p_negatives=0.7, max_points=4)


def voxel(position: Any) -> Any:
    assert all(x == int(x) for x in position)
    return tuple(int(x) for x in position)


def said(prompts: PromptSet) -> Any:
    """All of a prompt set, to compare."""
    mask = None if prompts.mask is None else prompts.mask.tolist()
    return prompts.points, prompts.boxes, prompts.scribbles, mask


def tight(mask: Any) -> Box:
    where = np.argwhere(mask)
    return Box(tuple(map(float, where.min(0))), tuple(map(float, where.max(0) + 1)))


# --- chance


@pytest.mark.parametrize("kind", KINDS)
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
    if prompts.mask is not None:
        prompts.mask[:] = True
        np.testing.assert_array_equal(target, mask)


def test_an_unknown_kind_is_no_mask() -> None:
    unknown: Any = "slice"
    with pytest.raises(ValueError, match=r"kind must be one of .*found 'slice'"):
        simulate(np.ones((1, 2, 3), bool), rng(), kind=unknown)


# --- points


@modest
@given(masks(), seeds, st.sampled_from(["slices", "volume"]), st.integers(0, 2))
def test_points_lie_in_the_mask(mask: Any, seed: int, kind: Any, axis: int) -> None:
    options = SimulationOptions(slice_axis=axis)
    for point in simulate(mask, rng(seed), kind=kind, options=options).points:
        assert point.positive
        assert mask[voxel(point.position)]


@pytest.mark.parametrize("kind", ["slices", "volume"])
@pytest.mark.parametrize("axis", [0, 1, 2])
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
        len(simulate(mask, rng(seed), kind="volume", options=replace(EXACT, boxes=False)).points)
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
        for seed in range(30)
        for b in simulate(target, rng(seed), kind="volume").boxes  # in a slice, or in 3D
    }
    assert forms == {expected}
    target[0, 50, 10] = True
    volume = {b for s in range(30) for b in simulate(target, rng(s), kind="volume").boxes}
    assert Box((0.0, 40.0, 10.0), (2.0, 60.0, 90.0)) in volume
    assert volume <= {
        expected,
        Box((0.0, 50.0, 10.0), (1.0, 51.0, 11.0)),
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


@pytest.mark.parametrize("kind", ["slices", "volume"])
def test_boxes_alone_points_alone_and_neither(kind: Any) -> None:
    target, other = np.zeros((3, 6, 6), bool), np.zeros((3, 6, 6), bool)
    target[:, 1:3, 1:3] = True
    other[:, 4:, 4:] = True
    for seed in range(20):
        for boxes in (True, False):
            for points in (True, False):
                options = SimulationOptions(boxes=boxes, points=points)
                prompts = simulate(target, rng(seed), kind=kind, others=[other], options=options)
                assert boxes or not prompts.boxes
                assert points or not prompts.points  # no negative ones either
                assert prompts.empty == (not boxes and not points)


# --- noise


def test_points_are_jittered_in_both_directions_alike() -> None:
    target = np.zeros((9, 15, 15), bool)
    target[4, 7, 7] = True
    options = SimulationOptions(boxes=False, jitter=2)
    for kind, axes in (("slices", [1, 2]), ("volume", [0, 1, 2])):
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


@pytest.mark.parametrize("width", [1, 2, 6])
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
        for kind in ("slices", "volume"):
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
@given(masks(), seeds, st.sampled_from(["slices", "volume"]), st.integers(0, 2))
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
            assert kind == "volume" or point.position[axis] in prompted


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
    for kind in ("slices", "volume", "continue", "none"):
        kind_: Any = kind
        prompts = simulate(nothing, rng(), kind=kind_, others=[~nothing])
        assert prompts.empty
        assert prompts.mask is None
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
        prompts = simulate(target, rng(seed), kind="continue", others=[~target], options=NOISY)
        assert prompts.mask is not None
        assert prompts.mask.any() and not prompts.mask.all()
        assert not (prompts.points or prompts.boxes or prompts.scribbles)
    assert simulate(np.ones((1, 1, 1), bool), rng(), kind="continue").empty


def test_none_says_nothing() -> None:
    assert said(simulate(ball((5, 9, 9), 3), rng(), kind="none")) == said(PromptSet())


def test_a_volume_has_points_or_one_box() -> None:
    target = ball((5, 9, 11), 3)
    forms = set()
    for seed in range(60):
        prompts = simulate(target, rng(seed), kind="volume")
        assert len(prompts.points) <= 5
        (box,) = prompts.boxes or (None,)
        if box is None:
            assert prompts.points
            forms.add("points")
        elif box.upper[0] - box.lower[0] == 1:
            alone = np.zeros_like(target)
            alone[int(box.lower[0])] = target[int(box.lower[0])]
            assert box == tight(alone)
            forms.add("slice box + points" if prompts.points else "slice box")
        else:
            assert box == tight(target)
            forms.add("3D box + points" if prompts.points else "3D box")
    assert len(forms) == 5


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
