"""Continuous ranked probability score of a volume against those that several readers drew.

CURVAS 2024 takes the readers' volumes as a Gaussian (mean, and standard deviation with n in the denominator), the
model's volume as a step, and integrates the squared difference of both distribution functions over the mean plus and
minus three standard deviations. Its function is cut to 0 below the 1st and 1 above the 99th percentile and linear
between 100 points. A volume beyond this range costs no more than one on its edge; `crps_gaussian` is over all volumes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import norm

_REACH = 3.0  # standard deviations
_POINTS = 100
_TAIL = 0.01


def crps_gaussian(volume: float, readers: Sequence[float]) -> float:
    """The score over all volumes, in their unit; the distance to the readers' volume where all drew the same.

    >>> crps_gaussian(5.0, [3.0, 3.0])
    2.0
    """
    mean, deviation = float(np.mean(readers)), float(np.std(readers))
    if deviation == 0:
        return abs(volume - mean)
    z = (volume - mean) / deviation
    within = z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / math.sqrt(math.pi)
    return float(deviation * within)


def crps_curvas(volume: float, readers: Sequence[float]) -> float | None:
    """The score as CURVAS 2024 computes it, in the unit of the volumes; None where all readers drew the same."""
    mean, deviation = float(np.mean(readers)), float(np.std(readers))
    if deviation == 0:
        return None
    tail = float(norm.ppf(1 - _TAIL)) * deviation
    known = np.linspace(mean - tail, mean + tail, _POINTS)
    function = norm.cdf(known, mean, deviation)
    low, high = mean - _REACH * deviation, mean + _REACH * deviation
    edges = np.unique(np.clip([low, *known, volume, high], low, high))
    half = np.diff(edges) / 2
    total = 0.0
    for side in (
        -1,
        1,
    ):  # Gauss and Legendre's two points: exact between the edges, where the square is a parabola
        points = edges[:-1] + half * (1 + side / math.sqrt(3))
        there = np.interp(points, known, function, left=0, right=1)
        total += float((half * (there - (points > volume)) ** 2).sum())
    return total
