"""Strokes in a slice: every voxel of a stroke lies in the mask, of those outside none."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from nnunet_prompt.prompts.encode import path_voxels
from nnunet_prompt.prompts.strokes import STROKE_FORMS, draw_outside, draw_stroke
from nnunet_prompt.prompts.types import Scribble
from tests.helpers.each import each
from tests.prompts.masks import ball, masks, modest, rng, seeds

BoolSlice = npt.NDArray[np.bool_]

C_SHAPE = np.array(
    [
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 1, 1, 0],
        [0, 1, 1, 1, 1, 1, 1, 0],
        [0, 1, 1, 0, 0, 0, 0, 0],
        [0, 1, 1, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 1, 1, 0],
        [0, 1, 1, 1, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ],
    bool,
)


def voxels(path: Any) -> list[tuple[int, int]]:
    assert path.dtype == float and path.ndim == 2 and path.shape[1] == 2
    assert np.array_equal(path, np.round(path))  # centres of voxels
    return [(int(y), int(x)) for y, x in path]


def check(path: Any, mask: BoolSlice) -> None:
    """In the mask, and from voxel to voxel without a gap."""
    here = voxels(path)
    assert here
    for y, x in here:
        assert 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]
        assert mask[y, x]
    for (a, b), (c, d) in pairwise(here):
        assert max(abs(c - a), abs(d - b)) == 1


@modest
@given(masks(), seeds, st.sampled_from(STROKE_FORMS))
def test_every_voxel_of_a_stroke_lies_in_the_mask(mask: Any, seed: int, form: Any) -> None:
    for plane in mask:
        path = draw_stroke(plane, rng(seed), form)
        assert (path is None) == (not plane.any())
        if path is not None:
            check(path, plane)


@modest
@given(masks(), seeds)
def test_a_stroke_outside_never_touches_the_mask(mask: Any, seed: int) -> None:
    for plane in mask:
        path = draw_outside(plane, rng(seed))
        if path is not None:
            check(path, ~plane)


@each("form", STROKE_FORMS)
@each(
    "mask",
    [
        C_SHAPE,
        np.eye(9, dtype=bool),
        np.eye(9, dtype=bool)[::-1],
        np.ones((1, 12), bool),
        np.ones((12, 1), bool),
        np.ones((2, 12), bool),
        np.indices((5, 5)).sum(0) % 2 == 0,
        ball((1, 25, 31), 11)[0],
        ball((1, 25, 25), 11)[0] & ~ball((1, 25, 25), 9)[0],
    ],
    ids=["C", "diagonal", "other diagonal", "row", "column", "thin", "checks", "disk", "ring"],
)
def test_shapes_that_are_hard_to_draw_in(mask: Any, form: Any) -> None:
    for seed in range(40):
        check(draw_stroke(mask, rng(seed), form), mask)


@each("form", STROKE_FORMS)
def test_a_single_voxel_is_a_stroke_of_one(form: Any) -> None:
    for place in ((0, 0), (2, 3), (4, 6)):
        mask = np.zeros((5, 7), bool)
        mask[place] = True
        assert voxels(draw_stroke(mask, rng(), form)) == [place]
    assert voxels(draw_stroke(np.ones((1, 1), bool), rng(), form)) == [(0, 0)]


@each("form", STROKE_FORMS)
def test_an_empty_mask_has_none(form: Any) -> None:
    assert draw_stroke(np.zeros((4, 5), bool), rng(), form) is None
    assert draw_outside(np.zeros((4, 5), bool), rng()) is None


@each("form", STROKE_FORMS)
def test_the_generator_alone_decides_and_the_mask_stays(form: Any) -> None:
    mask = ball((1, 25, 31), 11)[0]
    before = mask.copy()
    drawn = [draw_stroke(mask, rng(seed), form) for seed in (1, 1, *range(2, 8))]
    assert all(path is not None for path in drawn)
    keys = [path.tobytes() for path in drawn if path is not None]
    assert keys[0] == keys[1]
    assert (len(set(keys)) == 1) == (form == "centre line")  # of which there is one
    assert np.array_equal(mask, before)


def test_a_centre_line_goes_from_end_to_end_through_the_middle() -> None:
    bar = np.zeros((9, 30), bool)
    bar[2:7, 3:27] = True
    for mask, axis in ((bar, 1), (bar.T, 0)):
        path = draw_stroke(mask, rng(), "centre line")
        assert path is not None
        assert set(path[2:-2, 1 - axis].tolist()) == {4}  # the middle row
        assert path[:, axis].min() <= 4 and path[:, axis].max() >= 25


def test_a_border_stroke_lies_on_the_border_and_a_contour_behind_it() -> None:
    disk = ball((1, 31, 31), 13)[0]
    steps, corners = _depth(disk, "taxicab"), _depth(disk, "chessboard")
    lengths = []
    for seed in range(40):
        border = draw_stroke(disk, rng(seed), "border")
        contour = draw_stroke(disk, rng(seed), "contour")
        assert border is not None and contour is not None
        lengths.append(len(border))
        assert {int(corners[v]) for v in voxels(border)} == {1}
        inner = [int(steps[v]) for v in voxels(contour)]
        assert 2 <= np.median(inner) <= 4 and max(inner) <= 5
        assert inner.count(1) < 0.3 * len(inner)  # a corner it cuts
    assert min(lengths) < 40 < 60 < max(lengths)  # a fifth to all of about 76 voxels


def test_a_border_stroke_may_follow_the_border_of_the_image() -> None:
    full = np.ones((6, 8), bool)
    touched = set()
    for seed in range(20):
        path = draw_stroke(full, rng(seed), "border")
        assert path is not None
        touched |= set(voxels(path))
    edge = {(y, x) for y in range(6) for x in range(8) if y in (0, 5) or x in (0, 7)}
    assert touched == edge


def test_a_curve_goes_anywhere_in_the_mask() -> None:
    disk = ball((1, 11, 11), 4)[0]
    touched = set()
    for seed in range(200):
        path = draw_stroke(disk, rng(seed), "stroke")
        assert path is not None
        touched |= set(voxels(path))
    assert len(touched) == disk.sum()


def test_of_a_stroke_that_leaves_the_mask_the_longest_part_is_kept() -> None:
    """Through the opening of the C no stroke goes, but strokes of both of its arms are drawn."""
    arms = set()
    for seed in range(60):
        path = draw_stroke(C_SHAPE, rng(seed), "stroke")
        check(path, C_SHAPE)
        assert path is not None
        rows = set(path[:, 0].tolist())
        arms.add((bool(rows & {1.0, 2.0}), bool(rows & {5.0, 6.0})))
    assert {(True, False), (False, True)} <= arms


@each(("reach", "far"), [((1, 2), {1}), ((2, 5), {2, 3, 4}), ((4, 5), {4})])
def test_a_stroke_outside_keeps_its_distance(reach: tuple[int, int], far: set[int]) -> None:
    mask = np.zeros((30, 32), bool)
    mask[12:17, 11:19] = True
    found = set()
    for seed in range(40):
        path = draw_outside(mask, rng(seed), reach=reach)
        check(path, ~mask)
        assert path is not None
        steps = [_steps_to(mask, v) for v in voxels(path)]
        distance = int(np.median(steps))
        assert {abs(s - distance) for s in steps} <= {0, 1}  # round corners it cuts some
        assert steps.count(distance) >= 0.6 * len(steps)
        found.add(distance)
    assert found == far


def test_a_stroke_outside_is_cut_at_the_border_of_the_image() -> None:
    half = np.zeros((10, 12), bool)
    half[:, :6] = True
    for seed in range(30):
        path = draw_outside(half, rng(seed))
        if path is not None:  # all of what was drawn may lie beyond the image
            check(path, ~half)
            assert path[:, 1].min() >= 7
    assert draw_outside(np.ones((4, 5), bool), rng()) is None


def _depth(mask: BoolSlice, metric: str) -> Any:
    """Steps to the next voxel outside: by faces, or by faces and corners."""
    from scipy.ndimage import distance_transform_cdt

    return distance_transform_cdt(np.pad(mask, 1), metric=metric)[1:-1, 1:-1]


def _steps_to(mask: BoolSlice, voxel: tuple[int, int]) -> int:
    return int(np.abs(np.argwhere(mask) - voxel).sum(1).min())


def test_what_is_drawn_between_two_voxels_that_touch_by_a_corner_counts() -> None:
    """The middle of a diagonal step is drawn as a third voxel."""
    mask = np.eye(6, dtype=bool)[:, ::-1]
    for form in STROKE_FORMS:
        path = draw_stroke(mask, rng(), form)
        assert path is not None
        drawn = path_voxels(Scribble(tuple((0.0, float(y), float(x)) for y, x in path)))
        assert all(mask[y, x] for _, y, x in drawn)


def test_a_centre_line_stays_in_the_middle_of_a_plate() -> None:
    path = draw_stroke(np.ones((7, 21), bool), rng(), "centre line")
    assert path is not None and set(path[2:-2, 0]) == {3.0}
