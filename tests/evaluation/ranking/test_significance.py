from __future__ import annotations

import math

import numpy as np
import pytest

from nnunet_prompt.evaluation.ranking.significance import (
    favoured,
    holm,
    pair_tests,
    signed_rank_p,
)
from nnunet_prompt.evaluation.ranking.values import collect_values
from tests.evaluation.ranking.scored import column, dice_values, evaluation
from tests.helpers.each import each

NAN = float("nan")


@each(
    ("differences", "p"),
    [
        ([1, 2, 3, 4, 5], 2 / 32),  # only all positive and all negative are as far out
        ([1, -2, 3, 4, 5, 6], 6 / 64),  # the sums 0, 1 and 2 of ranks, on both sides
        ([0, 1, 2, NAN, 3, 0], 2 / 8),
        ([-1], 1.0),
        ([0, 0], 1.0),
        ([NAN], 1.0),
        ([], 1.0),
        # ranks 2, 2, 4 and -2; mean 5, variance 4 * 5 * 9 / 24 - (27 - 3) / 48 = 7
        ([1, 1, 2, -1], math.erfc(3 / math.sqrt(7) / math.sqrt(2))),
    ],
)
def test_the_signed_rank_test(differences: list[float], p: float) -> None:
    assert signed_rank_p(np.array(differences, float)) == pytest.approx(p, abs=1e-12)


@each(
    ("differences", "sign"),
    [([1, 2, -3.5], 0), ([1, 2, -2.5], 0), ([1, -2, 3], 1), ([1, -9], -1), ([0, NAN], 0), ([], 0)],
)
def test_whom_the_ranks_favour(differences: list[float], sign: int) -> None:
    """1 + 2 against 3: neither."""
    assert favoured(np.array(differences, float)) == sign


@each(
    ("given", "corrected"),
    [
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.02, 0.01], [0.02, 0.02]),
        ([0.6, 0.5, 0.9], [1.0, 1.0, 1.0]),
        ([0.01], [0.01]),
        ([], []),
    ],
)
def test_holms_correction(given: list[float], corrected: list[float]) -> None:
    assert holm(given) == pytest.approx(corrected, abs=1e-12)


def test_every_pair_of_teams() -> None:
    """B beats A and C in all six cases, by other amounts each; A and C are the same."""
    a = [0.5] * 6
    values = dice_values(A=a, B=[0.6, 0.61, 0.62, 0.63, 0.64, 0.66], C=a)
    ab, ac, bc = pair_tests(values, [column(cases=6), column("time", 6)])
    assert (ab.first, ab.second, ab.cases, ab.differing) == ("A", "B", 6, 6)
    assert ab.difference == pytest.approx(-0.125) and ab.better == "B" == bc.better
    assert (ab.p, ab.p_holm) == pytest.approx((2 / 64, 6 / 64))
    assert (bc.p, bc.p_holm) == pytest.approx((2 / 64, 6 / 64))
    assert (ac.p, ac.p_holm, ac.better, ac.differing, ac.difference) == (1, 1, None, 0, 0)


def test_a_smaller_distance_is_better_and_undefined_cases_do_not_count() -> None:
    rows = {"x": {1: (0.5, 9.0)}, "y": {1: (0.5, 8.0)}, "z": {}}
    other = {"x": {1: (0.5, 4.0)}, "y": {1: (0.5, 5.0)}, "z": {1: None}}
    values = collect_values({"A": evaluation(rows), "B": evaluation(other)})
    (test,) = pair_tests(values, [column("hd_mm", 3, ("1",))])
    assert (test.cases, test.better, test.difference, test.p) == (2, "B", 4.0, 0.5)


def test_one_team_has_nobody_to_be_tested_against() -> None:
    assert pair_tests(dice_values(A=[0.5, 0.6]), [column()]) == []
