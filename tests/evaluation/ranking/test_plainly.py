"""The arrays of the ranking against loops that say the same in the plainest way."""

from __future__ import annotations

import math
from statistics import fmean
from typing import Any

import numpy as np
import pytest

from nnunet_prompt.evaluation.ranking.board import rank_evaluations
from nnunet_prompt.evaluation.ranking.bootstrap import draw_counts
from nnunet_prompt.evaluation.ranking.groups import CaseInfo
from nnunet_prompt.evaluation.ranking.options import RankOptions
from tests.evaluation.ranking.scored import evaluation
from tests.helpers.each import each

TASKS, CENTRES, VALUES = ("whs", "myops"), ("A", "D"), (1, 2, 3)
SAMPLES = 40


def _random(seed: int) -> tuple[dict[str, Any], dict[str, CaseInfo]]:
    """Five teams, 24 cases; coarse numbers, so that there are ties, and structures that are missing here and there."""
    rng = np.random.default_rng(seed)
    cases = [f"c{k:02d}" for k in range(24)]
    infos = {c: CaseInfo(TASKS[rng.integers(2)], "", "", GROUPS[rng.integers(2)]) for c in cases}
    there = {(c, v): rng.random() < 0.8 for c in cases for v in VALUES}
    teams = {}
    for team in "ABCDE":
        rows: dict[str, dict[int, Any]] = {c: {} for c in cases}
        for (case, value), is_there in there.items():
            pair = (rng.integers(1, 5) / 4, float(rng.integers(1, 9)))
            if is_there or rng.random() < 0.3:
                rows[case][value] = pair if is_there else None
        teams[team] = evaluation(rows)
    return teams, infos


GROUPS = ("seen", "unseen")


def _places(
    teams: dict[str, Any], infos: dict[str, CaseInfo], drawn: list[str], scheme: str
) -> dict[str, tuple[int, float]]:
    ranks: dict[str, list[tuple[float, float]]] = {team: [] for team in teams}
    for columns in _columns(infos, scheme):
        for cases, values, metric in columns:
            means = {
                t: _mean(teams[t], [c for c in drawn if c in cases], values, metric) for t in teams
            }
            cost = {
                t: math.inf if m is None else -m if metric == "dice" else m
                for t, m in means.items()
            }
            for team, own in cost.items():
                better = sum(other < own - 1e-9 for other in cost.values())
                equal = sum(other == own or abs(other - own) < 1e-9 for other in cost.values())
                ranks[team].append((better + (equal + 1) / 2, 1 / len(columns)))
    scores = {t: sum(r * w for r, w in own) / sum(w for _, w in own) for t, own in ranks.items()}
    return {
        team: (1 + sum(other < own - 1e-9 for other in scores.values()), own)
        for team, own in scores.items()
    }


def _columns(infos: dict[str, CaseInfo], scheme: str) -> list[list[tuple[set[str], Any, str]]]:
    """The columns of each metric: cases, structures, metric."""
    if scheme == "general":
        return [[(set(infos), (v,), metric) for v in VALUES] for metric in ("dice", "hd_mm")]
    groups = [(t, g) for t in TASKS for g in GROUPS]
    return [
        [
            ({c for c, i in infos.items() if (i.task, i.group) == group}, VALUES, "dice")
            for group in groups
        ]
    ]


def _mean(rows: Any, drawn: list[str], values: tuple[int, ...], metric: str) -> float | None:
    means = []
    for value in values:
        found = [rows["cases"][c].get(str(value), {}).get(metric) for c in drawn]
        defined = [f for f in found if f is not None]
        if defined:
            means.append(fmean(defined))
    return fmean(means) if means else None


@each("scheme", ["general", "tfm4media"])
@each("seed", range(2))
def test_places_and_their_intervals(scheme: str, seed: int) -> None:
    teams, infos = _random(seed)
    options = RankOptions(scheme, samples=SAMPLES, confidence=0.8, seed=seed)
    found = {row["team"]: row for row in rank_evaluations(teams, infos, None, options)["teams"]}
    once = _places(teams, infos, list(infos), scheme)
    assert {t: row["place"] for t, row in found.items()} == {t: p for t, (p, _) in once.items()}
    assert {t: row["score"] for t, row in found.items()} == pytest.approx(
        {t: s for t, (_, s) in once.items()}
    )

    strata = [f"{info.task} {info.group}" for info in infos.values()]
    counts = draw_counts(np.random.default_rng(seed), strata, SAMPLES).astype(int)
    samples = [
        _places(
            teams, infos, [c for c, n in zip(infos, row, strict=True) for _ in range(n)], scheme
        )
        for row in counts
    ]
    for team, row in found.items():
        own = sorted(sample[team][0] for sample in samples)
        # the lowest places that a tenth and nine tenths of the samples do not exceed
        assert (row["place_low"], row["place_high"]) == (own[SAMPLES // 10 - 1], own[SAMPLES - 5])
        assert row["first"] == pytest.approx(own.count(1) / SAMPLES)
        assert row["mean_place"] == pytest.approx(fmean(own))
