"""The scores of all teams as arrays, and what a column makes of them.

A column is a metric of one or more structures over some of the cases. Its value for a team is the mean over the cases
of each structure, and then over the structures, so that each structure counts the same. What is undefined (a
structure in neither map) stays out of the means, as in `evaluate`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from nnunet_prompt.evaluation.results import CaseScores, Evaluation

Floats = npt.NDArray[np.float64]
TIME = "time"
REFERENCE_KEY = "volume_error"  # defined where the reference has the structure


@dataclass(frozen=True, slots=True)
class Column:
    """What teams are ranked by.

    name: such as "LV dice".
    metric: the key of a metric, or "time".
    structures: label values as text, as in metrics.json; none for "time".
    cases: (cases,), those that count.
    weight: of its rank in the score.
    """

    name: str
    metric: str
    structures: tuple[str, ...]
    cases: npt.NDArray[np.bool_]
    weight: float
    labels: Mapping[str, str] = field(
        default_factory=dict
    )  # task, group, table: for the output alone

    @property
    def higher_is_better(self) -> bool:
        return better_high(self.metric)


@dataclass(frozen=True, slots=True)
class Values:
    """The scores that teams share.

    teams, cases, structures: the names along the axes; structures are label values as text.
    names: of structures, where they are known.
    scores: (teams, structures, cases) of each metric, NaN where undefined.
    seconds: (teams,), NaN where unknown.
    in_reference: (structures, cases), where the reference has the structure.
    """

    teams: tuple[str, ...]
    cases: tuple[str, ...]
    structures: tuple[str, ...]
    names: Mapping[str, str]
    scores: Mapping[str, Floats]
    seconds: Floats
    in_reference: npt.NDArray[np.bool_]

    def name_of(self, structure: str) -> str:
        return self.names.get(structure) or f"label {structure}"

    def of_cases(self, column: Column) -> Floats:
        """(teams, cases of the column), the mean over its structures."""
        return _mean(self._selected(column), axis=1)

    def column_values(self, columns: Sequence[Column], counts: Floats) -> Floats:
        """(samples, teams, columns), where each case counts as often as in counts (samples, cases)."""
        found = np.empty((len(counts), len(self.teams), len(columns)))
        for number, column in enumerate(columns):
            if column.metric == TIME:
                found[:, :, number] = self.seconds
                continue
            chosen = self._selected(column)  # (teams, structures, cases)
            weights = counts[:, column.cases].T  # (cases, samples)
            sums, defined = np.nan_to_num(chosen) @ weights, (~np.isnan(chosen)) @ weights
            means = np.divide(sums, defined, out=np.full_like(sums, np.nan), where=defined > 0)
            found[:, :, number] = _mean(means, axis=1).T
        return found

    def _selected(self, column: Column) -> Floats:
        rows = [self.structures.index(s) for s in column.structures]
        return self.scores[column.metric][:, rows][:, :, column.cases]


def collect_values(
    evaluations: Mapping[str, Evaluation], seconds: Mapping[str, float] | None = None
) -> Values:
    """The scores of the cases that every team has, of the structures that a reference has."""
    teams = tuple(evaluations)
    rows = [evaluations[team]["cases"] for team in teams]
    cases = tuple(sorted(set.intersection(*(set(r) for r in rows))))
    structures = _structures(rows, cases)
    metrics = dict.fromkeys(
        m for r in rows for case in cases for row in r[case].values() for m in row
    )
    scores = {
        metric: np.array(
            [[[_number(r[c].get(s, {}), metric) for c in cases] for s in structures] for r in rows],
            np.float64,
        ).reshape(len(teams), len(structures), len(cases))
        for metric in metrics
    }
    present = [[any(_in_reference(r[c], s) for r in rows) for c in cases] for s in structures]
    names = {
        label: str(entry["name"])
        for team in teams
        for label, entry in evaluations[team]["structures"].items()
        if entry["name"]
    }
    known = [(seconds or {}).get(team, np.nan) for team in teams]
    in_reference = np.array(present, np.bool_).reshape(len(structures), len(cases))
    return Values(teams, cases, structures, names, scores, np.array(known), in_reference)


def better_high(metric: str) -> bool:
    """Whether more of a metric is better: not of distances, errors, volumes, false findings and times."""
    low = (
        metric == TIME or metric.endswith(("_mm", "_ml")) or "error" in metric or "false" in metric
    )
    return not low


def _structures(rows: Sequence[Mapping[str, CaseScores]], cases: Sequence[str]) -> tuple[str, ...]:
    """Label values that a reference has; one that teams alone have is no information on the others."""
    found = {s for r in rows for c in cases for s in r[c] if _in_reference(r[c], s)}
    return tuple(
        sorted(found, key=lambda s: (not s.isdecimal(), int(s) if s.isdecimal() else 0, s))
    )


def _in_reference(scores: CaseScores, structure: str) -> bool:
    return scores.get(structure, {}).get(REFERENCE_KEY) is not None


def _number(row: Mapping[str, float | None], metric: str) -> float:
    """A score, NaN where undefined; of a signed error its size."""
    value = row.get(metric)
    if value is None:
        return float("nan")
    return abs(value) if "error" in metric else value


def _mean(values: Floats, axis: int) -> Floats:
    """The mean of what is defined; NaN where nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of rows without a value
        found: Floats = np.nanmean(values, axis=axis)
    return found
