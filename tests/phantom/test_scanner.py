"""The scanner: contrast, noise and geometry of a centre, and the file frame."""

from __future__ import annotations

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.phantom.scanner import (
    Site,
    by_name,
    darker,
    draw_spacing,
    positions,
    scan,
    scanner_affine,
    smooth_field,
    to_file_frame,
)
from tests.helpers.each import each

pytestmark = pytest.mark.slow

MR = Site("A", {"LGE": {0: 0.05, 1: 0.3, 4: 0.9}}, (1.0, 1.5), (8.0, 8.0), gain=500)
CT = replace(MR, contrast={"": {0: -1000, 1: 60, 4: 5000}}, modality="CT", noise=20)


def blocks() -> np.ndarray:
    tissue = np.zeros((20, 18, 6), np.uint8)
    tissue[:, 6:12], tissue[:, 12:] = 1, 4
    return tissue


def test_an_mr_image_is_a_magnitude_in_the_contrast_of_its_tissues() -> None:
    image = scan(np.random.default_rng(0), blocks(), MR.contrast["LGE"], MR)
    assert image.dtype == np.int16 and image.min() >= 0 and image.shape == (20, 18, 6)
    dark, grey, bright = (image[:, c].mean() for c in (2, 9, 15))
    assert dark < 0.5 * grey < 0.25 * bright < 300
    again = scan(np.random.default_rng(0), blocks(), MR.contrast["LGE"], MR)
    np.testing.assert_array_equal(image, again)
    other = scan(np.random.default_rng(1), blocks(), MR.contrast["LGE"], MR)
    assert (image != other).mean() > 0.5


def test_a_ct_image_is_in_hounsfield_units() -> None:
    image = scan(np.random.default_rng(0), blocks(), CT.contrast[""], replace(CT, dtype="float32"))
    assert image.dtype == np.float32
    assert abs(image[:, :5].mean() + 1000) < 40 and image[:, :5].max() < -800
    assert 0 < image[:, 8:10].mean() < 120
    assert image.max() == 3071  # twelve bits
    np.testing.assert_array_equal(image, np.rint(image))


def test_a_tissue_without_contrast() -> None:
    with pytest.raises(KeyError, match="4"):
        scan(np.random.default_rng(0), blocks(), {0: 0.1, 1: 0.2}, MR)


@each("shape", [(9, 7, 5), (12, 3, 1)])
def test_a_smooth_field(shape: tuple[int, ...]) -> None:
    field = smooth_field(np.random.default_rng(0), shape)
    assert field.shape == shape
    assert field.mean() == pytest.approx(0, abs=1e-9) and field.std() == pytest.approx(1)
    assert np.abs(np.diff(field, axis=0)).max() < 2.5
    assert not smooth_field(np.random.default_rng(0), (1, 1, 1)).any()


def test_spacing_is_within_the_ranges_of_the_centre() -> None:
    row, column, through = draw_spacing(np.random.default_rng(0), MR)
    assert 1.0 <= row <= 1.5 and row == column and through == 8.0


def test_positions_are_in_mm_from_the_middle() -> None:
    row, column, through = positions((3, 2, 1), (2.0, 1.0, 5.0))
    assert row.ravel().tolist() == [-2.0, 0.0, 2.0] and row.shape == (3, 1, 1)
    assert column.ravel().tolist() == [-0.5, 0.5] and column.shape == (1, 2, 1)
    assert through.ravel().tolist() == [0.0] and through.shape == (1, 1, 1)


def test_an_axial_volume_runs_to_posterior_left_superior() -> None:
    affine = scanner_affine(np.random.default_rng(0), (10, 8, 6), (1.5, 1.2, 3.0))
    np.testing.assert_allclose(
        affine[:3, :3], [[0, -1.2, 0], [-1.5, 0, 0], [0, 0, 3.0]], atol=1e-12
    )
    middle = affine @ [4.5, 3.5, 2.5, 1]
    assert np.abs(middle[:3]).max() < 60


def test_a_short_axis_stack_is_oblique() -> None:
    affine = scanner_affine(
        np.random.default_rng(0), (10, 8, 6), (1.5, 1.5, 9.0), plane="short axis", tilt_deg=5
    )
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    np.testing.assert_allclose(spacing, (1.5, 1.5, 9.0))
    cosines = affine[:3, :3] / spacing
    np.testing.assert_allclose(cosines.T @ cosines, np.eye(3), atol=1e-12)
    assert cosines[0, 2] < 0 < cosines[1, 2] and cosines[2, 2] < 0  # left, forward, down
    assert cosines[1, 0] < -0.5 and cosines[0, 1] < -0.5  # rows to posterior, columns to left


def test_a_voxel_keeps_its_place_in_the_world() -> None:
    array = np.zeros((4, 3, 2), np.int16)
    array[3, 1, 0] = 7
    affine = scanner_affine(np.random.default_rng(0), (4, 3, 2), (1.0, 2.0, 3.0), tilt_deg=5)
    site = replace(MR, axes=(2, 0, 1), flips=(True, False, True))
    volume = to_file_frame(array, affine, site)
    assert volume.array.shape == (2, 4, 3) and volume.array.flags["C_CONTIGUOUS"]
    index = [*np.argwhere(volume.array == 7)[0], 1]
    np.testing.assert_allclose(volume.affine @ index, affine @ [3, 1, 0, 1])
    plain = to_file_frame(array, affine, MR)
    assert nib.aff2axcodes(plain.affine) == ("P", "L", "S")
    np.testing.assert_array_equal(plain.array, array)


def test_a_contrast_from_the_signals_of_the_tissues() -> None:
    assert darker({"T2": (0.5, 1.0), "C0": (0.0, 0.25)}, 2.0) == {
        "T2": {0: 0.25, 1: 1.0},
        "C0": {0: 0.0, 1: 0.0625},
    }


def test_centres_by_name() -> None:
    assert by_name(MR, replace(MR, name="B"))["B"].gain == 500
