from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from nnunet_prompt.evaluation.ranking.ranks import column_ranks, mean_rank, places
from tests.helpers.each import each

NAN = float("nan")
HIGH, LOW = np.array([True]), np.array([False])


@each(
    ("values", "higher", "ranks"),
    [
        ([0.7, 0.9, 0.8], HIGH, [3, 1, 2]),
        ([0.7, 0.9, 0.8], LOW, [1, 3, 2]),
        ([0.9, 0.9, 0.8], HIGH, [1.5, 1.5, 3]),
        ([0.8, 0.9, 0.8, 0.8], HIGH, [3, 1, 3, 3]),
        ([0.5, 0.5, 0.5], HIGH, [2, 2, 2]),
        ([0.1 + 0.2, 0.3], HIGH, [1.5, 1.5]),  # rounding is no skill
        ([NAN, 0.0, 0.9], HIGH, [3, 2, 1]),
        ([NAN, 9.0, NAN], LOW, [2.5, 1, 2.5]),
        ([NAN, NAN], LOW, [1.5, 1.5]),
        ([0.4], HIGH, [1]),
    ],
)
def test_ranks_in_a_column(values: list[float], higher: np.ndarray, ranks: list[float]) -> None:
    found = column_ranks(np.array(values)[:, None], higher)
    assert found[:, 0].tolist() == ranks


def test_many_samples_and_columns_at_once() -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 4, (20, 6, 3)) / 4  # with ties
    found = column_ranks(values, np.array([True, False, True]))
    signs = np.array([-1, 1, -1])
    assert np.array_equal(found, rankdata(values * signs, axis=1))


@each(
    ("scores", "expected"),
    [
        ([1.25, 1.75, 3.0], [1, 2, 3]),
        ([2.0, 1.0, 2.0, 3.0], [2, 1, 2, 4]),
        ([1.5, 1.5, 3.0], [1, 1, 3]),
        ([1 / 3 + 1 / 3 + 1 / 3, 1.0], [1, 1]),
        ([1.0], [1]),
    ],
)
def test_places_are_those_of_competitions(scores: list[float], expected: list[int]) -> None:
    assert places(np.array(scores)).tolist() == expected
    assert places(np.array([scores, scores])).tolist() == [expected, expected]


def test_the_mean_of_ranks_is_weighted() -> None:
    """FUGC: 0.4 for Dice, 0.4 for HD and 0.2 for time."""
    ranks = np.array([[1.0, 2.0, 3.0], [2.0, 1.0, 1.0], [3.0, 3.0, 2.0]])
    found = mean_rank(ranks, np.array([0.4, 0.4, 0.2]))
    assert found.round(12).tolist() == [1.8, 1.4, 2.8]
    assert mean_rank(ranks, np.array([4.0, 4.0, 2.0])).round(12).tolist() == [1.8, 1.4, 2.8]
