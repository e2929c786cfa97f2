"""Every number of a label or union in one image: the five of `metrics` and those that only an evaluation shows.

    nsd_2mm             normalised surface Dice: the share of both surfaces' voxels at most 2 mm from the other
                        surface, between voxel centres; 0 if one mask is empty
    sensitivity         |T and P| / |T|; NaN for an empty reference
    precision           |T and P| / |P|; NaN for an empty prediction
    abs_volume_error_ml | |P| - |T| |, in mL
    volume_ml           |T|, in mL
    predicted_volume_ml |P|, in mL
    lesion_f1, lesions, predicted_lesions, matched_lesions    see `lesions`

All are NaN if both masks are empty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.evaluation.lesions import match_lesions
from nnunet_prompt.evaluation.metrics import Scores, checked_labels, map_pair, score_pair
from nnunet_prompt.evaluation.options import Key, Measures
from nnunet_prompt.evaluation.surfaces import Mask, SurfaceDistances, bounding_box

LESION_METRICS = ("lesion_f1", "lesions", "predicted_lesions", "matched_lesions")
_ML = 1e-3  # of a cubic millimetre


@dataclass(frozen=True, slots=True)
class Measured:
    """The metrics of a label or union; `more` has None where one is not defined."""

    scores: Scores
    more: Mapping[str, float | None]


def measure_label_maps(
    truth: npt.NDArray[Any],
    prediction: npt.NDArray[Any],
    *,
    spacing_mm: Sequence[float],
    labels: Sequence[int],
    measures: Measures,
    unions: Mapping[str, Sequence[int]],
) -> dict[Key, Measured]:
    """All metrics of each of `labels`, then of the `unions`, in two integer label maps of one shape.

    Raises `NNUNetPromptError` like `metrics.score_label_maps`.
    """
    labels = checked_labels(labels)
    pair = map_pair(truth, prediction, spacing_mm)
    voxel_ml = math.prod(map(float, spacing_mm)) * _ML
    found: dict[Key, Measured] = {}
    keys: list[Key] = [*labels, *unions]
    for key in keys:
        if isinstance(key, int):
            masks = pair.truth == key, pair.prediction == key
        else:
            masks = np.isin(pair.truth, unions[key]), np.isin(pair.prediction, unions[key])
        scores, distances = score_pair(*masks, pair)
        more = _overlap(*masks, voxel_ml)
        more |= _surface(scores, distances, measures.tolerances_mm)
        if key in measures.lesions:
            more |= _lesions(*masks, measures.lesion_iou)
        found[key] = Measured(scores, {name: _known(value) for name, value in more.items()})
    return found


def nsd_name(tolerance_mm: float) -> str:
    return f"nsd_{tolerance_mm:g}mm"


def names_of(measures: Measures) -> tuple[str, ...]:
    """The names of the metrics that `measure_label_maps` adds to those of `Scores`, in order."""
    names = ("sensitivity", "precision", "abs_volume_error_ml", "volume_ml", "predicted_volume_ml")
    return (*names, *map(nsd_name, measures.tolerances_mm), *LESION_METRICS)


def _overlap(truth: Mask, prediction: Mask, voxel_ml: float) -> dict[str, float]:
    t, p = int(np.count_nonzero(truth)), int(np.count_nonzero(prediction))
    both = int(np.count_nonzero(truth & prediction))
    nothing = not (t or p)
    return {
        "sensitivity": both / t if t else math.nan,
        "precision": both / p if p else math.nan,
        "abs_volume_error_ml": math.nan if nothing else abs(p - t) * voxel_ml,
        "volume_ml": math.nan if nothing else t * voxel_ml,
        "predicted_volume_ml": math.nan if nothing else p * voxel_ml,
    }


def _surface(
    scores: Scores, distances: SurfaceDistances | None, tolerances_mm: Sequence[float]
) -> dict[str, float]:
    empty = math.nan if math.isnan(scores.dice) else 0.0
    return {nsd_name(t): empty if distances is None else distances.within(t) for t in tolerances_mm}


def _lesions(truth: Mask, prediction: Mask, iou: float) -> dict[str, float]:
    if not (truth.any() or prediction.any()):
        return dict.fromkeys(LESION_METRICS, math.nan)
    box = bounding_box(truth | prediction)
    found = match_lesions(truth[box], prediction[box], iou=iou)
    counts = (found.f1, found.reference, found.predicted, found.matched)
    return dict(zip(LESION_METRICS, map(float, counts), strict=True))


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
