"""How places change when the test set is another sample of the same cases (percentile bootstrap, as challengeR).

Cases are drawn with replacement, all teams the same ones, and within each stratum (a task, seen or unseen centres) as
many as it has; means, ranks and places are then computed as before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nnunet_prompt.evaluation.ranking.ranks import Floats, column_ranks, mean_rank, places
from nnunet_prompt.evaluation.ranking.values import Column, Values

_AT_ONCE = 500  # samples, so that many teams need little memory


@dataclass(frozen=True, slots=True)
class Stability:
    """Of each team the interval of its places, the share of samples in which it is first, and its mean place."""

    low: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]
    first: Floats
    mean_place: Floats


def bootstrap_places(
    values: Values,
    columns: Sequence[Column],
    strata: Sequence[str],
    *,
    samples: int,
    confidence: float,
    seed: int,
) -> Stability:
    """Places of the teams over `samples` samples of the cases; `strata` has the stratum of each case."""
    rng = np.random.default_rng(seed)
    counts = draw_counts(rng, strata, samples)
    parts = range(0, samples, _AT_ONCE)
    found = np.concatenate(
        [scored_places(values, columns, counts[i : i + _AT_ONCE]) for i in parts]
    )
    tail = (1 - confidence) / 2
    low = np.quantile(found, tail, axis=0, method="inverted_cdf")
    high = np.quantile(found, 1 - tail, axis=0, method="inverted_cdf")
    first, mean = (found == 1).mean(axis=0), found.mean(axis=0)
    return Stability(low.astype(np.int64), high.astype(np.int64), first, mean)


def draw_counts(rng: np.random.Generator, strata: Sequence[str], samples: int) -> Floats:
    """(samples, cases): how often each case is in each sample."""
    counts = np.zeros((samples, len(strata)))
    names = np.array(strata)
    for stratum in dict.fromkeys(strata):
        members = np.flatnonzero(names == stratum)
        shares = np.full(len(members), 1 / len(members))
        counts[:, members] = rng.multinomial(len(members), shares, size=samples)
    return counts


def scored_places(
    values: Values, columns: Sequence[Column], counts: Floats
) -> npt.NDArray[np.int64]:
    """(samples, teams): the places where cases count as often as in `counts`."""
    higher = np.array([column.higher_is_better for column in columns])
    weights = np.array([column.weight for column in columns])
    ranks = column_ranks(values.column_values(columns, counts), higher)
    return places(mean_rank(ranks, weights))
