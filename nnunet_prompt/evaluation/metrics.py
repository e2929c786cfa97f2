"""Overlap and surface metrics of two masks, T the reference and P the prediction.

Definitions
    dice          2 |T and P| / (|T| + |P|)
    volume_error  (|P| - |T|) / |T|: signed and relative, +1 for twice the volume
    surface       the voxels of a mask that binary erosion with the face neighbours (4 in 2D, 6 in
                  3D) removes; beyond the image border is outside: a mask cut there has a surface
    distances     from each surface voxel of one mask to the nearest surface voxel of the other,
                  between voxel centres, in mm
    hd_mm         the largest distance of both directions
    hd95_mm       the larger of the two directed 95th percentiles (linear interpolation)
    assd_mm       the mean of the distances of both directions taken together

An axis along which the image is one voxel long is no dimension: a one-slice volume scores as the 2D
image it is. Otherwise all its voxels were surface, and the inside of a structure, where every
distance is 0, would dilute hd95_mm and assd_mm.

Empty masks
    both empty    every metric is NaN (as nnU-Net's Dice), so that the case stays out of means
    one empty     dice is 0; hd_mm, hd95_mm and assd_mm are the diagonal of the image (the norm of
                  shape x spacing): finite, so that JSON can hold it, and longer than any distance
                  in the image, so that a missed structure never improves a mean. volume_error is
                  -1 for an empty prediction and NaN for an empty reference

How others differ
    medpy         same surface (but one slice is all surface), same hd; its hd95 pools both
                  directions before the percentile, its assd is the mean of the two directed means
    MONAI         hd95 is the larger of two directed percentiles, as here
    SimpleITK     HausdorffDistanceImageFilter measures from every voxel of one mask, not from its
                  surface, to the other mask: a voxel inside the other mask has distance 0, the
                  middle of a missed hole has not. Given the surfaces as images it agrees with hd_mm
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.arguments import finite_number, items, shown, whole_number
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.evaluation.surfaces import (
    Mask,
    SurfaceDistances,
    bounding_box,
    distances_between,
    surface_of,
)

Array = npt.NDArray[Any]
_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Scores:
    """The metrics of one structure in one image; NaN where the module states it."""

    dice: float
    hd_mm: float
    hd95_mm: float
    assd_mm: float
    volume_error: float


@dataclass(frozen=True, slots=True)
class Pair:
    """Two maps on one grid without axes of length one, and the diagonal of the full image."""

    truth: Array
    prediction: Array
    spacing_mm: npt.NDArray[np.float64]
    diagonal_mm: float


def score_masks(truth: Array, prediction: Array, *, spacing_mm: Sequence[float]) -> Scores:
    """All metrics of two masks of one shape, 2D or 3D; what is not zero is inside.

    `spacing_mm` has one entry per array axis, in the order of the axes. Only the bounding box of
    the union is worked on. Raises `NNUNetPromptError` if shapes or spacing do not fit, or if an array
    holds other than whole numbers (probabilities need a threshold first).
    """
    pair = pair_of(_mask("truth", truth), _mask("prediction", prediction), spacing_mm)
    return score_pair(pair.truth, pair.prediction, pair)[0]


def score_label_maps(
    truth: Array, prediction: Array, *, spacing_mm: Sequence[float], labels: Sequence[int]
) -> dict[int, Scores]:
    """The metrics of each of `labels` in two integer label maps of one shape, in the order given.

    A label that occurs in neither map scores NaN throughout. There is no ignore label here: whoever
    has one sets its voxels to 0 in both maps. Raises `NNUNetPromptError` like `score_masks`, or if the
    background 0 is among the labels.
    """
    labels = checked_labels(labels)
    pair = map_pair(truth, prediction, spacing_mm)
    truth, prediction = pair.truth, pair.prediction
    return {label: score_pair(truth == label, prediction == label, pair)[0] for label in labels}


def checked_labels(labels: Sequence[int]) -> list[int]:
    """Label values from 1 on. Raises `NNUNetPromptError`."""
    values = items(labels)
    if values is None:
        raise NNUNetPromptError(
            f"labels: expected a list such as [500, 200], found {shown(labels)}"
        )
    found = [whole_number("labels", v, lowest=0, example=500) for v in values]
    if 0 in found:
        raise NNUNetPromptError(f"labels must not hold the background 0, found {found}")
    return found


def map_pair(truth: Array, prediction: Array, spacing_mm: Sequence[float]) -> Pair:
    """Two label maps of one shape, cut to the box that holds all that is not 0. Raises like `score_masks`."""
    pair = pair_of(_whole("truth", truth), _whole("prediction", prediction), spacing_mm)
    box = bounding_box((pair.truth != 0) | (pair.prediction != 0))
    return replace(pair, truth=pair.truth[box], prediction=pair.prediction[box])


def dice(truth: Array, prediction: Array) -> float:
    """Dice coefficient of two masks of one shape; NaN if both are empty."""
    truth, prediction = _mask("truth", truth), _mask("prediction", prediction)
    _check_one_shape(truth, prediction)
    total = int(np.count_nonzero(truth)) + int(np.count_nonzero(prediction))
    return 2 * int(np.count_nonzero(truth & prediction)) / total if total else _NAN


def volume_error(truth: Array, prediction: Array) -> float:
    """(|P| - |T|) / |T| of two masks of one shape, signed; NaN if the reference is empty."""
    truth, prediction = _mask("truth", truth), _mask("prediction", prediction)
    _check_one_shape(truth, prediction)
    expected, found = int(np.count_nonzero(truth)), int(np.count_nonzero(prediction))
    return (found - expected) / expected if expected else _NAN


def surface_dice(
    truth: Array, prediction: Array, *, spacing_mm: Sequence[float], tolerance_mm: float
) -> float:
    """Normalised surface Dice: the share of both surfaces' voxels at most `tolerance_mm` from the other surface.

    Between voxel centres, so it counts voxels and not their areas (Nikolov et al. 2021 weigh by area). NaN if both
    masks are empty, 0 if one is. Raises `ValueError` if shapes or spacing do not fit.
    """
    pair = pair_of(np.asarray(truth, bool), np.asarray(prediction, bool), spacing_mm)
    if not (pair.truth.any() or pair.prediction.any()):
        return _NAN
    if not (pair.truth.any() and pair.prediction.any()):
        return 0.0
    box = bounding_box(pair.truth | pair.prediction)
    distances = distances_between(pair.truth[box], pair.prediction[box], pair.spacing_mm)
    return distances.within(tolerance_mm)


def surface(mask: Array) -> Mask:
    """The surface voxels of a mask, in its shape: those that have a face neighbour outside."""
    inside = _mask("mask", mask)
    if inside.ndim == 0:
        raise NNUNetPromptError(f"mask: expected an array, found {shown(mask)}")
    return surface_of(inside)


def surface_distances(
    truth: Array, prediction: Array, *, spacing_mm: Sequence[float]
) -> SurfaceDistances:
    """The distances between the surfaces of two masks of one shape, both ways.

    Raises `NNUNetPromptError` if a mask is empty, and like `score_masks`.
    """
    pair = pair_of(_mask("truth", truth), _mask("prediction", prediction), spacing_mm)
    if not (pair.truth.any() and pair.prediction.any()):
        raise NNUNetPromptError("surface distances need two masks that are not empty")
    box = bounding_box(pair.truth | pair.prediction)
    return distances_between(pair.truth[box], pair.prediction[box], pair.spacing_mm)


def score_pair(truth: Mask, prediction: Mask, pair: Pair) -> tuple[Scores, SurfaceDistances | None]:
    """Scores two masks cut from the grid of `pair` by any box that holds both; no distances where one is empty."""
    if not (truth.any() or prediction.any()):
        return Scores(_NAN, _NAN, _NAN, _NAN, _NAN), None
    box = bounding_box(truth | prediction)
    truth, prediction = truth[box], prediction[box]
    overlap, error = dice(truth, prediction), volume_error(truth, prediction)
    if not (truth.any() and prediction.any()):
        far = pair.diagonal_mm
        return Scores(overlap, far, far, far, error), None
    found = distances_between(truth, prediction, pair.spacing_mm)
    return Scores(overlap, found.hd_mm, found.hd95_mm, found.assd_mm, error), found


def pair_of(truth: Array, prediction: Array, spacing_mm: Sequence[float]) -> Pair:
    _check_one_shape(truth, prediction)
    try:
        numbers = [finite_number("spacing_mm", s, 1.5) for s in items(spacing_mm) or ()]
    except NNUNetPromptError:
        numbers = []
    spacing = np.array(numbers, np.float64)
    if spacing.shape != (truth.ndim,) or not (spacing > 0).all():
        raise NNUNetPromptError(
            f"spacing_mm must be {truth.ndim} positive numbers, found {shown(spacing_mm)}"
        )
    diagonal = float(np.linalg.norm(np.array(truth.shape) * spacing))
    keep = [axis for axis, length in enumerate(truth.shape) if length != 1] or [0]
    shape = tuple(truth.shape[axis] for axis in keep)
    return Pair(truth.reshape(shape), prediction.reshape(shape), spacing[keep], diagonal)


def _check_one_shape(truth: Array, prediction: Array) -> None:
    if truth.shape != prediction.shape or truth.ndim == 0:
        raise NNUNetPromptError(
            f"reference and prediction must have the same shape, found {truth.shape} and {prediction.shape}"
        )


def _mask(name: str, array: Any) -> Mask:
    """The voxels that are not zero, as booleans; raises like `_whole`."""
    return _whole(name, array).astype(bool, copy=False)


def _whole(name: str, array: Any) -> Array:
    """A mask or label map; raises `NNUNetPromptError` for fractions, NaN and what is no number."""
    try:
        found = np.asarray(array)
    except (TypeError, ValueError):  # such as lists of unequal length
        found = np.empty(0, object)
    if found.dtype.kind in "bui" or (found.dtype.kind == "f" and (found == np.rint(found)).all()):
        return found
    raise NNUNetPromptError(
        f"{name}: expected a mask or a label map of whole numbers, found {shown(found)};"
        " give probabilities a threshold first, such as p > 0.5"
    )
