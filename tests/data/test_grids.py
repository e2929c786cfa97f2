"""Agreement of grids, and bringing a file to another grid."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.data.case import values_in
from nnunet_prompt.data.grids import Blank, OnGrid, agreement, read_mask, resample_to
from nnunet_prompt.io.nifti import read_grid, read_nifti
from tests.helpers.each import each
from tests.helpers.orientations import EIGHT, with_flips

AFFINE = np.diag([2.0, 1.0, 8.0, 1.0])


def save(
    path: Path, array: npt.NDArray[np.generic], affine: npt.NDArray[np.float64] = AFFINE
) -> Path:
    nib.Nifti1Image(array, affine).to_filename(path)
    return path


def moved(*mm: float) -> npt.NDArray[np.float64]:
    affine = AFFINE.copy()
    affine[:3, 3] = mm
    return affine


@each(
    ("shape", "affine", "wanted"),
    [
        ((4, 5, 3), AFFINE, "same"),
        ((4, 5, 3), moved(0.05, 0, 0), "same"),
        ((4, 5, 3), moved(0.2, 0, 0), "affine differs"),
        ((4, 5, 3), moved(900, 0, 0), "affine differs"),
        ((4, 5, 2), AFFINE, "shape differs"),
        ((4, 5, 2), moved(0, 0, 16), "shape differs"),
        ((4, 5, 2), moved(0, 0, 24), "disjoint"),  # it begins where the other ends
        ((4, 5, 3, 1), AFFINE, "same"),
    ],
)
def test_how_two_grids_agree(
    tmp_path: Path, shape: tuple[int, ...], affine: npt.NDArray[np.float64], wanted: str
) -> None:
    image = save(tmp_path / "image.nii", np.zeros((4, 5, 3), np.int16))
    label = save(tmp_path / "label.nii", np.zeros(shape, np.int16), affine)
    assert agreement(read_grid(image), read_grid(label)) == wanted


@each(("axes", "flips"), with_flips(EIGHT))
def test_other_axes_of_the_same_grid_are_turned(
    tmp_path: Path, axes: tuple[int, ...], flips: tuple[bool, ...]
) -> None:
    array = np.arange(60, dtype=np.int16).reshape(4, 5, 3)
    image = save(tmp_path / "image.nii", array)
    orientation = np.array([[a, -1 if f else 1] for a, f in zip(axes, flips, strict=True)])
    turned = nib.Nifti1Image(array, AFFINE).as_reoriented(orientation)
    turned.to_filename(tmp_path / "turned.nii")
    assert agreement(read_grid(image), read_grid(tmp_path / "turned.nii")) == "same"
    found = OnGrid(tmp_path / "turned.nii", image, "values").load()
    assert np.array_equal(found.array, array)
    assert np.allclose(found.affine, AFFINE)


def test_of_one_shape_the_affine_is_copied(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    image = save(tmp_path / "image.nii", array)
    label = save(tmp_path / "label.nii", array, moved(0, 30, 0))
    found = OnGrid(label, image, "values").load()
    assert np.array_equal(found.array, array) and np.array_equal(found.affine, AFFINE)


def test_labels_are_resampled_by_nearest_neighbour_and_0_outside(tmp_path: Path) -> None:
    label = save(
        tmp_path / "label.nii",
        np.array([1, 500, 600], np.int16).reshape(1, 1, 3),
        np.diag([2.0, 1, 8, 1]),
    )
    fine = np.diag([2.0, 1, 4, 1])  # slices at 0, 4, 8 .. 28 mm; the labels end at 20 mm
    image = save(tmp_path / "image.nii", np.zeros((1, 1, 8), np.int16), fine)
    found = OnGrid(label, image, "values").load()
    # the voxel at 4 mm lies half-way, and a half goes up
    assert found.array.ravel().tolist() == [1, 500, 500, 600, 600, 600, 0, 0]
    assert found.array.dtype == np.int16  # the file's own


def test_images_are_resampled_linearly_and_0_outside(tmp_path: Path) -> None:
    image = save(tmp_path / "image.nii", np.array([10, 20], np.float32).reshape(1, 1, 2))
    fine = np.diag([2.0, 1, 2, 1])
    fine[2, 3] = -6.0  # slices at -6, -4 .. 14 mm; the image covers -4 to 12 mm
    label = save(tmp_path / "label.nii", np.zeros((1, 1, 11), np.int16), fine)
    found = OnGrid(image, label).load()
    assert found.array.ravel().tolist() == [0, 10, 10, 10, 12.5, 15, 17.5, 20, 20, 20, 0]
    assert np.array_equal(found.affine, fine)


def test_one_slice_is_as_thick_as_its_voxel(tmp_path: Path) -> None:
    image = save(tmp_path / "image.nii", np.full((2, 3, 1), 7, np.float32))
    stack = save(tmp_path / "stack.nii", np.zeros((2, 3, 3), np.int16))
    found = resample_to(read_nifti(image), read_grid(stack), order=1)
    assert found[0, 0].tolist() == [7, 0, 0]


def test_masks_are_whatever_is_above_0(tmp_path: Path) -> None:
    values = np.array([0, 255, 419.98, np.nan, -1, 1], np.float32).reshape(1, 2, 3)
    found = read_mask(save(tmp_path / "mask.nii", values))
    assert found.array.ravel().tolist() == [0, 1, 1, 0, 0, 1]
    assert found.array.dtype == np.uint8


def test_a_missing_channel_is_zeros(tmp_path: Path) -> None:
    found = Blank(save(tmp_path / "image.nii", np.ones((4, 5, 3), np.int16))).load()
    assert found.shape == (4, 5, 3) and not found.array.any() and found.array.dtype == np.float32
    with pytest.raises(ImageError, match=r"gone.nii: no such file"):
        Blank(tmp_path / "gone.nii").load()


@each(
    ("labels", "wanted"),
    [([], ()), ([0], (0,)), ([2221, 0, 200, 0], (0, 200, 2221)), ([-1, 70000, 3], (-1, 3, 70000))],
)
def test_the_values_of_a_label_map(labels: list[int], wanted: tuple[int, ...]) -> None:
    assert values_in(np.array(labels, np.int32)) == wanted
