"""A DICOM series is one volume, or an error that says why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.io.dicom import dicom_files, read_series
from nnunet_prompt.io.image_files import read_label_file, write_label_file
from tests.helpers.dicom import write_series
from tests.helpers.each import each

ARRAY = np.arange(60).reshape(3, 4, 5)  # slices, rows, columns


def refused(folder: Path) -> str:
    with pytest.raises(ImageError) as caught:
        read_series(folder)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def test_the_volume_lies_where_the_slices_say(tmp_path: Path) -> None:
    (volume,) = read_series(write_series(tmp_path / "s", ARRAY))
    assert volume.path == tmp_path / "s" and volume.shape == (5, 4, 3)
    np.testing.assert_allclose(volume.spacing_mm, (2.0, 1.5, 3.0))
    for column, row, place in ((0, 0, 0), (4, 1, 2), (2, 3, 1)):
        world = (-3 * place, 7 - 2 * column, 30 - 1.5 * row, 1)  # RAS
        index = np.linalg.inv(volume.affine) @ world
        np.testing.assert_allclose(index, np.rint(index), atol=1e-6)
        i, j, k, _ = np.rint(index).astype(int)
        assert volume.array[i, j, k] == ARRAY[place, row, column]


def test_a_mask_of_it_lies_there_too(tmp_path: Path) -> None:
    (volume,) = read_series(write_series(tmp_path / "s", ARRAY))
    write_label_file(tmp_path / "m.nii.gz", (volume.array > 30).astype(int) * 500, volume)
    mask = read_label_file(tmp_path / "m.nii.gz")
    np.testing.assert_allclose(mask.affine, volume.affine, atol=1e-5)
    assert np.array_equal(mask.array, (volume.array > 30) * 500)


def test_two_series_are_named(tmp_path: Path) -> None:
    write_series(tmp_path / "s", ARRAY, uid="1.2.3.4")
    for path in write_series(tmp_path / "t", ARRAY, uid="1.2.3.5").iterdir():
        path.rename(tmp_path / "s" / f"other{path.name}")
    said = refused(tmp_path / "s")
    assert "1.2.3.4 (3 files)" in said and "1.2.3.5 (3 files)" in said


@each("places", [(0, 3, 6, 12), (0, 3, 3, 6)])
def test_uneven_slices(places: tuple[float, ...], tmp_path: Path) -> None:
    said = refused(write_series(tmp_path / "s", np.arange(80).reshape(4, 4, 5), places=places))
    assert "mm, expected equal ones" in said


def test_a_folder_without_one(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("no image")
    assert "no DICOM series" in refused(tmp_path)
    assert dicom_files(tmp_path) == []


def test_files_are_known_by_what_is_in_them(tmp_path: Path) -> None:
    write_series(tmp_path, ARRAY)
    (tmp_path / "README").write_text("x" * 400)
    assert [p.name for p in dicom_files(tmp_path)] == ["IM0000", "IM0001", "IM0002"]
