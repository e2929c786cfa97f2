"""Means with bootstrap intervals: cases are drawn with replacement, 2,000 times, always in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESAMPLES, SEED, LEVEL = 2000, 20260101, 95


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean of `n` values, their standard deviation, median and quartiles, and a 95 % interval of the mean.

    low, high: None for fewer than two values, of which there is no interval.
    """

    n: int
    mean: float
    spread: float
    median: float
    quartiles: tuple[float, float]
    low: float | None = None
    high: float | None = None


def interval(values: Sequence[float]) -> Interval | None:
    """The interval of the mean of some values; None for no value."""
    if not values:
        return None
    array = np.asarray(values, float)
    low, high = _bounds(_means(array, np.random.default_rng(SEED)), len(array))
    lower, middle, upper = (float(v) for v in np.percentile(array, (25, 50, 75)))
    spread = float(array.std(ddof=1)) if len(array) > 1 else 0.0
    return Interval(
        len(array), float(array.mean()), spread, middle, (lower, upper), low=low, high=high
    )


def _means(array: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    return np.asarray(array[rng.integers(0, len(array), (RESAMPLES, len(array)))].mean(1))


def _bounds(many: npt.NDArray[np.float64], n: int) -> tuple[float | None, float | None]:
    if n < 2:
        return None, None
    tail = (100 - LEVEL) / 2
    low, high = np.percentile(many, (tail, 100 - tail))
    return float(low), float(high)
