"""Scores by group of cases: per centre, vendor, modality, sequence or any column of a CSV.

{"centre": {"source": "groups.csv",
            "groups": {"A": {"n": 12, "cases": ["case_001", ...],
                             "structures": {"500": {"dice": {"mean": 0.93, "sd": 0.02, "n": 12}, ...}}}},
            "gaps": {"500": {"dice": {"best": "A", "worst": "C", "gap": 0.08, "low": 0.03, "high": 0.12}, ...}},
            "warnings": ["centre C: 3 cases, fewer than 5: too few to compare"],
            "without": ["case_007"]}}

sd    of the cases of the group, with n - 1; null for one case
gap   between the means of the best and the worst group; of metrics that have a better side. null for one group
low, high   a 95 % percentile interval: the cases of both groups are sampled again, each group within itself, 2000
      times with seed 0. The two groups are those that were best and worst, so the gap is the largest of several and
      tends to be too wide with small groups; null where one of the two has a single case
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from nnunet_prompt.evaluation.facts import Facts, facts_of
from nnunet_prompt.evaluation.pairs import listed

_log = logging.getLogger(__name__)

FEW = 5
SAMPLES = 2000
SEED = 0
Cases = Mapping[str, Mapping[str, Mapping[str, float | None]]]


class Gap(TypedDict):
    """The gap between the means of the best and the worst group, and its 95 % interval, see above."""

    best: str
    worst: str
    gap: float
    low: float | None
    high: float | None


def group_scores(cases: Cases, facts: Facts, source: Path, *, given: bool) -> dict[str, Any]:
    """The scores of `cases` by each column of `facts`, in the form above.

    A column in which every case has its own value groups nothing, and is left out with a warning. Of a file that was
    only found (not `given`), so is a column in which all have the same, without a warning.
    """
    found: dict[str, Any] = {}
    columns = dict.fromkeys(column for entry in facts.values() for column in entry)
    own_facts = {case: facts_of(facts, case) for case in cases}
    for column in columns:
        members: dict[str, list[str]] = {}
        without = []
        for case, entry in own_facts.items():
            value = entry.get(column)
            if value is None:
                without.append(case)
            else:
                members.setdefault(value, []).append(case)
        if not members or (len(members) < 2 and not given):
            continue
        if len(members) > 2 and all(len(own) == 1 for own in members.values()):
            if given:
                _log.warning(
                    "%s: column %r: each case has its own value: not grouped", source, column
                )
            continue
        found[column] = _column(column, dict(sorted(members.items())), cases, source, without)
    unknown = [case for case, entry in own_facts.items() if not entry]
    if unknown and given:
        _log.warning(
            "%s: no row for %s: %s of %d cases in no group",
            *(source, listed(unknown), len(unknown), len(cases)),
        )
    return found


def _column(
    column: str,
    members: Mapping[str, Sequence[str]],
    cases: Cases,
    source: Path,
    without: Sequence[str],
) -> dict[str, Any]:
    values = {group: _values([cases[case] for case in own]) for group, own in members.items()}
    groups = {
        group: {
            "n": len(members[group]),
            "cases": list(members[group]),
            "structures": {
                key: {metric: _spread(v) for metric, v in row.items()} for key, row in own.items()
            },
        }
        for group, own in values.items()
    }
    few = {group: len(own) for group, own in members.items() if len(own) < FEW}
    warnings = [
        f"{column} {group}: {n} case{'s' * (n != 1)}, fewer than {FEW}: too few to compare"
        for group, n in few.items()
    ]
    found = {"source": str(source), "groups": groups, "gaps": _gaps(values), "warnings": warnings}
    return found | ({"without": list(without)} if without else {})


def _values(rows: Sequence[Mapping[str, Mapping[str, float | None]]]) -> dict[str, Any]:
    """The defined values of each structure and metric."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        for key, metrics in row.items():
            own = found.setdefault(key, {})
            for metric, value in metrics.items():
                own.setdefault(metric, []).extend([] if value is None else [value])
    return found


def _spread(values: Sequence[float]) -> dict[str, float | int | None]:
    return {
        "mean": float(np.mean(values)) if values else None,
        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "n": len(values),
    }


def better_side(metric: str) -> int | None:
    """1 where more is better, -1 where less is, None where neither is known: volumes, counts, metrics of plug-ins."""
    if metric in ("dice", "sensitivity", "precision", "lesion_f1") or metric.startswith("nsd_"):
        return 1
    return -1 if metric in ("hd_mm", "hd95_mm", "assd_mm", "abs_volume_error_ml") else None


def _gaps(values: Mapping[str, Mapping[str, Mapping[str, list[float]]]]) -> dict[str, Any]:
    """The gap of each structure and metric that two groups have."""
    gaps: dict[str, Any] = {}
    for key in dict.fromkeys(key for own in values.values() for key in own):
        for metric in dict.fromkeys(m for own in values.values() for m in own.get(key, {})):
            side = better_side(metric)
            known = {g: own.get(key, {}).get(metric) for g, own in values.items()}
            numbers = {g: v for g, v in known.items() if v}
            if side is not None and (gap := gap_of(numbers, side)) is not None:
                gaps.setdefault(key, {})[metric] = gap
    return gaps


def gap_of(groups: Mapping[str, Sequence[float]], side: int) -> Gap | None:
    """The gap between the best and the worst group, and its bootstrap interval; None for fewer than two with values.

    side: 1 where more is better, -1 where less is.
    """
    values = {group: np.asarray(own, float) for group, own in groups.items() if len(own)}
    if len(values) < 2:
        return None
    means = {group: side * float(v.mean()) for group, v in values.items()}
    best, worst = max(means, key=lambda g: means[g]), min(means, key=lambda g: means[g])
    if best == worst:  # all alike: the first and the last of them
        best, worst = next(iter(means)), list(means)[-1]
    low = high = None
    if min(values[best].size, values[worst].size) > 1:
        rng = np.random.default_rng(SEED)
        sampled = [
            rng.choice(values[g], (SAMPLES, values[g].size)).mean(axis=1) for g in (best, worst)
        ]
        low, high = map(float, np.percentile(side * (sampled[0] - sampled[1]), (2.5, 97.5)))
    return Gap(best=best, worst=worst, gap=means[best] - means[worst], low=low, high=high)


def format_groups(groups: Mapping[str, Any], names: Mapping[str, str | None]) -> str:
    """The mean Dice and its sd of each group, a table per column, and the gaps below it, as text to print."""
    return "\n\n".join(_format_column(column, found, names) for column, found in groups.items())


def _format_column(column: str, found: Mapping[str, Any], names: Mapping[str, str | None]) -> str:
    keys = list(dict.fromkeys(k for g in found["groups"].values() for k in g["structures"]))
    rows = [(column, "n", *(f"dice {names.get(key) or key}" for key in keys))]
    for group, entry in found["groups"].items():
        spreads = [entry["structures"].get(key, {}).get("dice") for key in keys]
        rows.append((group, str(entry["n"]), *map(_mean_and_sd, spreads)))
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    for key in keys:
        gap = found["gaps"].get(key, {}).get("dice")
        if gap is not None:
            interval = (
                ""
                if gap["low"] is None
                else f" (95 % interval {gap['low']:.3f} to {gap['high']:.3f})"
            )
            lines.append(
                f"gap {names.get(key) or key}: {gap['gap']:.3f}, {gap['best']} over {gap['worst']}{interval}"
            )
    return "\n".join((*lines, *found["warnings"]))


def _mean_and_sd(spread: Mapping[str, Any] | None) -> str:
    if not spread or spread["mean"] is None:
        return "-"
    return f"{spread['mean']:.3f}" + (f" ± {spread['sd']:.3f}" if spread["sd"] is not None else "")
