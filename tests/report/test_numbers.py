"""Means and their intervals."""

from __future__ import annotations

import numpy as np
import pytest

from nnunet_prompt.report.numbers import interval


def test_nothing_has_no_interval() -> None:
    assert interval([]) is None


def test_one_value_has_a_mean_and_no_bounds() -> None:
    found = interval([0.5])
    assert found is not None
    assert (found.n, found.mean, found.spread, found.low, found.high) == (1, 0.5, 0.0, None, None)


def test_equal_values_have_an_interval_of_length_zero() -> None:
    found = interval([0.75] * 6)
    assert found is not None and (found.mean, found.low, found.high) == (0.75, 0.75, 0.75)


def test_two_values_are_resampled_to_three_means() -> None:
    """Of 0 and 1 the means are 0, 1/2 and 1, a quarter of them 0: the 2.5th percentile is 0, the 97.5th 1."""
    found = interval([0.0, 1.0])
    assert found is not None and (found.mean, found.low, found.high) == (0.5, 0.0, 1.0)
    assert found.quartiles == (0.25, 0.75) and found.spread == pytest.approx(0.5**0.5)


def test_the_interval_is_that_of_the_normal_distribution_for_many_values() -> None:
    values = np.random.default_rng(1).normal(3, 2, 400)
    found = interval(values.tolist())
    half = 1.96 * values.std() / 20
    assert found is not None and found.low is not None and found.high is not None
    assert (found.low, found.high) == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=0.15 * half
    )
    assert interval(values.tolist()) == found  # always the same
