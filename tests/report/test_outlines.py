"""Outlines and prompts as paths, in half pixels."""

from __future__ import annotations

import re

import numpy as np
import pytest

from nnunet_prompt.prompts.types import Box, Point, PromptSet, Scribble
from nnunet_prompt.report.outlines import Cut, Marks, marks, outline

pytestmark = pytest.mark.slow  # a whole product

CUT = Cut(slice(2, 8), slice(1, 9), 1)


def test_one_pixel_is_a_diamond_around_its_centre() -> None:
    """Pixel (1, 2) has its centre at x = 5, y = 3, and its four corners are half a pixel from it."""
    mask = np.zeros((3, 4), bool)
    mask[1, 2] = True
    assert _corners(outline(mask)) == {(4, 3), (5, 2), (6, 3), (5, 4)}


def test_straight_parts_have_two_ends_only() -> None:
    mask = np.zeros((6, 9), bool)
    mask[1:5, 2:8] = True  # a bar has eight corners, two beside each of its own
    assert len(_corners(outline(mask))) == 8


def test_at_the_border_outlines_close() -> None:
    path = outline(np.ones((2, 2), bool))
    assert path.count("M") == path.count("z") == 1
    assert all(0 <= n <= 4 for corner in _corners(path) for n in corner)


def test_a_ragged_mask_has_a_coarser_outline_that_is_not_endless() -> None:
    noise = np.random.default_rng(0).random((128, 128)) < 0.5
    path = outline(noise)
    places = np.array([[int(x), int(y)] for x, y in re.findall(r"M(-?\d+) (-?\d+)", path)])
    assert len(path) < 20_000  # by every pixel it has more than 80,000 characters
    assert places.min() >= -3 and places.max() <= 2 * 128 + 3


def test_nothing_has_no_outline() -> None:
    assert outline(np.zeros((3, 3), bool)) == ""


def test_a_hole_is_a_second_line() -> None:
    mask = np.ones((5, 5), bool)
    mask[2, 2] = False
    assert outline(mask).count("M") == 2


def test_points_are_in_their_slice_and_of_their_sign() -> None:
    said = PromptSet(points=(Point((3, 4, 5)), Point((4, 4, 5)), Point((3, 2, 1), False)))
    assert marks([said], 3, CUT, positive=True) == Marks(points="M9 5h0")
    assert marks([said], 3, CUT, positive=False) == Marks(points="M1 1h0")
    assert marks([said], 5, CUT, positive=True) == Marks()


def test_a_box_has_its_edges_half_a_voxel_before_its_corners() -> None:
    said = PromptSet(boxes=(Box((3, 3, 2), (5, 6, 7)),))
    assert marks([said], 4, CUT, positive=True).lines == "M2 2H12V8H2z"
    assert marks([said], 5, CUT, positive=True).lines == ""  # half-open


def test_boxes_seen_from_their_edge_are_one_outline() -> None:
    thin = [Box((0, 2, column), (6, 7, column + 1)) for column in range(2, 7)]
    found = marks([PromptSet(boxes=tuple(thin))], 1, CUT, positive=True).lines
    assert found.count("M") == 1 and found.count("H") == 0
    assert marks([PromptSet(boxes=tuple(thin[:2]))], 1, CUT, positive=True).lines.count("M") == 2


def test_scribbles_are_cut_where_they_leave_the_slice() -> None:
    path = ((1, 2, 1), (1, 3, 1), (2, 3, 1), (1, 4, 1))
    found = marks([PromptSet(scribbles=(Scribble(path),))], 1, CUT, positive=True)
    assert found.lines == "M1 1h0L1 3M1 5h0"


def test_masks_are_outlines() -> None:
    mask = np.zeros((2, 8, 9), bool)
    mask[1, 4, 5] = True
    said = PromptSet(mask=mask, negative_mask=mask)
    assert _corners(marks([said], 1, CUT, positive=True).areas) == {(8, 5), (9, 4), (10, 5), (9, 6)}
    assert marks([said], 1, CUT, positive=False).areas != ""
    assert marks([said], 0, CUT, positive=True) == Marks()


def test_a_coarse_cut_counts_its_own_pixels() -> None:
    cut = Cut(slice(0, 9), slice(0, 12), 3)
    assert cut.shape == (3, 4)
    assert cut.place(3, 6) == (5, 3)


def _corners(path: str) -> set[tuple[int, int]]:
    """The corners of a closed path, made absolute."""
    found = set()
    for x, y, steps in re.findall(r"M(-?\d+) (-?\d+)l([^z]*)z", path):
        numbers = [int(n) for n in re.findall(r"-?\d+", steps)]
        place = np.array([int(x), int(y)])
        found.add(tuple(place.tolist()))
        for step in zip(numbers[::2], numbers[1::2], strict=True):
            place = place + step
            found.add(tuple(place.tolist()))
    return found
