"""One look holds its error rate and sees shifts and spreads."""

from __future__ import annotations

import numpy as np
import pytest

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.evaluation.drift.looks import look, permutations_for

pytestmark = pytest.mark.slow


def _correlated(rng: np.random.Generator, n: int, features: int = 12) -> np.ndarray:
    """Skewed features that share a part, one with ties and one constant."""
    shared = rng.normal(size=(n, 1))
    values = np.exp(0.5 * shared + rng.normal(size=(n, features)))
    values[:, 0] = np.round(values[:, 0])
    values[:, 1] = 7.0
    values[rng.random((n, features)) < 0.05] = np.nan
    return values


def test_false_alarms_of_single_looks() -> None:
    """At a level of 0.1, 200 looks of exchangeable cases; more than 33 would happen by chance in one of 600 runs."""
    rng = np.random.default_rng(0)
    p = [
        look(_correlated(rng, 60), _correlated(rng, 20), rng, permutations=199).p
        for _ in range(200)
    ]
    assert 8 <= sum(one <= 0.1 for one in p) <= 33


def test_false_alarms_over_many_looks_at_one_reference() -> None:
    """Of 40 series of 20 looks at one reference each, at most 6 have any false alarm at alpha 0.05."""
    rng, alarms = np.random.default_rng(1), 0
    for _ in range(40):
        reference = _correlated(rng, 60, 6)
        p = [look(reference, _correlated(rng, 20, 6), rng, permutations=799).p for _ in range(20)]
        alarms += min(p) <= 0.05 / 20
    assert alarms <= 6


def test_bootstrapped_batches_hold_the_level_where_a_case_counts_once() -> None:
    """Far more than one look in ten has p of at most 0.1 if cases count as often as they were drawn."""
    rng, twice, once = np.random.default_rng(6), 0, 0
    for _ in range(200):
        reference, pool = _correlated(rng, 40), _correlated(rng, 30)
        drawn = rng.integers(0, len(pool), 20)
        twice += look(reference, pool[drawn], rng, permutations=199).p <= 0.1
        once += look(reference, pool[np.unique(drawn)], rng, permutations=199).p <= 0.1
    assert 8 <= once <= 33 < twice


def test_sees_a_shift_and_a_spread_and_names_them() -> None:
    rng = np.random.default_rng(2)
    reference, batch = rng.normal(size=(100, 8)), rng.normal(size=(20, 8))
    batch[:, 3] += 2.0
    found = look(reference, batch, rng, permutations=1999)
    assert (found.strongest, found.p) == (3, 1 / 2000)
    batch = rng.normal(size=(20, 8))
    batch[:, 5] *= 6.0
    found = look(reference, batch, rng, permutations=1999)
    assert found.strongest == 5
    assert found.p < 0.002


def test_equal_and_missing_values() -> None:
    rng = np.random.default_rng(3)
    same = look(np.ones((10, 2)), np.ones((5, 2)), rng, permutations=99)
    assert (same.p, same.statistics) == (1.0, (0.0, 0.0))
    gone = look(np.full((10, 1), np.nan), np.full((5, 1), np.nan), rng, permutations=99)
    assert gone.p == 1.0


def test_too_few_cases_and_too_many_looks() -> None:
    rng = np.random.default_rng(4)
    with pytest.raises(NNUNetPromptError, match=r"batch: 4 case\(s\), expected at least 5"):
        look(np.ones((10, 1)), np.ones((4, 1)), rng, permutations=99)
    with pytest.raises(NNUNetPromptError, match="plan fewer looks"):
        permutations_for(1e-7)
    assert 1 / (permutations_for(0.0005) + 1) <= 0.0005
