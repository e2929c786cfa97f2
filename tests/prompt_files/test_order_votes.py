from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_prompt.prompt_files.case_view import CaseView, view_case
from nnunet_prompt.prompt_files.order_votes import (
    EndVotes,
    by_bounds,
    outside_their_boxes,
    vote_ends,
)
from tests.helpers.each import each
from tests.prompt_files.inputs import parsed, save_pls


def view(folder: Path, *prompts: Any, shape: tuple[int, int, int] = (6, 9, 4)) -> CaseView:
    """One slice per prompt, all of one label."""
    case = {str(k): {"7": prompt} for k, prompt in enumerate(prompts)}
    path = save_pls(folder / "a.nii.gz", np.zeros(shape))
    return view_case("a", path, parsed({"a": case}).cases["a"])


def test_bounds_are_those_of_boxes_and_points(tmp_path: Path) -> None:
    assert by_bounds(view(tmp_path, [[0, 0, 6, 9], []])) == pytest.approx(0.95 + 0.2 * 0.05)
    assert by_bounds(view(tmp_path, [[0, 0, 9, 6], []])) == pytest.approx(-0.96)
    assert by_bounds(view(tmp_path, [None, [[5.4, 8.4]]])) == pytest.approx(0.96)
    assert by_bounds(view(tmp_path, [[0, 0, 6, 6], [[5, 5]]])) == 0
    assert by_bounds(view(tmp_path, [[0, 0, 20, 20], [[20, 0]]])) == 0
    assert by_bounds(view(tmp_path)) == 0


def test_one_case_says_only_so_much_by_its_bounds(tmp_path: Path) -> None:
    points = [[5, 8]] * 5
    prompts = [[None, points] for _ in range(4)]
    assert by_bounds(view(tmp_path, *prompts)) == 6
    assert by_bounds(view(tmp_path, *prompts, shape=(9, 9, 4))) == 0


def test_a_box_to_the_border_ends_one_past_its_last_pixel(tmp_path: Path) -> None:
    prompts = [[[0, 0, 6, 3], []], [[0, 0, 2, 9], []], [[0, 0, 6, 9], []]]
    assert vote_ends([view(tmp_path, *prompts)], swapped=False) == EndVotes(0, 3)
    assert vote_ends([view(tmp_path, *prompts)], swapped=True) == EndVotes(0, 0)


def test_a_box_without_width_ends_at_its_last_pixel(tmp_path: Path) -> None:
    prompts = [[[1, 1, 1, 3], []], [[2, 2, 4, 2], []], [[3, 3, 3, 3], []]]
    assert vote_ends([view(tmp_path, *prompts)], swapped=False) == EndVotes(3, 0)


def test_points_on_the_edges_of_their_boxes(tmp_path: Path) -> None:
    first = [[1, 1, 4, 4], [[1, 2], [2, 1], [1, 1]]]
    last = [[1, 1, 4, 4], [[4, 2], [2, 4], [4, 4]]]
    assert vote_ends([view(tmp_path, first)], swapped=False) == EndVotes(0, 4)
    assert vote_ends([view(tmp_path, last)], swapped=False) == EndVotes(4, 0)
    assert vote_ends([view(tmp_path, first, last)], swapped=False) == EndVotes(4, 0)
    assert vote_ends([view(tmp_path, [None, [[1, 1]]])], swapped=False) == EndVotes(0, 0)


@each(
    ("inclusive", "exclusive", "answer"),
    [(0, 0, None), (2, 0, None), (3, 0, True), (0, 3, False), (1, 4, False), (2, 7, None)],
)
def test_the_answer_about_ends(inclusive: int, exclusive: int, answer: bool | None) -> None:
    assert EndVotes(inclusive, exclusive).answer is answer


def test_points_outside_their_boxes_are_counted(tmp_path: Path) -> None:
    one = view(tmp_path, [[0, 5, 2, 8], [[1, 6], [6, 1], [4, 9], [9, 9]]], [None, [[3, 3]]])
    assert outside_their_boxes([one]) == (4, 2, 1)
