from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nnunet_prompt.prompt_files.case_view import CaseView, view_case
from nnunet_prompt.prompt_files.slice_votes import AxisVote, BaseVotes, vote_axis
from tests.helpers.each import each
from tests.prompt_files.inputs import parsed, save_pls, slices


def view(
    folder: Path, case: Any, shape: tuple[int, int, int], spacing: Any = (1, 1, 1)
) -> CaseView:
    path = save_pls(folder / "a.nii.gz", np.zeros(shape), spacing)
    return view_case("a", path, parsed({"a": case}).cases["a"])


def at(x: int, y: int) -> dict[str, Any]:
    return {"7": [[x - 1, y - 1, x, y], []]}


@each("first", [0, 1])
@each(
    ("shape", "n", "axis"),
    [
        ((6, 9, 4), 4, 2),
        ((6, 9, 4), 6, 0),
        ((6, 9, 4), 9, 1),
        ((4, 9, 4), 4, 2),  # the third as well as the first
        ((6, 9, 4), 3, 2),  # none, but the third holds them all
        ((6, 9, 4), 2, 2),
    ],
)
def test_the_numbers_run_over_an_axis(
    tmp_path: Path, shape: Any, n: int, axis: int, first: int
) -> None:
    case = slices(n, at(3, 3), first=first, empty=1)
    vote = vote_axis(view(tmp_path, case, shape), lists_empty=True)
    assert (vote.axis, vote.guessed) == (axis, False)


def test_as_many_slices_as_another_axis_may_be_chance_where_empty_ones_are_not_named(
    tmp_path: Path,
) -> None:
    case = view(tmp_path, slices(6, at(3, 3)), (6, 9, 20))
    assert vote_axis(case, lists_empty=True).axis == 0
    assert vote_axis(case, lists_empty=False) == AxisVote()
    stack = view(tmp_path, slices(6, at(3, 3)), (6, 9, 20), (8, 1, 1))
    assert vote_axis(stack, lists_empty=False).axis == 0


def test_prompts_that_leave_the_slices_of_the_third_axis_lie_along_another(tmp_path: Path) -> None:
    case = {str(k): at(15, 14) for k in (2, 3)}
    vote = vote_axis(view(tmp_path, case, (16, 5, 20)), lists_empty=False)
    assert vote.axis == 1
    assert vote.why == "100% of its prompts leave the slices of axis 2, but not those of axis 1"
    case["3"] = at(3, 3)
    case["1"] = at(4, 3)
    assert vote_axis(view(tmp_path, case, (16, 5, 20)), lists_empty=False) == AxisVote()


def test_of_two_axes_that_fit_the_one_across_the_stack_is_taken(tmp_path: Path) -> None:
    case = slices(6, at(3, 3), empty=1)
    vote = vote_axis(view(tmp_path, case, (6, 6, 9), (1, 8, 1)), lists_empty=True)
    assert (vote.axis, vote.guessed) == (1, False)
    vote = vote_axis(view(tmp_path, case, (6, 6, 9)), lists_empty=True)
    assert (vote.axis, vote.guessed) == (0, True)


def test_a_case_without_slices_or_prompts(tmp_path: Path) -> None:
    assert vote_axis(view(tmp_path, {}, (6, 9, 4)), lists_empty=True) == AxisVote()
    assert vote_axis(view(tmp_path, slices(9, None), (6, 9, 4)), lists_empty=True).axis == 1


@each(
    ("zero", "one", "base", "clear"),
    [(0, 0, 0, False), (3, 0, 0, True), (0, 1, 1, True), (2, 4, 1, True), (3, 4, 1, False)],
)
def test_base_votes(zero: int, one: int, base: int, clear: bool) -> None:
    votes = BaseVotes(zero, one)
    assert (votes.base, votes.clear) == (base, clear)
