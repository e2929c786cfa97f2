"""A mask lies on the grid of its image, whatever form either has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from nnunet_prompt.common.errors import ImageError, OutputError
from nnunet_prompt.io.geometry import Lattice, same_geometry
from nnunet_prompt.io.image_files import read_label_file
from nnunet_prompt.io.nifti import read_nifti
from nnunet_prompt.io.save_mask import save_mask
from tests.helpers.each import each

AFFINE = np.array([[0, -2.0, 0, 10], [-1.5, 0, 0, 20], [0, 0, 5, -30], [0, 0, 0, 1]])
MASK = np.zeros((2, 3, 4), np.int64)
MASK[1, 2, 0] = 500


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "case.nii.gz"
    made = nib.Nifti1Image(np.ones((2, 3, 4), np.float32), AFFINE)
    made.header["descrip"] = b"scanner"
    nib.save(made, path)
    return path


@each("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
@each("form", ["path", "text", "nibabel", "SimpleITK", "affine"])
def test_every_format_and_form(image: Path, ending: str, form: str) -> None:
    like: Any = {
        "path": image,
        "text": str(image),
        "nibabel": nib.load(image),
        "SimpleITK": sitk.ReadImage(str(image)),
        "affine": (np.ones((2, 3, 4)), AFFINE),
    }[form]
    path = save_mask(MASK, image.with_name("mask" + ending), like=like)
    found = read_label_file(path)
    assert np.array_equal(found.array, MASK)
    assert same_geometry(found, Lattice((2, 3, 4), AFFINE))
    itk = sitk.ReadImage(str(path))
    assert np.allclose(itk.GetOrigin(), (-10, -20, -30)) and np.allclose(
        itk.GetSpacing(), (1.5, 2, 5)
    )
    assert sorted(p.name for p in image.parent.iterdir()) == sorted(["case.nii.gz", path.name])


def test_the_header_of_the_image_is_kept(image: Path) -> None:
    for like in (image, nib.load(image)):
        save_mask(MASK, str(image.with_name("mask.nii.gz")), like=like)
        header = nib.load(image.with_name("mask.nii.gz")).header
        assert bytes(header["descrip"].item()).startswith(b"scanner")
        assert header.get_data_dtype() == np.uint16


def test_what_a_mask_may_be(image: Path) -> None:
    for mask in (MASK > 0, (MASK > 0).astype(np.float64), (MASK > 0).astype(np.int8)):
        path = save_mask(mask, image.with_name("mask.nii.gz"), like=image)
        assert np.array_equal(read_label_file(path).array, MASK > 0)


def test_an_image_of_several_channels(tmp_path: Path) -> None:
    path = tmp_path / "four.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((2, 3, 4, 2), np.float32), AFFINE), path)
    for like in (path, nib.load(path)):
        found = read_nifti(save_mask(MASK, tmp_path / "mask.nii.gz", like=like))
        assert found.file_shape == (2, 3, 4) and np.allclose(found.affine, AFFINE)


def test_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((3, 2), np.uint8)), str(path))
    mask = np.array([[[1], [0], [0]], [[0], [0], [2]]])
    assert np.array_equal(
        read_label_file(save_mask(mask, tmp_path / "m.png", like=path)).array, mask
    )
    with pytest.raises(ImageError, match=r"\.png holds no geometry"):
        save_mask(mask, tmp_path / "m.png", like=(mask, (1, 1, 1)))


def test_what_is_refused(image: Path) -> None:
    out = image.with_name("mask.nii.gz")
    calls: list[tuple[Any, Any, Any, str]] = [
        (MASK[1:], out, image, "shape"),
        (MASK - 1, out, image, "from 0 up"),
        (MASK + 0.5, out, image, "integers"),
        (MASK, image.with_name("mask.txt"), image, "expected a name that ends in"),
        (MASK, image.with_name("mask.dcm"), image, "expected a name that ends in"),
        (MASK, image.parent / "no" / "mask.nii.gz", image, "no such folder"),
        (MASK, out, MASK, "like: expected a path, a nibabel or SimpleITK image"),
        (MASK, out, image.with_name("gone.nii.gz"), "gone"),
    ]
    for mask, path, like, message in calls:
        with pytest.raises(ImageError, match=message) as error:
            save_mask(mask, path, like=like)
        assert "\n" not in str(error.value)
    for path in (image, image.parent / "." / "case.nii.gz"):
        with pytest.raises(OutputError, match="is the input"):
            save_mask(MASK, path, like=image)
    assert [p.name for p in image.parent.iterdir()] == ["case.nii.gz"]
