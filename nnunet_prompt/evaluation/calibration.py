"""Whether probabilities mean what they state: expected calibration error, Brier score and reliability table.

Counted are the voxels within `MARGIN_MM` of the reference or of where the probability is `LEAST` or more: beyond, both
are nothing, and the more background an image had, the better any model would look. Voxels of cases are pooled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

BINS = 15  # of equal width; 255 is 15 times 17, so that every bin holds 17 levels, the last one 18
MARGIN_MM = 5.0
LEAST = 0.02
RULES = {
    "voxels": f"within {MARGIN_MM:g} mm of the reference or of where the probability is {LEAST:g} or more",
    "bins": f"{BINS} of equal width, weighted by their voxels",
    "pooled": "the voxels of all cases count alike",
}
_LEVELS = 256


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """How many voxels have each of the 256 levels of probability, and how many of these are in the reference."""

    voxels: npt.NDArray[np.int64]
    inside: npt.NDArray[np.int64]

    def __add__(self, other: Levels) -> Levels:
        return Levels(self.voxels + other.voxels, self.inside + other.inside)

    @classmethod
    def none(cls) -> Levels:
        """No voxel at all."""
        return cls(np.zeros(_LEVELS, np.int64), np.zeros(_LEVELS, np.int64))


def count_levels(
    probability: npt.NDArray[np.uint8],
    reference: npt.NDArray[np.bool_],
    spacing_mm: Sequence[float],
    ignored: npt.NDArray[np.bool_] | None = None,
) -> Levels:
    """Counts the voxels of one structure in one case: `probability` is round(255 p), all arrays have one shape.

    Ignored voxels do not count. Without a voxel of the reference or of some probability there is nothing to count.
    """
    near = reference | (probability >= LEAST * 255)
    where = np.argwhere(near)
    if not where.size:
        return Levels.none()
    reach = [int(MARGIN_MM // s) + 1 for s in spacing_mm]
    low, high = where.min(0) - reach, where.max(0) + 1 + reach
    box = tuple(slice(max(int(a), 0), int(b)) for a, b in zip(low, high, strict=True))
    distance = distance_transform_edt(~near[box], sampling=tuple(spacing_mm))
    counted = distance <= MARGIN_MM
    if ignored is not None:
        counted &= ~ignored[box]
    levels = probability[box]
    return Levels(
        np.bincount(levels[counted], minlength=_LEVELS).astype(np.int64),
        np.bincount(levels[counted & reference[box]], minlength=_LEVELS).astype(np.int64),
    )


def expected_calibration_error(levels: Levels) -> float | None:
    """The mean over the voxels of the distance between a bin's mean probability and its share of the reference.

    None without voxels.

    >>> sure = Levels.none()
    >>> sure.voxels[255], sure.inside[255] = 4, 3  # certain four times, right three times
    >>> expected_calibration_error(sure)
    0.25
    """
    total = int(levels.voxels.sum())
    if not total:
        return None
    gaps = np.abs(_binned(levels.voxels * _p()) - _binned(levels.inside))
    return float(gaps.sum() / total)


def brier_score(levels: Levels) -> float | None:
    """The mean squared distance between probability and reference (0 or 1); None without voxels."""
    total = int(levels.voxels.sum())
    if not total:
        return None
    outside = levels.voxels - levels.inside
    return float((levels.inside * (1 - _p()) ** 2 + outside * _p() ** 2).sum() / total)


def reliability_table(levels: Levels) -> list[dict[str, Any]]:
    """A row per bin: its bounds, voxels, mean probability and share of the reference; both None for an empty one."""
    voxels, inside = _binned(levels.voxels), _binned(levels.inside)
    sums = _binned(levels.voxels * _p())
    return [
        {
            "from": b / BINS,
            "to": (b + 1) / BINS,
            "voxels": int(n),
            "probability": float(s / n) if n else None,
            "reference": float(k / n) if n else None,
        }
        for b, (n, s, k) in enumerate(zip(voxels, sums, inside, strict=True))
    ]


def summary(levels: Levels) -> dict[str, Any]:
    """Voxels, expected calibration error and Brier score."""
    return {
        "voxels": int(levels.voxels.sum()),
        "ece": expected_calibration_error(levels),
        "brier": brier_score(levels),
    }


def _p() -> npt.NDArray[np.float64]:
    return np.arange(_LEVELS) / 255


def _binned(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    bins = np.minimum(np.arange(_LEVELS) * BINS // 255, BINS - 1)
    return np.bincount(bins, weights=values, minlength=BINS).astype(np.float64)
