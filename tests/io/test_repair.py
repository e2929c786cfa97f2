"""A damaged file gives what is left in it, and says what was done; a good one is read as ever."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.io.nifti import read_nifti, write_labels_like
from nnunet_prompt.io.repair import MAX_VOXELS, read_mended, read_mended_grid
from tests.helpers.each import each

ARRAY = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
LPS = np.diag([-1.0, -2.0, 8.0, 1.0])
NAN = float("nan")


def save(path: Path, array: Any = ARRAY, *changes: tuple[Any, ...]) -> Path:
    """A file with some header bytes replaced."""
    content = bytearray(nib.Nifti1Image(np.asarray(array), LPS).to_bytes())
    for offset, form, *values in changes:
        struct.pack_into(form, content, offset, *values)
    path.write_bytes(gzip.compress(bytes(content)) if path.suffix == ".gz" else bytes(content))
    return path


@each("ending", [".nii", ".nii.gz"])
def test_a_good_file_is_read_as_ever(tmp_path: Path, ending: str) -> None:
    path = save(tmp_path / f"a{ending}", ARRAY[..., None])
    found, expected = read_mended(path), read_nifti(path)
    np.testing.assert_array_equal(found.array, expected.array)
    np.testing.assert_array_equal(found.affine, expected.affine)
    assert found.notes == () and found.file_shape == (2, 3, 4, 1)
    assert read_mended_grid(path).notes == ()
    np.testing.assert_array_equal(read_mended_grid(path).affine, expected.affine)


NAN_ROW = ((252, "<2h", 1, 1), (280, "<4f", NAN, NAN, NAN, NAN))
NO_SIZE = ((252, "<2h", 0, 1), (280 + 8, "<f", 0.0), (296 + 8, "<f", 0.0), (312 + 8, "<f", 0.0))


@each(
    ("changes", "spacing"),
    [
        (NAN_ROW, (1, 2, 8)),  # the qform is whole
        (NO_SIZE, (1, 2, 8)),  # two axes are whole, and pixdim has the size of the third
        (((123, "<B", 1),), (1, 2, 8)),  # voxels of 8 metres
        (((123, "<B", 3),), (1, 2, 8)),  # or of 8 micrometres
        (((252, "<2h", 0, 1), (280, "<12f", *[0.0] * 12)), (1, 2, 8)),
        (((252, "<2h", 0, 1), (292, "<f", 1e30)), (1, 2, 8)),  # an origin out of this world
    ],
)
def test_an_affine_that_no_image_can_have(
    tmp_path: Path, changes: tuple[Any, ...], spacing: tuple[float, ...]
) -> None:
    path = save(tmp_path / "a.nii.gz", ARRAY, *changes)
    for found in (read_mended(path), read_mended_grid(path)):
        np.testing.assert_allclose(found.spacing_mm, spacing, rtol=1e-6)
        (note,) = found.notes
        assert "no image can have the affine" in note and "spacing" in note and "\n" not in note
    np.testing.assert_array_equal(read_mended(path).array, ARRAY)


def test_axes_that_are_known_keep_their_directions(tmp_path: Path) -> None:
    found = read_mended(save(tmp_path / "a.nii", ARRAY, *NO_SIZE))
    np.testing.assert_array_equal(found.affine[:3, :3], np.diag([-1.0, -2.0, 8.0]))
    whole = read_mended(save(tmp_path / "b.nii", ARRAY, *NAN_ROW))
    np.testing.assert_allclose(whole.affine, LPS, atol=1e-6)


@each(
    ("changes", "spacing", "axes", "said"),
    [
        (((252, "<2h", 0, 1), (280, "<f", 1e30)), (1, 2, 8), "RPS", "the sform is sheared"),
        (((252, "<2h", 1, 0), (80, "<3f", NAN, -2.0, np.inf)), (1, 2, 1), "LAS", "qform (code 1)"),
        (((252, "<2h", 1, 0), (256, "<3f", 2.0, 2.0, 2.0)), (1, 2, 8), "ARI", "without a rotation"),
        (((252, "<2h", 1, 1), (280, "<f", -1.5)), (1, 2, 8), "LPS", "sform (code 1)"),
        (((252, "<2h", 0, 0),), (1, 2, 8), "LPS", "neither sform nor qform"),
    ],
)
def test_an_affine_that_contradicts_itself_is_that_of_the_reader_of_nnunet(
    tmp_path: Path, changes: tuple[Any, ...], spacing: tuple[float, ...], axes: str, said: str
) -> None:
    path = save(tmp_path / "a.nii.gz", ARRAY, *changes)
    for found in (read_mended(path), read_mended_grid(path)):
        np.testing.assert_allclose(found.spacing_mm, spacing, rtol=1e-6)
        assert "".join(nib.aff2axcodes(found.affine)) == axes
        assert said in found.notes[0] and "\n" not in found.notes[0]


def test_the_mask_keeps_the_header_of_the_file(tmp_path: Path) -> None:
    volume = read_mended(save(tmp_path / "a.nii.gz", ARRAY, *NAN_ROW))
    write_labels_like(tmp_path / "b.nii.gz", np.ones((2, 3, 4), np.uint8), volume)
    header = nib.Nifti1Header(gzip.decompress((tmp_path / "b.nii.gz").read_bytes())[:348])
    assert np.isnan(header["srow_x"]).all() and int(header["sform_code"]) == 1
    quaternion = ((252, "<2h", 1, 0), (256, "<3f", 2.0, 2.0, 2.0))
    volume = read_mended(save(tmp_path / "c.nii.gz", ARRAY, *quaternion))
    write_labels_like(tmp_path / "d.nii.gz", np.ones((2, 3, 4), np.uint8), volume)
    np.testing.assert_allclose(read_nifti(tmp_path / "d.nii.gz").affine, volume.affine)


def test_of_several_volumes_the_first_is_taken(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", np.stack([ARRAY, ARRAY + 50], 3))
    volume = read_mended(path)
    np.testing.assert_array_equal(volume.array, ARRAY)
    assert volume.file_shape == read_mended_grid(path).file_shape == (2, 3, 4)
    assert volume.notes == ("holds several volumes, shape (2, 3, 4, 2): only the first is used",)
    write_labels_like(tmp_path / "b.nii.gz", np.ones((2, 3, 4), np.uint8), volume)
    assert nib.load(tmp_path / "b.nii.gz").shape == (2, 3, 4)


def test_a_fourth_axis_of_length_zero_is_one(tmp_path: Path) -> None:
    volume = read_mended(save(tmp_path / "a.nii", ARRAY, (40, "<5h", 4, 2, 3, 4, 0)))
    np.testing.assert_array_equal(volume.array, ARRAY)
    assert volume.file_shape == (2, 3, 4, 1) and len(volume.notes) == 1


def test_a_wrong_check_sum_is_told(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz")
    path.write_bytes(path.read_bytes()[:-8] + bytes(8))
    volume = read_mended(path)
    np.testing.assert_array_equal(volume.array, ARRAY)
    assert "its end is damaged, so voxels may be wrong (CRC check failed" in volume.notes[0]


def test_packed_or_not_is_told_by_the_bytes(tmp_path: Path) -> None:
    plain = save(tmp_path / "a.nii").read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(plain)
    (tmp_path / "c.nii").write_bytes(gzip.compress(plain))
    for name in ("b.nii.gz", "c.nii"):
        volume = read_mended(tmp_path / name)
        np.testing.assert_array_equal(volume.array, ARRAY)
        assert volume.notes[0].startswith("taken all the same, though ")


def test_a_scaling_that_is_none_is_left_out(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", ARRAY, (112, "<2f", 1.0, NAN), (344, "<4s", b"what"))
    np.testing.assert_array_equal(read_mended(path).array, ARRAY)
    path = save(tmp_path / "b.nii", ARRAY, (112, "<2f", 2.0, 5.0), (344, "<4s", b"what"))
    np.testing.assert_array_equal(read_mended(path).array, 2 * ARRAY + 5)


def test_voxels_that_are_not_finite(tmp_path: Path) -> None:
    array = np.where(ARRAY == 5, NAN, ARRAY).astype(np.float32)
    volume = read_mended(save(tmp_path / "a.nii", array, *NAN_ROW))
    assert volume.replaced == 1
    np.testing.assert_array_equal(volume.array, np.where(ARRAY == 5, 0, ARRAY))


@each(
    ("changes", "match"),
    [
        (((70, "<2h", 32, 64),), "expected one real number per voxel, found type complex64"),
        (((70, "<2h", 77, 8),), "its voxels cannot be read"),
        (((108, "<f", 1e9),), "bytes before the voxels, expected at most"),
        (((42, "<h", 200),), "bytes, its header claims 5152: it is truncated"),
    ],
)
def test_voxels_that_are_lost_leave_the_grid(
    tmp_path: Path, changes: tuple[Any, ...], match: str
) -> None:
    path = save(tmp_path / "a.nii", ARRAY, *changes)
    with pytest.raises(ImageError, match=match) as caught:
        read_mended(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
    grid = read_mended_grid(path)
    assert grid.shape[1:] == (3, 4) and not grid.array.any() and grid.array.strides == (0, 0, 0)


@each("dims", [(0, 2, 3, 4), (1, 2, 3, 4), (3, -2, 3, 4), (3, 0, 3, 4), (3, 1000, 1000, 1000)])
def test_a_shape_that_is_no_grid(tmp_path: Path, dims: tuple[int, ...]) -> None:
    path = save(tmp_path / "a.nii", ARRAY, (40, "<4h", *dims))
    for read in (read_mended, read_mended_grid):
        with pytest.raises(ImageError, match=f"volume of at most {MAX_VOXELS} voxels"):
            read(path)


def test_the_limit_can_be_lower(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii")
    assert read_mended(path, max_voxels=24).shape == (2, 3, 4)
    with pytest.raises(ImageError, match="at most 23 voxels"):
        read_mended(path, max_voxels=23)


def test_a_single_slice_without_thickness_is_no_damage(tmp_path: Path) -> None:
    flat = ((252, "<2h", 0, 1), (312 + 8, "<f", 0.0))
    volume = read_mended(save(tmp_path / "a.nii", ARRAY[..., :1], *flat))
    assert volume.notes == () and volume.spacing_mm == (1.0, 2.0, 1.0)
