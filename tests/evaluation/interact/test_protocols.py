"""The simulated user corrects the largest error, and is the same each time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnunet_prompt.evaluation.interact.protocols import (
    PROTOCOLS,
    View,
    generator,
    next_prompts,
    slice_axis,
)
from nnunet_prompt.prompts.types import Box, Point, Scribble

TARGET = np.zeros((9, 9, 3), bool)
TARGET[1:6, 1:6, :] = True
NOTHING = np.zeros_like(TARGET)
MM = (1.0, 1.0, 4.0)


def given(protocol: Any, step: int, found: Any = NOTHING, seed: int = 0) -> Any:
    rng = generator(seed, "case", 1)
    return next_prompts(protocol, step, View(TARGET, found, MM), rng)


def test_the_first_click_is_in_the_middle() -> None:
    assert given("clicks", 0) == (Point((3.0, 3.0, 1.0), True),)


def test_then_the_largest_error_is_clicked_with_its_sign() -> None:
    spurious = TARGET.copy()
    spurious[7:, 7:, 1] = True  # 4 voxels too many
    assert given("clicks", 1, spurious) == (Point((7.0, 7.0, 1.0), False),)
    missing = spurious.copy()
    missing[1:3, 1:4, 0] = False  # 6 too few
    (click,) = given("clicks", 2, missing)
    assert click.positive and not missing[tuple(int(v) for v in click.position)]


def test_nothing_is_left_to_correct() -> None:
    for protocol in PROTOCOLS:
        assert given(protocol, 4, TARGET) == ()


def test_cvpr_begins_with_a_box() -> None:
    assert given("cvpr", 0) == (Box((1.0, 1.0, 0.0), (6.0, 6.0, 3.0)),)
    assert given("cvpr", 1) == given("clicks", 0)


def test_autopet_begins_with_nothing_and_goes_on_with_strokes() -> None:
    assert given("autopet", 0) == ()
    found = TARGET.copy()
    found[1:6, 1:3] = False
    found[7:9, 2:7, 2] = True
    positive, negative = given("autopet", 1, found)
    assert isinstance(positive, Scribble) and positive.positive and not negative.positive
    for stroke, wrong in ((positive, TARGET & ~found), (negative, found & ~TARGET)):
        assert all(wrong[tuple(int(v) for v in vertex)] for vertex in stroke.path)
        assert len({vertex[2] for vertex in stroke.path}) == 1


def test_slices_are_points_then_boxes_then_clicks() -> None:
    points, boxes = given("slices", 0), given("slices", 1)
    assert all(isinstance(p, Point) and TARGET[tuple(map(int, p.position))] for p in points)
    assert {p.position[2] for p in points} == {0.0, 1.0, 2.0}
    assert boxes == tuple(Box((1.0, 1.0, k), (6.0, 6.0, k + 1)) for k in (0.0, 1.0, 2.0))
    assert given("slices", 2) == given("clicks", 2)


def test_chance_is_of_seed_case_and_label_alone() -> None:
    assert given("slices", 0) == given("slices", 0)
    assert given("slices", 0) != given("slices", 0, seed=1)
    draws = {generator(0, case, label).random() for case in "ab" for label in (1, 2)}
    assert len(draws) == 4


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(ValueError, match="protocol must be one of"):
        given("click", 0)


def test_slices_lie_along_the_widest_axis() -> None:
    assert slice_axis((8.0, 1.0, 1.0)) == 0
    assert slice_axis((1.0, 1.0, 1.0)) == 2
    assert slice_axis((2.0, 2.0, 1.0)) == 1
