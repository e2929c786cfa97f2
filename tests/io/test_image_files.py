"""Images where no model says how they are read: by their ending."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.io.image_files import (
    image_ending,
    is_mask_of,
    read_image_file,
    read_image_grid,
    without_image_ending,
    write_label_file,
)
from tests.helpers.dicom import write_series
from tests.helpers.each import each

ARRAY = np.arange(60, dtype=np.int16).reshape(3, 4, 5)


@each(
    ("name", "ending", "stem"),
    [
        ("a.nii.gz", ".nii.gz", "a"),
        ("a.NII", ".nii", "a"),
        ("a.b.nrrd", ".nrrd", "a.b"),
        ("a.tiff", ".tiff", "a"),
        ("a.json", "", "a.json"),
        (".nii.gz", "", ".nii.gz"),
        ("._a.nrrd", "", "._a"),
        ("1.2.840", "", "1.2.840"),
    ],
)
def test_names(name: str, ending: str, stem: str) -> None:
    assert (image_ending(name), without_image_ending(name)) == (ending, stem)


@each("ending", [".nii.gz", ".nii", ".nrrd", ".mha", ".gipl"])
def test_the_grid_is_that_of_the_image(ending: str, tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(ARRAY)
    image.SetSpacing((1.0, 2.0, 3.0))
    image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    sitk.WriteImage(image, str(tmp_path / f"a{ending}"))
    volume, grid = (
        read_image_file(tmp_path / f"a{ending}"),
        read_image_grid(tmp_path / f"a{ending}"),
    )
    assert np.array_equal(volume.array, ARRAY.T)
    assert (grid.shape, grid.file_shape) == ((5, 4, 3), (5, 4, 3))
    np.testing.assert_allclose(grid.affine, volume.affine)
    np.testing.assert_allclose(grid.spacing_mm, (1, 2, 3))


@each("shape", [(6, 7), (6, 7, 3), (5, 6, 7)])
def test_a_tiff_is_a_picture_or_a_volume(shape: tuple[int, ...], tmp_path: Path) -> None:
    import tifffile

    voxels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    kind = "rgb" if shape[-1] == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", voxels, photometric=kind)
    expected = (7, 6, 5) if len(shape) == 3 and shape[0] == 5 else (7, 6, 1)
    assert read_image_grid(tmp_path / "a.tif").shape == expected


def test_a_dicom_series(tmp_path: Path) -> None:
    series = write_series(tmp_path / "s", ARRAY)
    assert read_image_grid(series).shape == read_image_file(series).shape == (5, 4, 3)


@each("name", ["a.nrrd", "a.nii.gz", "a.png", "a.tif", "a"])
def test_what_is_not_there(name: str, tmp_path: Path) -> None:
    for read in (read_image_file, read_image_grid):
        with pytest.raises(ImageError, match=rf"{name}"):
            read(tmp_path / name)


class TestIsMaskOf:
    @pytest.fixture
    def image(self, tmp_path: Path) -> Path:
        path = tmp_path / "a.nrrd"
        sitk.WriteImage(sitk.GetImageFromArray(ARRAY), str(path))
        write_label_file(tmp_path / "m.nrrd", (ARRAY.T > 30) * 500, read_image_file(path))
        return path

    def test_a_finished_one(self, image: Path) -> None:
        assert is_mask_of(image.with_name("m.nrrd"), image, (500, 200))

    def test_other_labels(self, image: Path) -> None:
        assert not is_mask_of(image.with_name("m.nrrd"), image, (200,))

    def test_another_grid(self, image: Path) -> None:
        moved = sitk.ReadImage(str(image))
        moved.SetOrigin((5, 0, 0))
        sitk.WriteImage(moved, str(image))
        assert not is_mask_of(image.with_name("m.nrrd"), image, (500,))

    @each("part", [None, 0, 100])
    def test_nothing_and_half_of_it(self, image: Path, part: int | None) -> None:
        mask = image.with_name("m.nrrd")
        content = mask.read_bytes()
        mask.unlink()
        if part is not None:
            mask.write_bytes(content[:part])
        assert not is_mask_of(mask, image, (500,))

    def test_of_a_dicom_series(self, tmp_path: Path) -> None:
        series = write_series(tmp_path / "s", ARRAY)
        volume = read_image_file(series)
        write_label_file(tmp_path / "s.nii.gz", np.ones(volume.shape, int), volume)
        assert is_mask_of(tmp_path / "s.nii.gz", series, (1,))
