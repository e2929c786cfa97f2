from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist

from nnunet_prompt.evaluation.metrics import (
    Scores,
    dice,
    score_label_maps,
    score_masks,
    surface,
    surface_distances,
    volume_error,
)
from tests.helpers.each import each
from tests.helpers.nonsense import refuses

Mask = npt.NDArray[np.bool_]
SPACING = (5.0, 1.0, 2.0)
NAN = float("nan")


def _picture(*rows: str) -> Mask:
    return np.array([[cell == "#" for cell in row] for row in rows])


def _same(scores: Scores, *expected: float) -> None:
    assert astuple(scores) == pytest.approx(expected, nan_ok=True)


# by hand ---------------------------------------------------------------------------------------


@each(("axis", "step_mm"), [(0, 5.0), (1, 1.0), (2, 2.0)])
def test_a_shift_costs_the_spacing_of_its_axis(axis: int, step_mm: float) -> None:
    truth = np.zeros((9, 8, 7), bool)
    truth[3, 3, 3] = True
    scores = score_masks(truth, np.roll(truth, 2, axis), spacing_mm=SPACING)
    _same(scores, 0.0, 2 * step_mm, 2 * step_mm, 2 * step_mm, 0.0)


def test_all_metrics_of_two_pictures() -> None:
    truth = _picture("......", ".##...", "......")
    prediction = _picture("......", ".####.", "......")
    scores = score_masks(truth, prediction, spacing_mm=(1.0, 3.0))
    # truth to prediction 0 0; prediction to truth 0 0 3 6, at 95 % 3 + 0.85 x 3
    _same(scores, 2 * 2 / (2 + 4), 6.0, 5.55, (3 + 6) / 6, 1.0)


def test_identical_masks_are_perfect() -> None:
    mask = np.zeros((4, 6, 8), bool)
    mask[1:3, 2:5, 1:7] = True
    _same(score_masks(mask, mask, spacing_mm=SPACING), 1.0, 0.0, 0.0, 0.0, 0.0)


def test_hd95_is_the_larger_directed_percentile() -> None:
    long = np.zeros((3, 22), bool)
    short = long.copy()
    long[1, 1:21] = True
    short[1, 1:11] = True
    # long to short: ten times 0, then 1 to 10; at 95 % 9.05. short to long: 0. Pooled it were 8.55.
    assert score_masks(long, short, spacing_mm=(1, 1)).hd95_mm == pytest.approx(9.05)
    assert score_masks(short, long, spacing_mm=(1, 1)).hd95_mm == pytest.approx(9.05)


def test_assd_weighs_each_surface_voxel_alike() -> None:
    truth = _picture("..........", ".#........", "..........")
    prediction = _picture("..........", ".####.....", "..........")
    # distances 0 | 0 1 2 3: 6 / 5; the mean of the two directed means were 0.75
    assert score_masks(truth, prediction, spacing_mm=(1, 1)).assd_mm == pytest.approx(1.2)


def test_volume_error_has_a_sign() -> None:
    one, four = _picture("#..."), _picture("####")
    assert volume_error(four, one) == -0.75
    assert volume_error(one, four) == 3.0


def test_the_surface_has_a_face_neighbour_outside() -> None:
    mask = _picture("......", ".####.", ".####.", ".####.", ".###..", "......")
    expected = _picture("......", ".####.", ".#..#.", ".#..#.", ".###..", "......")
    # (3, 3) is no surface: of its neighbours only the diagonal one (4, 4) is outside
    np.testing.assert_array_equal(surface(mask), expected)


def test_beyond_the_image_border_is_outside() -> None:
    expected = _picture("####", "#..#", "####")
    np.testing.assert_array_equal(surface(np.ones((3, 4), bool)), expected)


def test_a_mask_at_the_image_border_scores_as_in_a_larger_image() -> None:
    truth, prediction = np.zeros((2, 6, 5, 7), bool)
    truth[:3, :4, :5] = True
    prediction[1:4, :, 2:] = True
    larger = (np.pad(mask, 3) for mask in (truth, prediction))
    _same(
        score_masks(truth, prediction, spacing_mm=SPACING),
        *astuple(score_masks(*larger, spacing_mm=SPACING)),
    )


# one slice ---------------------------------------------------------------------------------------


@each("axis", [0, 1, 2])
def test_a_volume_of_one_slice_scores_as_the_picture(axis: int) -> None:
    truth, prediction = np.zeros((2, 20, 20), bool)
    truth[2:18, 2:18] = True
    prediction[2:18, 5:18] = True
    flat = score_masks(truth, prediction, spacing_mm=(1.5, 2.0))
    spacing = np.insert([1.5, 2.0], axis, 8.0).tolist()
    slices = (np.expand_dims(mask, axis) for mask in (truth, prediction))
    _same(score_masks(*slices, spacing_mm=spacing), *astuple(flat))
    assert flat.assd_mm > 0.5  # 0.33 if the inside counted as surface


def test_a_structure_of_one_slice_in_a_volume_is_all_surface() -> None:
    truth = np.zeros((3, 5, 5), bool)
    truth[1, 1:4, 1:4] = True
    prediction = truth.copy()
    prediction[1, 2, 2] = False
    assert surface(truth).sum() == 9
    assert score_masks(truth, prediction, spacing_mm=(8, 1, 1)).hd_mm == 1.0


def test_an_image_of_one_voxel() -> None:
    voxel = np.ones((1, 1, 1), bool)
    _same(score_masks(voxel, voxel, spacing_mm=SPACING), 1.0, 0.0, 0.0, 0.0, 0.0)
    _same(score_masks(voxel, ~voxel, spacing_mm=(2, 3, 6)), 0.0, 7.0, 7.0, 7.0, -1.0)


# empty masks -------------------------------------------------------------------------------------

EMPTY = np.zeros((3, 4, 6), bool)
FULL = EMPTY.copy()
FULL[1, 1:3, 2:5] = True
DIAGONAL = 13.0  # of 3 x 1, 4 x 1 and 6 x 2 mm


def test_both_empty_is_undefined() -> None:
    _same(score_masks(EMPTY, EMPTY, spacing_mm=(1, 1, 2)), NAN, NAN, NAN, NAN, NAN)
    assert np.isnan(dice(EMPTY, EMPTY))


def test_an_empty_prediction_costs_the_diagonal_of_the_whole_image() -> None:
    scores = score_masks(FULL, EMPTY, spacing_mm=(1, 1, 2))
    _same(scores, 0.0, DIAGONAL, DIAGONAL, DIAGONAL, -1.0)


def test_an_empty_truth_costs_the_diagonal_and_has_no_volume_error() -> None:
    scores = score_masks(EMPTY, FULL, spacing_mm=(1, 1, 2))
    _same(scores, 0.0, DIAGONAL, DIAGONAL, DIAGONAL, NAN)


def test_surface_distances_of_an_empty_mask_are_an_error() -> None:
    with pytest.raises(ValueError, match="not empty"):
        surface_distances(FULL, EMPTY, spacing_mm=SPACING)


# misuse ------------------------------------------------------------------------------------------


def test_masks_of_two_shapes_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"\(3, 4, 6\) and \(3, 4, 5\)"):
        score_masks(EMPTY, EMPTY[..., :5], spacing_mm=SPACING)


@each("spacing", [(1, 1), (1, 1, 0), (1, 1, -1), (1, 1, NAN)])
def test_a_spacing_that_does_not_fit_is_an_error(spacing: Sequence[float]) -> None:
    with pytest.raises(ValueError, match="spacing_mm must be 3 positive numbers"):
        score_masks(FULL, FULL, spacing_mm=spacing)


def test_arguments_are_not_changed() -> None:
    truth, prediction = np.zeros((2, 4, 5), np.int16)
    truth[1:3, 1:3] = 7
    prediction[1:3, 2:4] = 1
    before = truth.copy(), prediction.copy()
    score_masks(truth, prediction, spacing_mm=(1, 1))
    np.testing.assert_array_equal(truth, before[0])
    np.testing.assert_array_equal(prediction, before[1])


# label maps --------------------------------------------------------------------------------------


def test_label_maps_score_each_label_as_its_mask() -> None:
    rng = np.random.default_rng(3)
    truth, prediction = np.zeros((2, 7, 9, 11), np.int32)
    truth[1:6, 2:8, 3:9] = rng.choice([0, 1, 500], (5, 6, 6))
    prediction[1:6, 2:8, 3:9] = rng.choice([0, 1, 500, 7], (5, 6, 6))
    scores = score_label_maps(truth, prediction, spacing_mm=SPACING, labels=[500, 1, 7, 9])
    assert list(scores) == [500, 1, 7, 9]
    for label, found in scores.items():
        expected = score_masks(truth == label, prediction == label, spacing_mm=SPACING)
        _same(found, *astuple(expected))
    assert scores[7].hd_mm == pytest.approx(np.hypot(np.hypot(35, 9), 22))  # the whole image
    assert np.isnan(scores[9].dice)


def test_label_maps_without_foreground_are_undefined() -> None:
    maps = np.zeros((2, 3, 4), np.uint8)
    _same(score_label_maps(*maps, spacing_mm=(1, 1), labels=[1])[1], NAN, NAN, NAN, NAN, NAN)


def test_the_background_is_no_label() -> None:
    maps = np.zeros((2, 3, 4), np.uint8)
    with pytest.raises(ValueError, match="background 0"):
        score_label_maps(*maps, spacing_mm=(1, 1), labels=[0, 1])


# an independent library --------------------------------------------------------------------------


def _blob(rng: np.random.Generator) -> Mask:
    """A random shape, with holes and pieces, that stays clear of the image border."""
    noise: Any = gaussian_filter(rng.standard_normal((14, 18, 22)), 1.5)
    mask: Mask = np.zeros(noise.shape, bool)
    inner = (slice(2, -2),) * 3
    mask[inner] = (noise > 0.08)[inner]
    return mask


def _itk(mask: Mask) -> Any:
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(SPACING[::-1])
    return image


def _itk_hausdorff(a: Any, b: Any) -> float:
    measure = sitk.HausdorffDistanceImageFilter()
    measure.Execute(a, b)
    return float(measure.GetHausdorffDistance())


@each("seed", range(5))
def test_random_blobs_agree_with_simpleitk(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, prediction = _blob(rng), _blob(rng)
    scores = score_masks(truth, prediction, spacing_mm=SPACING)

    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(_itk(prediction), _itk(truth))  # ITK's error is over its second image
    assert scores.dice == pytest.approx(overlap.GetDiceCoefficient(1))

    contours = [sitk.BinaryContour(_itk(mask), False) for mask in (truth, prediction)]
    np.testing.assert_array_equal(surface(truth), sitk.GetArrayFromImage(contours[0]))
    assert scores.hd_mm == pytest.approx(_itk_hausdorff(*contours))


@each("seed", range(5))
def test_random_blobs_agree_with_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, prediction = _blob(rng), _blob(rng)
    scores = score_masks(truth, prediction, spacing_mm=SPACING)
    points = [
        np.argwhere(sitk.GetArrayFromImage(sitk.BinaryContour(_itk(m), False))) * SPACING
        for m in (truth, prediction)
    ]
    table = cdist(*points)
    forth, back = table.min(axis=1), table.min(axis=0)
    assert scores.hd_mm == pytest.approx(max(forth.max(), back.max()))
    assert scores.hd95_mm == pytest.approx(max(np.percentile(forth, 95), np.percentile(back, 95)))
    assert scores.assd_mm == pytest.approx((forth.sum() + back.sum()) / (len(forth) + len(back)))


def test_simpleitk_measures_hausdorff_from_whole_masks() -> None:
    """The difference that the docstring states: a mask inside the other, with a wide margin."""
    outer, inner = np.zeros((2, 3, 13, 13), bool)
    outer[1, 1:12, 1:12] = True
    inner[1, 1:12, 1:12] = True
    inner[1, 3:10, 3:10] = False  # a hole whose middle is 4 from its edge
    assert _itk_hausdorff(_itk(outer), _itk(inner)) == pytest.approx(4.0)
    two = [mask[1] for mask in (outer, inner)]  # in 2D only outlines are surface
    assert score_masks(*two, spacing_mm=(1, 2)).hd_mm == pytest.approx(2.0)


def test_probabilities_and_other_things_are_no_masks() -> None:
    mask, maps = np.zeros((3, 3, 3), bool), [np.full((3, 3, 3), v) for v in (0.5, NAN, 1 + 2j)]
    for call in (dice, volume_error):
        refuses(
            lambda v, call=call: call(mask, v), [*maps, None, "LV", mask.tolist()[:1], object()]
        )  # type: ignore[misc]
    refuses(lambda v: score_masks(v, mask, spacing_mm=(1, 1, 1)), [*maps, None, 3])
    refuses(lambda v: score_masks(mask, mask, spacing_mm=v), [None, 1.0, "abc", ("1", 1, 1)])
    refuses(
        lambda v: score_label_maps(mask, mask, spacing_mm=(1, 1, 1), labels=v),
        [None, 5, "abc", [1.5], [True], [0], ["LV"]],
    )
    refuses(surface, [None, 3, *maps])
    assert dice(mask + 1.0, ~mask) == 1.0  # whole numbers of any type
