"""Settles what a prompts.json leaves open, once per file, from its numbers and the images they belong to.

The order of x and y is inferred, strongest first, by prompts that leave the image under one order, by where the
structures of a whole heart or the liver lie, and by the tissue that the prompts point at; votes of all cases are added.
What the user gives is never asked. What nothing states is taken as the challenge's own page suggests (`DEFAULT`), and
reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.prompt_files.case_view import CaseView, view_case
from nnunet_prompt.prompt_files.order_votes import (
    by_anatomy,
    by_bounds,
    outside_their_boxes,
    vote_ends,
)
from nnunet_prompt.prompt_files.prompts_json import PromptsJson, shorten
from nnunet_prompt.prompt_files.prompts_json_convention import (
    ALL_OPEN,
    DEFAULT,
    Base,
    GivenConvention,
    JsonConvention,
    Order,
    RawCase,
)
from nnunet_prompt.prompt_files.slice_votes import vote_axis, vote_base
from nnunet_prompt.prompt_files.tissue_votes import by_tissue, pick, weigh

DECIDED = 3.0  # the sum of all votes from which an order is taken as known


@dataclass(frozen=True, slots=True)
class Reading:
    """How a prompts.json is to be read.

    slice_axes  the PLS axis of the slices, of the cases (keys of the file) where it is not the third
    notes       lines for the log: each decision with its score and its evidence; those that begin with "warning:" are
                decisions against the challenge's own words
    guessed     lines for warnings: what nothing decides
    """

    convention: JsonConvention = DEFAULT
    slice_axes: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    guessed: tuple[str, ...] = ()


def settle(
    prompts: PromptsJson,
    cases: Sequence[tuple[str, Path]],
    given: GivenConvention = ALL_OPEN,
) -> Reading:
    """Reads the headers of the images, and up to twenty small images where nothing stronger decides the order.

    `cases` are keys of `prompts`, each with the path of one image. Images that cannot be read decide nothing; without
    any, the reading is the default. The same files give the same reading. Raises nothing.
    """
    if cases and all(_is_words(prompts.cases.get(key)) for key, _ in cases):
        return Reading()  # nothing has a place that could be read in two ways
    log = _Log(prompts.source)
    views = _views(prompts, cases)
    views = _along_their_slices(views, log)
    base = _base(views, given, log)
    order = _order(views, base, given, log)
    inclusive = _inclusive(views, order, given, log)
    _check_points(views, log)
    axes = {view.key: view.axis for view in views if view.axis != 2}
    return Reading(
        JsonConvention(order, base, inclusive), axes, tuple(log.notes), tuple(log.guessed)
    )


def _is_words(raw: RawCase | None) -> bool:
    """Whether a case has words for the whole case and nothing else."""
    return (
        raw is not None
        and bool(raw.texts)
        and not raw.slices
        and all(text.slice is None for text in raw.texts)
    )


@dataclass(frozen=True, slots=True)
class _Log:
    source: str
    notes: list[str] = field(default_factory=list)
    guessed: list[str] = field(default_factory=list)

    def note(self, line: str) -> None:
        self.notes.append(f"{self.source}: {line}")

    def warn(self, line: str) -> None:
        self.notes.append(f"warning: {self.source}: {line}")

    def guess(self, line: str) -> None:
        self.guessed.append(f"{self.source}: {line}")


def _views(prompts: PromptsJson, cases: Sequence[tuple[str, Path]]) -> list[CaseView]:
    views = []
    for key, path in cases:
        if key in prompts.cases:
            try:
                views.append(view_case(key, path, prompts.cases[key]))
            except (ImageError, OSError):  # the run itself reports what is wrong with it
                continue
    return views


def _along_their_slices(views: Sequence[CaseView], log: _Log) -> list[CaseView]:
    lists_empty = any(view.n_empty for view in views)
    turned = []
    for view in views:
        vote = vote_axis(view, lists_empty=lists_empty)
        turned.append(replace(view, axis=vote.axis))
        if vote.axis != 2:
            line = (
                f"case {shorten(view.key)}: slices taken along PLS axis {vote.axis}, expected axis 2: {vote.why}"
                f" (PLS shape {view.shape})"
            )
            if vote.guessed:
                log.guess(f"{line}; another axis fits as well")
            else:
                log.warn(line)
    return turned


def _base(views: Sequence[CaseView], given: GivenConvention, log: _Log) -> Base:
    if given.base is not None:
        log.note(f"slices are counted from {given.base}, as given")
        return given.base
    votes = vote_base(views)
    line = f"{votes.from_0} case(s) for 0, {votes.from_1} for 1, of {len(views)}"
    if votes.clear:
        log.note(f"slices are counted from {votes.base}: {line}")
    else:
        log.guess(
            f"nothing decides whether slices are counted from 0 or 1 ({line}): taken from"
            f" {votes.base}; give --base if you know"
        )
    return votes.base


def _order(views: Sequence[CaseView], base: Base, given: GivenConvention, log: _Log) -> Order:
    if given.order is not None:
        log.note(f"order {given.order}, as given")
        return given.order
    labels = frozenset[int]().union(*(view.labels for view in views))
    bounds = [by_bounds(view) for view in views]
    anatomy = [by_anatomy(view, labels) for view in views]
    told = [("bounds", sum(bounds), _cast(bounds)), ("anatomy", sum(anatomy), _cast(anatomy))]
    if abs(sum(bounds) + sum(anatomy)) < DECIDED:
        chosen = pick(views)
        ratios = [r for view in chosen if (r := by_tissue(view, base)) is not None]
        told.append(("tissue", weigh(ratios), len(ratios)))
    score = sum(vote for _, vote, _ in told)
    line = ", ".join(f"{name} {vote:+.1f} in {count} case(s)" for name, vote, count in told)
    if abs(score) < DECIDED:
        log.guess(
            f"nothing decides whether x runs along axis 0 or 1 (score {score:+.1f}: {line}): taken as order"
            f" {DEFAULT.order}, x along axis 0; give --order if you know"
        )
        return DEFAULT.order
    order: Order = "xy" if score > 0 else "yx"
    log.note(f"order {order}, score {score:+.1f} (above 0 is xy): {line}")
    return order


def _inclusive(views: Sequence[CaseView], order: Order, given: GivenConvention, log: _Log) -> bool:
    if given.inclusive is not None:
        log.note(f"the second corner of a box is {_END[given.inclusive]}, as given")
        return given.inclusive
    votes = vote_ends(views, swapped=order == "yx")
    inclusive = DEFAULT.inclusive if votes.answer is None else votes.answer
    why = "by default, it matters little" if votes.answer is None else "from the cases"
    log.note(
        f"the second corner of a box is {_END[inclusive]}, {why}: {votes.exclusive} for past it,"
        f" {votes.inclusive} for its last pixel"
    )
    return inclusive


def _check_points(views: Sequence[CaseView], log: _Log) -> None:
    total, outside, swapped = outside_their_boxes(views)
    if outside:
        log.note(f"{outside} of {total} points lie outside their boxes")
    if 2 * swapped > total:
        log.guess(
            f"{swapped} of {total} points would lie in their boxes with x and y of the points swapped"
        )


def _cast(votes: Sequence[float]) -> int:
    return sum(vote != 0 for vote in votes)


_END = {True: "its last pixel", False: "one past its last pixel"}
