"""Images in memory lie where their file would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.io.in_memory import is_in_memory, volumes_in_memory
from nnunet_prompt.io.nifti import read_nifti
from tests.helpers.each import each

AFFINE = np.array([[0, -2.0, 0, 10], [-1.5, 0, 0, 20], [0, 0, 5, -30], [0, 0, 0, 1]])
ARRAY = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "case.nii.gz"
    nib.save(nib.Nifti1Image(ARRAY, AFFINE), path)
    return path


def test_all_forms_are_the_file(path: Path) -> None:
    expected = read_nifti(path)
    forms: list[Any] = [nib.load(path), sitk.ReadImage(str(path)), (ARRAY, AFFINE)]
    for form in [*forms, (ARRAY, AFFINE.tolist())]:
        assert is_in_memory(form)
        (volume,) = volumes_in_memory(form)
        assert np.array_equal(volume.array, expected.array), form
        assert np.allclose(volume.affine, expected.affine), form


def test_spacing_alone() -> None:
    for spacing in ((1.5, 2, 5), [1.5, 2, 5], np.array([1.5, 2, 5])):
        (volume,) = volumes_in_memory((ARRAY, spacing))
        assert np.array_equal(volume.affine, np.diag([1.5, 2, 5, 1]))
        assert volume.spacing_mm == (1.5, 2.0, 5.0)


def test_channels_and_flat_images() -> None:
    four = nib.Nifti1Image(np.stack([ARRAY, ARRAY + 1], -1), AFFINE)
    assert [v.array[0, 0, 0] for v in volumes_in_memory(four)] == [0, 1]
    (flat,) = volumes_in_memory(nib.Nifti1Image(ARRAY[..., 0], AFFINE))
    assert flat.shape == (2, 3, 1)


def test_types_and_voxels_that_are_not_finite() -> None:
    (whole,) = volumes_in_memory((ARRAY.astype(np.int16), AFFINE))
    assert whole.array.dtype == np.int16
    (mask,) = volumes_in_memory((ARRAY > 3, AFFINE))
    assert mask.array.dtype == np.uint8 and mask.array.sum() == 20
    broken = ARRAY.copy()
    broken[0, 0, 0] = np.nan
    (volume,) = volumes_in_memory(nib.Nifti1Image(broken, AFFINE))
    assert volume.array[0, 0, 0] == 0 and volume.replaced == 1
    assert np.isnan(broken[0, 0, 0])  # the caller's own


@each("given", [ARRAY, [ARRAY, AFFINE], (ARRAY,), "a", None, 3, (ARRAY, ARRAY, 3)])
def test_what_has_no_place(given: Any) -> None:
    assert not is_in_memory(given)


@each(
    ("given", "message"),
    [
        ((ARRAY, np.zeros((4, 4))), "affine"),
        ((ARRAY, np.full((4, 4), np.nan)), "affine must be finite"),
        ((ARRAY, (1, 2)), "three voxel sizes"),
        ((ARRAY, (1, 2, -3)), "three voxel sizes"),
        ((ARRAY, None), "three voxel sizes"),
        ((ARRAY, ARRAY), "three voxel sizes"),
        ((ARRAY[0], AFFINE), r"array \(X, Y, Z\)"),
        ((ARRAY[None], AFFINE), "several channels as a list"),
        ((ARRAY.astype(complex), AFFINE), "real numbers"),
        (((ARRAY[:0]), AFFINE), "real numbers"),
    ],
)
def test_what_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message) as error:
        volumes_in_memory(given)
    assert "\n" not in str(error.value)
