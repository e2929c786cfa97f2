"""Which differences between teams are more than chance: Wilcoxon's signed-rank test with Holm's correction.

The test is paired by case and two-sided. Cases that one of the two lacks a value for, and cases without a difference,
are left out (Wilcoxon's own way with zeros). The p-value is exact up to 50 differences without ties; otherwise it is
that of the normal approximation with the correction for ties. All pairs of teams in one column are one family for
Holm's correction.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from nnunet_prompt.common.log import progress
from nnunet_prompt.evaluation.ranking.ranks import DECIMALS, Floats
from nnunet_prompt.evaluation.ranking.values import TIME, Column, Values

MOST_EXACT = 50  # differences


@dataclass(frozen=True, slots=True)
class PairTest:
    """Two teams in one column.

    cases: those that both have a value for.
    differing: those whose values differ.
    difference: the median of first minus second.
    better: the team that the ranks of the differences favour; None if neither.
    p_holm: the p-value after the correction.
    """

    column: str
    first: str
    second: str
    cases: int
    differing: int
    difference: float
    better: str | None
    p: float
    p_holm: float


def pair_tests(values: Values, columns: Sequence[Column]) -> list[PairTest]:
    """Every pair of teams in every column; run times have one value per team and no test."""
    found: list[PairTest] = []
    for column in progress(columns, "test", unit="column"):
        if column.metric == TIME:
            continue
        scores = values.of_cases(column)
        family = [
            _test(column, (values.teams[a], values.teams[b]), scores[a] - scores[b])
            for a, b in combinations(range(len(values.teams)), 2)
        ]
        corrected = holm([test[-1] for test in family])
        found += [PairTest(*test, p) for test, p in zip(family, corrected, strict=True)]
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values after Holm's step-down correction, in the order given."""
    corrected, least = [0.0] * len(p_values), 0.0
    for step, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - step) * p_values[index]))
        corrected[index] = least
    return corrected


def signed_rank_p(differences: Floats) -> float:
    """The two-sided p-value of the signed-rank test; 1 where no difference is left."""
    from scipy.stats import wilcoxon

    left = np.round(differences[~np.isnan(differences)], DECIMALS)
    left = left[left != 0]
    if not left.size:
        return 1.0
    exact = left.size <= MOST_EXACT and np.unique(np.abs(left)).size == left.size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # older versions warn of few differences
        return float(wilcoxon(left, method="exact" if exact else "approx").pvalue)


def favoured(differences: Floats) -> int:
    """1 where the larger differences are positive by their signed ranks, -1 where they are negative, else 0."""
    from scipy.stats import rankdata

    left = np.round(differences[~np.isnan(differences)], DECIMALS)
    left = left[left != 0]
    return int(np.sign((np.sign(left) * rankdata(np.abs(left))).sum())) if left.size else 0


def _test(
    column: Column, teams: tuple[str, str], differences: Floats
) -> tuple[str, str, str, int, int, float, str | None, float]:
    defined = differences[~np.isnan(differences)]
    differing = int(np.count_nonzero(np.round(defined, DECIMALS)))
    median = float(np.median(defined)) if defined.size else 0.0
    sign = favoured(differences) * (1 if column.higher_is_better else -1)
    better = None if sign == 0 else teams[0] if sign > 0 else teams[1]
    p = signed_rank_p(differences)
    return column.name, *teams, int(defined.size), differing, median, better, p
