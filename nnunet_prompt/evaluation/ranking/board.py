"""From the evaluations of teams to a leaderboard; plain data, as leaderboard.json has it.

    {"scheme": "general", "weights": {"dice": 1.0, "hd_mm": 1.0}, "choices": ["score: ...", ...], "notes": [...],
     "cases": 40, "left_out": {"heart_07": "why"},
     "bootstrap": {"samples": 1000, "confidence": 0.95, "seed": 0, "strata": {"seen": 24, "unseen": 16}},
     "teams": [{"team": "A", "place": 1, "score": 1.25, "place_low": 1, "place_high": 2, "first": 0.83,
                "mean_place": 1.2, "seconds": 3.5, "missing": ["heart_02"], "failed": {"heart_03": "why"}}],
     "columns": [{"name": "LV dice", "metric": "dice", "structures": ["500"], "cases": 40, "weight": 0.5,
                  "values": {"A": 0.93}, "ranks": {"A": 1.0}}],
     "tables": [{"table": "Lb1", "title": "...", "rows": [{"place": 1, "team": "A", "published": false, "dice": 0.94,
                 "hd_mm": 12.1, "page": null, "alternative": false}]}],
     "tests": [{"column": "LV dice", "first": "A", "second": "B", "cases": 40, "differing": 39, "difference": 0.02,
                "better": "A", "p": 0.001, "p_holm": 0.003}],
     "failed": {"C": "why"}}

null stands for what is undefined or unknown. Teams are in the order of their places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.evaluation.pairs import listed
from nnunet_prompt.evaluation.ranking.bootstrap import Stability, bootstrap_places
from nnunet_prompt.evaluation.ranking.groups import CaseInfo, with_groups
from nnunet_prompt.evaluation.ranking.options import RankOptions
from nnunet_prompt.evaluation.ranking.published import published_in
from nnunet_prompt.evaluation.ranking.ranks import Floats, column_ranks, mean_rank, places
from nnunet_prompt.evaluation.ranking.scheme import (
    BOARDS,
    CHOICES,
    Board,
    board_columns,
    columns_of,
    tasks_of,
)
from nnunet_prompt.evaluation.ranking.significance import pair_tests
from nnunet_prompt.evaluation.ranking.times import checked_times
from nnunet_prompt.evaluation.ranking.values import TIME, Column, Values, collect_values
from nnunet_prompt.evaluation.results import Evaluation

if TYPE_CHECKING:  # Python 3.10 has none
    from typing import NotRequired

FEW = 5  # cases; intervals and tests of fewer state little


class TeamRow(TypedDict):
    """A team, its place and how firm that is."""

    team: str
    place: int
    score: float
    place_low: int
    place_high: int
    first: float
    mean_place: float
    seconds: float | None
    missing: list[str]
    failed: dict[str, str]


class ColumnRow(TypedDict):
    """A column, and what each team has in it."""

    name: str
    metric: str
    structures: list[str]
    cases: int
    weight: float
    values: dict[str, float | None]
    ranks: dict[str, float]
    task: NotRequired[str]
    group: NotRequired[str]
    table: NotRequired[str]


class Leaderboard(TypedDict):
    """The result of a ranking, as it is written."""

    scheme: str
    weights: dict[str, float]
    choices: list[str]
    notes: list[str]
    cases: int
    left_out: dict[str, str]
    bootstrap: dict[str, Any]
    teams: list[TeamRow]
    columns: list[ColumnRow]
    tables: list[dict[str, Any]]
    tests: list[dict[str, Any]]
    failed: dict[str, str]


def rank_evaluations(
    evaluations: Mapping[str, Evaluation],
    infos: Mapping[str, CaseInfo] | None = None,
    seconds: Mapping[str, float] | None = None,
    options: RankOptions | None = None,
) -> Leaderboard:
    """Ranks teams by what `evaluate_folders` found for each of them, over the cases that all of them have.

    infos: task, centre and sequence by case, where a scheme needs them.
    seconds: run time by team, which all need if time has a weight.

    Raises `NNUNetPromptError` if the teams share no case or no structure, or if the options do not fit them.
    """
    options = options or RankOptions()
    seconds = seconds or {}
    if TIME in options.weights:
        checked_times(seconds, evaluations)
    values = collect_values(evaluations, seconds)
    if not values.cases or not values.structures:
        what = "structure of a reference" if values.cases else "case that all teams have"
        raise NNUNetPromptError(f"teams {', '.join(evaluations)}: expected a {what}, found none")
    known = {case: (infos or {}).get(case, CaseInfo()) for case in values.cases}
    known = tasks_of(values, known) if options.scheme != "general" else known
    known = with_groups(known, options.scheme, options.seen, options.unseen)
    columns, notes = columns_of(values, known, options)
    once = np.ones((1, len(values.cases)))
    found = values.column_values(columns, once)[0]
    ranks = column_ranks(found, np.array([c.higher_is_better for c in columns]))
    strata = _strata(values, known)
    names = ("samples", "confidence", "seed")
    sampling: dict[str, Any] = {name: getattr(options, name) for name in names}
    stability = bootstrap_places(values, columns, strata, **sampling)
    return {
        "scheme": options.scheme,
        "weights": dict(options.weights),
        "choices": list(CHOICES[options.scheme]),
        "notes": [*notes, *_notes(values, columns, options)],
        "cases": len(values.cases),
        "left_out": _left_out(evaluations, values),
        "bootstrap": {**sampling, "strata": dict(Counter(strata))},
        "teams": _team_rows(values, evaluations, ranks, columns, stability),
        "columns": [
            _column_row(values, c, found[:, k], ranks[:, k]) for k, c in enumerate(columns)
        ],
        "tables": [
            table(values, known, board, options) for board in BOARDS.get(options.scheme, ())
        ],
        "tests": [asdict(test) for test in pair_tests(values, columns)],
        "failed": {},
    }


def table(
    values: Values, infos: Mapping[str, CaseInfo], board: Board, options: RankOptions
) -> dict[str, Any]:
    """One of the organisers' tables: the teams, and the published rows between them; the highest Dice first.

    A published row that another page contradicts has no place.
    """
    columns = board_columns(values, infos, board, ("dice", "hd_mm"))
    rows: list[dict[str, Any]] = []
    if columns:
        found = values.column_values(columns, np.ones((1, len(values.cases))))[0]
        rows = [
            _row(team, _plain(dice), _plain(hd))
            for team, (dice, hd) in zip(values.teams, found, strict=True)
        ]
    if options.published:
        rows += [
            _row(p.team, p.dice, p.hd_mm, page=p.page, alternative=p.alternative)
            for p in published_in(options.scheme, board.name)
        ]
    counted = [row for row in rows if not row["alternative"]]
    for row in counted:
        row["place"] = 1 + sum(_order(other) < _order(row) for other in counted)
    return {"table": board.name, "title": board.title, "rows": sorted(rows, key=_order)}


def _row(
    team: str,
    dice: float | None,
    hd_mm: float | None,
    *,
    page: str | None = None,
    alternative: bool = False,
) -> dict[str, Any]:
    return {
        "place": None,
        "team": team,
        "published": page is not None,
        "dice": dice,
        "hd_mm": hd_mm,
        "page": page,
        "alternative": alternative,
    }


def _order(row: Mapping[str, Any]) -> tuple[float, float]:
    """The highest Dice first, then the lowest HD; what is undefined last."""
    dice, hd = row["dice"], row["hd_mm"]
    return (
        1.0 if dice is None else -round(dice, 10),
        float("inf") if hd is None else round(hd, 10),
    )


def _team_rows(
    values: Values,
    evaluations: Mapping[str, Evaluation],
    ranks: Floats,
    columns: list[Column],
    stability: Stability,
) -> list[TeamRow]:
    scores = mean_rank(ranks, np.array([column.weight for column in columns]))
    found = places(scores)
    rows: list[TeamRow] = [
        {
            "team": team,
            "place": int(found[k]),
            "score": float(scores[k]),
            "place_low": int(stability.low[k]),
            "place_high": int(stability.high[k]),
            "first": float(stability.first[k]),
            "mean_place": float(stability.mean_place[k]),
            "seconds": _plain(values.seconds[k]),
            "missing": list(evaluations[team].get("missing", [])),
            "failed": dict(evaluations[team].get("failed", {})),
        }
        for k, team in enumerate(values.teams)
    ]
    return sorted(rows, key=lambda row: (row["place"], row["team"]))


def _column_row(values: Values, column: Column, found: Floats, ranks: Floats) -> ColumnRow:
    row: dict[str, Any] = {
        "name": column.name,
        "metric": column.metric,
        "structures": list(column.structures),
        "cases": int(column.cases.sum()),
        "weight": column.weight,
        "values": {t: _plain(v) for t, v in zip(values.teams, found, strict=True)},
        "ranks": {t: float(r) for t, r in zip(values.teams, ranks, strict=True)},
        **column.labels,
    }
    return row  # type: ignore[return-value]


def _notes(values: Values, columns: list[Column], options: RankOptions) -> list[str]:
    notes = []
    few = [c.name for c in columns if c.metric != TIME and c.cases.sum() < FEW]
    if few:
        notes.append(
            f"fewer than {FEW} cases, so intervals and tests state little: {', '.join(few)}"
        )
    used = np.any([column.cases for column in columns], axis=0)
    lost = [case for case, counts in zip(values.cases, used, strict=True) if not counts]
    if lost:
        notes.append(
            f"{len(lost)} of {len(values.cases)} cases are in no column, because their sub-task or centre is unknown or"
            f" not one of the scheme: {listed(lost)}"
        )
    if not np.isnan(values.seconds).all() and TIME not in options.weights:
        notes.append("run times are shown and do not count: give time a weight if they should")
    return notes


def _strata(values: Values, infos: Mapping[str, CaseInfo]) -> list[str]:
    return [" ".join(filter(None, (infos[c].task, infos[c].group))) or "all" for c in values.cases]


def _left_out(evaluations: Mapping[str, Evaluation], values: Values) -> dict[str, str]:
    """Cases that not every team has, with the first reason."""
    found: dict[str, str] = {}
    for results in evaluations.values():
        for case, why in results.get("failed", {}).items():
            if case not in values.cases:
                found.setdefault(case, why)
    return found


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
