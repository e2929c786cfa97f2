"""Ranks and places. Ties share them, in the two usual ways.

Within a column (a metric of a structure) teams of equal value share the mean of their ranks, "1.5, 1.5, 3", so that
the sum of all ranks is the same in every column. Places, which come last and are read by people, are those of
competitions: "1, 1, 3". A team without a value ranks behind all that have one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

DECIMALS = 10  # what differs by less is rounding and not skill


def column_ranks(values: Floats, higher_is_better: npt.NDArray[np.bool_]) -> Floats:
    """The ranks, from 1 on, of values (..., teams, columns) among the teams; equal values share their mean rank.

    higher_is_better: (columns,)
    """
    cost: Floats = np.where(higher_is_better, -values, values).astype(np.float64).round(DECIMALS)
    return _better(cost) + (_equal(cost) + 1) / 2


def places(scores: Floats) -> npt.NDArray[np.int64]:
    """The places, from 1 on, of scores (..., teams), the lowest first; equal scores share the better place."""
    cost = np.round(scores, DECIMALS)[..., None]
    found: npt.NDArray[np.int64] = (1 + _better(cost))[..., 0].astype(np.int64)
    return found


def mean_rank(ranks: Floats, weights: Floats) -> Floats:
    """The weighted mean over the columns of ranks (..., teams, columns)."""
    found: Floats = ranks @ (weights / weights.sum())
    return found


def _better(cost: Floats) -> Floats:
    """How many teams have a lower cost; NaN counts as the highest."""
    return _count(cost, np.less)


def _equal(cost: Floats) -> Floats:
    """How many teams, itself among them, have the same cost."""
    return _count(cost, np.equal)


def _count(cost: Floats, compare: Any) -> Floats:
    """For each team the number of teams whose cost compares so with its own, along the axis before the last."""
    cost = np.where(np.isnan(cost), np.inf, cost)
    counts = np.empty(cost.shape)
    for team in range(cost.shape[-2]):
        counts[..., team, :] = compare(cost, cost[..., team : team + 1, :]).sum(axis=-2)
    return counts
