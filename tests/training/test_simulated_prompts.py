"""Validation draws its prompts from the truth of the case and from nothing else (trap 14)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnunet_prompt.prompts.types import Box, Point, PromptSet
from nnunet_prompt.training.validation_prompts import (
    FEW_KINDS,
    SLICE_KINDS,
    VALIDATION_KINDS,
    folder_name,
    is_gated,
    simulated_prompts,
)
from tests.helpers.each import each


def masks() -> dict[int, np.ndarray]:
    first = np.zeros((4, 9, 7), bool)
    first[1:3, 1:5, 1:4] = True
    second = np.zeros((4, 9, 7), bool)
    second[2:4, 5:8, 3:6] = True
    return {1: first, 2: second}


def said(prompts: dict[int, PromptSet]) -> list[object]:
    return [
        (k, p.points, p.boxes, p.scribbles, None if p.mask is None else p.mask.tolist())
        for k, p in prompts.items()
    ]


@each("kind", VALIDATION_KINDS[1:])
def test_the_same_case_gets_the_same_prompts_whatever_was_drawn_before(kind: str) -> None:
    first = simulated_prompts(masks(), kind, "case_1")
    np.random.default_rng().random(100)
    simulated_prompts(masks(), kind, "case_2")
    assert said(first) == said(simulated_prompts(masks(), kind, "case_1"))


@each("kind", ["three clicks", "points in slices", "box + points in slices"])
def test_another_case_gets_other_points(kind: str) -> None:
    assert said(simulated_prompts(masks(), kind, "a")) != said(
        simulated_prompts(masks(), kind, "b")
    )


def test_boxes_are_tight_in_every_slice_of_the_structure() -> None:
    boxes = simulated_prompts(masks(), "box in slices", "case_1")[1].boxes
    assert [(b.lower, b.upper) for b in boxes] == [((1, 1, 1), (2, 5, 4)), ((2, 1, 1), (3, 5, 4))]


def test_points_are_one_to_five_per_slice_and_those_of_the_other_structure_are_negative() -> None:
    truth = masks()
    prompts = simulated_prompts(truth, "box + points in slices", "case_1")
    for label, other in ((1, 2), (2, 1)):
        points = prompts[label].points
        for z in range(4):
            mine = [p for p in points if p.positive and p.position[0] == z]
            assert (1 <= len(mine) <= 5) == truth[label][z].any()
        for p in points:
            z, y, x = (int(v) for v in p.position)
            assert truth[label if p.positive else other][z, y, x]
        assert any(not p.positive for p in points)


def test_a_rough_mask_is_never_empty_and_brings_no_points() -> None:
    for case in map(str, range(30)):
        for prompts in simulated_prompts(masks(), "mask", case).values():
            assert prompts.mask is not None and prompts.mask.any()
            assert not prompts.points and not prompts.boxes


# --- few prompts, on a mask drawn by hand


def cross() -> np.ndarray:
    """Slices 1 to 6 of eight: a thin bar, but for the plate of slice 4 and the dot of slice 6."""
    mask = np.zeros((8, 13, 15), bool)
    mask[1:6, 6, 3:6] = True
    mask[4, 5:8, 2:13] = True
    mask[6, 6, 4] = True
    return mask


def of_one(kind: str, mask: np.ndarray, case: str = "case_1", **how: Any) -> PromptSet:
    return simulated_prompts({7: mask}, kind, case, **how)[7]


def test_one_click_lies_at_the_deepest_point() -> None:
    mask = np.zeros((9, 12, 13), bool)
    mask[2:7, 3:8, 4:9] = True
    for case in ("a", "b"):
        assert of_one("one click", mask, case).points == (Point((4.0, 5.0, 6.0)),)
    mask[8, :, :] = True  # thin: deep in no direction
    assert of_one("one click", mask).points == (Point((4.0, 5.0, 6.0)),)


def test_one_click_counts_millimetres() -> None:
    mask = np.zeros((14, 30, 30), bool)
    mask[1:6, 2:7, 2:7] = True  # a cube in voxels
    mask[9:12, 10:29, 10:29] = True  # as thick, if slices are 5 mm
    assert of_one("one click", mask).points == (Point((3.0, 4.0, 4.0)),)
    assert of_one("one click", mask, spacing=(5.0, 1.0, 1.0)).points == (Point((10.0, 19.0, 19.0)),)


def test_three_clicks_are_the_deepest_and_two_of_the_inside() -> None:
    mask = np.zeros((9, 12, 13), bool)
    mask[2:7, 3:8, 4:9] = True
    inside = mask.copy()
    inside[2] = inside[6] = inside[:, 3] = inside[:, 7] = inside[:, :, 4] = inside[:, :, 8] = False
    others = set()
    for case in map(str, range(30)):
        first, *rest = of_one("three clicks", mask, case).points
        assert first == Point((4.0, 5.0, 6.0))
        assert len(rest) == 2 and len({p.position for p in rest}) == 2
        for point in rest:
            z, y, x = (int(v) for v in point.position)
            assert point.positive and inside[z, y, x]
            others.add(point.position)
    assert len(others) > 15


def test_a_box_in_one_slice_is_tight_in_the_middle_one_of_those_that_show_the_object() -> None:
    assert of_one("box in one slice", cross()).boxes == (Box((4.0, 5.0, 2.0), (5.0, 8.0, 13.0)),)
    gap = cross()
    gap[4] = False  # slices 1, 2, 3, 5 and 6 are left
    assert of_one("box in one slice", gap).boxes == (Box((3.0, 6.0, 3.0), (4.0, 7.0, 6.0)),)
    along = of_one("box in one slice", np.moveaxis(cross(), 0, 2), slice_axis=2)
    assert along.boxes == (Box((5.0, 2.0, 4.0), (8.0, 13.0, 5.0)),)


def test_a_3d_box_is_tight() -> None:
    assert of_one("3D box", cross()).boxes == (Box((1.0, 5.0, 2.0), (7.0, 8.0, 13.0)),)


@each("axis", [0, 1, 2])
def test_scribbles_are_centre_lines_at_a_quarter_half_and_three_quarters(axis: int) -> None:
    mask = np.moveaxis(cross(), 0, axis)
    prompts = of_one("scribble in three slices", mask, slice_axis=axis)
    slices = []
    for stroke in prompts.scribbles:
        assert stroke.positive
        path = np.array(stroke.path)
        assert (path == path.astype(int)).all() and mask[tuple(path.astype(int).T)].all()
        (index,) = set(path[:, axis].tolist())
        slices.append(index)
        row, column = np.delete(path, axis, 1).T
        if index == 4:  # along the middle of the plate, from end to end
            assert abs(column[0] - column[-1]) >= 7
            inner = (column >= 5) & (column <= 9)  # at its ends the corners are as deep
            assert set(row[inner].tolist()) == {6}
        else:
            assert set(row.tolist()) == {6}
    assert slices == [2, 4, 5]  # of 1, 2, 3, 4, 5, 6


def test_few_slices_have_as_many_scribbles() -> None:
    for slices, expected in (([3], [3]), ([3, 5], [3, 5]), ([1, 2, 5], [1, 2, 5])):
        mask = np.zeros((8, 9, 9), bool)
        mask[slices, 4, 2:7] = True
        strokes = of_one("scribble in three slices", mask).scribbles
        assert [int(s.path[0][0]) for s in strokes] == expected


@each("kind", [k for k in FEW_KINDS if "click" not in k] + ["mask"])
def test_where_no_point_is_said_nothing_is_negative(kind: str) -> None:
    for prompts in simulated_prompts(masks(), kind, "case").values():
        assert not prompts.points and prompts.negative_mask is None
        assert all(p.positive for p in (*prompts.boxes, *prompts.scribbles))
        kinds = (prompts.boxes, prompts.scribbles, () if prompts.mask is None else (1,))
        assert sum(bool(k) for k in kinds) == 1


@each(("kind", "count"), [("one click", 1), ("three clicks", 3)])
def test_clicks_on_the_other_structure_are_negative(kind: str, count: int) -> None:
    truth = masks()
    prompts = simulated_prompts(truth, kind, "case")
    for label, other in ((1, 2), (2, 1)):
        positive = [p.position for p in prompts[label].points if p.positive]
        negative = [p.position for p in prompts[label].points if not p.positive]
        assert len(positive) == len(negative) == count
        assert negative == [p.position for p in prompts[other].points if p.positive]


@each("kind", VALIDATION_KINDS)
def test_nothing_is_said_of_what_is_not_there(kind: str) -> None:
    empty = np.zeros((4, 9, 7), bool)
    prompts = simulated_prompts({1: empty, 2: masks()[2]}, kind, "case")
    assert not any(p.positive for p in prompts[1].points)
    assert not prompts[1].boxes and not prompts[1].scribbles and prompts[1].mask is None
    assert prompts[2].empty == (kind == "none")
    assert simulated_prompts({}, kind, "case") == {}


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"kind must be one of .*found 'box'"):
        simulated_prompts(masks(), "box", "case")


# --- kinds


def test_the_kinds_are_without_prompts_few_in_slices_and_a_mask() -> None:
    assert VALIDATION_KINDS == ("none", *FEW_KINDS, *SLICE_KINDS, "mask")
    assert len(set(VALIDATION_KINDS)) == len(VALIDATION_KINDS)
    assert [k for k in VALIDATION_KINDS if is_gated(k)] == list(SLICE_KINDS)


def test_folders_have_plain_names_and_each_its_own() -> None:
    assert [folder_name(kind) for kind in VALIDATION_KINDS] == [
        "none",
        "one_click",
        "three_clicks",
        "box_in_one_slice",
        "3d_box",
        "scribble_in_three_slices",
        "points_in_slices",
        "box_in_slices",
        "box_points_in_slices",
        "mask",
    ]
