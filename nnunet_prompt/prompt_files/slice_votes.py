"""How a prompts.json counts slices: along which axis of a case, and from 0 or from 1.

Slices lie along the third PLS axis, as the challenge states. For an oblique stack that axis may lie in the plane of its
slices, and whoever made the prompts may have seen that and taken the other (datasets.md 2.3): then the numbers of the
slices run over another axis, or the prompts leave the slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nnunet_prompt.prompt_files.case_view import CaseView
from nnunet_prompt.prompt_files.prompts_json_convention import Base

JUNK = 0.2  # share of the prompts of a case that may be wrong


@dataclass(frozen=True, slots=True)
class AxisVote:
    """The axis of the slices of a case and why; `guessed` if another one fits as well."""

    axis: int = 2
    why: str = ""
    guessed: bool = False


def vote_axis(view: CaseView, *, lists_empty: bool) -> AxisVote:
    """The axis along which a case counts its slices. `lists_empty` shows whether the file names slices without prompts.

    It is the third unless the numbers run over all of another axis and not over all of the third, or the prompts leave
    the slices of the third and lie in those of another.
    """
    whole = [axis for axis in range(3) if _run_over(view.numbers, view.shape[axis])]
    if not view.numbers or 2 in whole:
        return AxisVote()
    inside = [_share_inside(view, axis) for axis in range(3)]
    fitting = [axis for axis in whole if inside[axis] >= min(inside[2], 1 - JUNK)]
    # without empty slices, as many slices as another axis is long may be chance
    chance = not lists_empty and inside[2] >= 1 - JUNK and view.through_plane not in fitting
    if fitting and not chance:
        why = f"its {len(view.numbers)} slices run over axis {{}} and not over axis 2"
        return _one_of(fitting, view, why)
    fitting = [axis for axis in (0, 1) if inside[axis] >= 1 - JUNK]
    if fitting and inside[2] < 0.5:
        why = f"{1 - inside[2]:.0%} of its prompts leave the slices of axis 2, but not those of axis {{}}"
        return _one_of(fitting, view, why)
    return AxisVote()


@dataclass(frozen=True, slots=True)
class BaseVotes:
    """How many cases count from 0 and from 1; the others could do either."""

    from_0: int
    from_1: int

    @property
    def base(self) -> Base:
        return 1 if self.from_1 > self.from_0 else 0

    @property
    def clear(self) -> bool:
        """Whether there are votes, and at most half as many against."""
        return max(self.from_0, self.from_1) > 0 and max(self.from_0, self.from_1) >= 2 * min(
            self.from_0, self.from_1
        )


def vote_base(views: Sequence[CaseView]) -> BaseVotes:
    """A case with a slice 0 counts from 0; one whose last slice has the number of its slices, and no 0, from 1."""
    zero = one = 0
    for view in views:
        first, past = 0 in view.numbers, view.shape[view.axis] in view.numbers
        zero += first and not past
        one += past and not first
    return BaseVotes(zero, one)


def _run_over(numbers: Sequence[int], length: int) -> bool:
    """Whether the numbers are those of all slices, counted from 0 or 1."""
    return (
        len(numbers) == length and numbers[0] in (0, 1) and numbers[-1] == numbers[0] + length - 1
    )


def _share_inside(view: CaseView, axis: int) -> float:
    """The share of slice numbers that this axis holds, times that of prompts in its slices, in the better order."""
    along = replace(view, axis=axis)
    held = float(np.mean([0 <= number <= along.shape[axis] for number in view.numbers]))
    if not len(along.fits("xy")):
        return held
    return held * float(max(along.fits("xy").mean(), along.fits("yx").mean()))


def _one_of(fitting: Sequence[int], view: CaseView, why: str) -> AxisVote:
    """The only axis that fits, else the one across the stack, else the first."""
    axis = view.through_plane if view.through_plane in fitting else fitting[0]
    assert axis is not None
    guessed = len(fitting) > 1 and view.through_plane not in fitting
    return AxisVote(axis, why.format(axis), guessed)
