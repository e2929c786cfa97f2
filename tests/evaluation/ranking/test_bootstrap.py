from __future__ import annotations

import numpy as np

from nnunet_prompt.evaluation.ranking.bootstrap import bootstrap_places, draw_counts, scored_places
from tests.evaluation.ranking.scored import column, dice_values
from tests.helpers.each import each

# A is 0.2 better in the first case, B 0.1 better in the second. Of the four samples of two cases, A wins those with
# the first case, three of them.
VALUES = dice_values(A=[0.9, 0.6], B=[0.7, 0.7])


def _stability(confidence: float, samples: int = 4000, seed: int = 0) -> tuple[list[int], ...]:
    found = bootstrap_places(
        VALUES, [column()], ["", ""], samples=samples, confidence=confidence, seed=seed
    )
    return found.low.tolist(), found.high.tolist()


def test_shares_and_mean_places() -> None:
    found = bootstrap_places(VALUES, [column()], ["", ""], samples=4000, confidence=0.95, seed=0)
    assert abs(found.first - [0.75, 0.25]).max() < 0.025  # 3.6 standard errors
    assert np.allclose(found.mean_place, 2 - found.first)


@each(
    ("confidence", "low", "high"),
    [(0.95, [1, 1], [2, 2]), (0.4, [1, 2], [1, 2]), (0.6, [1, 1], [2, 2])],
)
def test_the_interval_of_places(confidence: float, low: list[int], high: list[int]) -> None:
    """A is second in a quarter of the samples: within the middle 60% of them, outside of the middle 40%."""
    assert _stability(confidence) == (low, high)


def test_a_team_that_is_better_in_every_case_is_always_first() -> None:
    values = dice_values(A=[0.9, 0.8, 0.7], B=[0.8, 0.7, 0.6], C=[0.8, 0.7, 0.6])
    found = bootstrap_places(
        values, [column(cases=3)], [""] * 3, samples=200, confidence=0.99, seed=3
    )
    assert found.low.tolist() == [1, 2, 2] == found.high.tolist()
    assert found.first.tolist() == [1, 0, 0]


def test_the_same_seed_gives_the_same_and_parts_do_not_matter() -> None:
    a = bootstrap_places(VALUES, [column()], ["", ""], samples=1101, confidence=0.9, seed=7)
    b = bootstrap_places(VALUES, [column()], ["", ""], samples=1101, confidence=0.9, seed=7)
    c = bootstrap_places(VALUES, [column()], ["", ""], samples=1101, confidence=0.9, seed=8)
    counts = draw_counts(np.random.default_rng(7), ["", ""], 1101)
    whole = scored_places(VALUES, [column()], counts)
    assert a.first.tolist() == b.first.tolist() == (whole == 1).mean(axis=0).tolist()
    assert a.first.tolist() != c.first.tolist()


def test_each_stratum_keeps_its_number_of_cases() -> None:
    counts = draw_counts(np.random.default_rng(0), ["seen", "unseen", "seen", "seen"], 100)
    assert (counts[:, [0, 2, 3]].sum(axis=1) == 3).all()
    assert (counts[:, 1] == 1).all()
    assert (counts[:, 0] != 1).any()
