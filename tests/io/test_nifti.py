"""Reading refuses what is no volume in one line; writing keeps the header of the image."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.common.errors import ImageError, OutputError
from nnunet_prompt.io.atomic import replacing
from nnunet_prompt.io.nifti import (
    is_nifti_name,
    read_label_volume,
    read_labels,
    read_nifti,
    volume_count,
    write_labels_like,
)
from tests.helpers.each import each

OBLIQUE = np.array(
    [[0.0, -1.5, 0.0, 7.0], [1.2, 0.0, 0.9, -3.0], [-0.9, 0.0, 1.2, 11.0], [0, 0, 0, 1]]
)


def save(path: Path, array: Any, affine: Any = OBLIQUE) -> Path:
    nib.Nifti1Image(np.asarray(array), affine).to_filename(path)
    return path


def edited(path: Path, offset: int, form: str, *values: Any) -> Path:
    """The file with some header bytes replaced."""
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, offset, *values)
    path.write_bytes(data)
    return path


def test_an_image_is_read_as_stored(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    volume = read_nifti(save(tmp_path / "a.nii.gz", array))
    assert volume.array.dtype == np.float32
    np.testing.assert_array_equal(volume.array, array)
    np.testing.assert_allclose(volume.affine, OBLIQUE, atol=1e-6)
    np.testing.assert_allclose(volume.spacing_mm, (1.5, 1.5, 1.5), rtol=1e-6)
    assert (volume.shape, volume.replaced, volume.file_shape) == ((2, 3, 4), 0, (2, 3, 4))


def test_scaled_values_are_unscaled(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.array([[[1, 3]]], np.int16), np.eye(4))
    image.header.set_slope_inter(0.5, 10)
    image.to_filename(tmp_path / "a.nii")
    np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii").array, [[[10.5, 11.5]]])


@each(
    ("stored", "seen"),
    [
        ((2, 3), (2, 3, 1)),
        ((2, 3, 1), (2, 3, 1)),
        ((2, 3, 4, 1), (2, 3, 4)),
        ((2, 3, 1, 1), (2, 3, 1)),
    ],
)
def test_axes_of_length_one(tmp_path: Path, stored: tuple[int, ...], seen: tuple[int, ...]) -> None:
    volume = read_nifti(save(tmp_path / "a.nii.gz", np.ones(stored, np.float32)))
    assert volume.shape == seen
    assert volume.file_shape == stored
    write_labels_like(tmp_path / "b.nii.gz", np.ones(seen, np.uint8), volume)
    assert nib.load(tmp_path / "b.nii.gz").shape == stored


def test_voxels_that_are_not_finite_become_zero_and_are_counted(tmp_path: Path) -> None:
    array = np.array([[[1, np.nan], [np.inf, -np.inf]]], np.float64)
    volume = read_nifti(save(tmp_path / "a.nii.gz", array))
    np.testing.assert_array_equal(volume.array, [[[1, 0], [0, 0]]])
    assert volume.replaced == 3
    huge = read_nifti(save(tmp_path / "b.nii.gz", np.full((1, 1, 2), 1e300)))
    assert huge.replaced == 2


def test_one_volume_of_four(tmp_path: Path) -> None:
    array = np.arange(48, dtype=np.float32).reshape(2, 3, 2, 4)
    path = save(tmp_path / "a.nii.gz", array)
    assert volume_count(path) == 4
    volume = read_nifti(path, volume=2)
    np.testing.assert_array_equal(volume.array, array[..., 2])
    assert volume.file_shape == (2, 3, 2)
    with pytest.raises(ImageError, match=r"expected one volume, found shape \(2, 3, 2, 4\)"):
        read_nifti(path)
    with pytest.raises(ImageError, match="holds volume 4"):
        read_nifti(path, volume=4)
    single = save(tmp_path / "b.nii.gz", array[..., 0])
    assert volume_count(single) == 1
    np.testing.assert_array_equal(read_nifti(single, volume=0).array, array[..., 0])
    with pytest.raises(ImageError, match="expected volume 1, found one volume"):
        read_nifti(single, volume=1)


def test_five_axes_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", np.zeros((2, 2, 2, 2, 2), np.float32))
    for read in (read_nifti, read_labels, volume_count):
        with pytest.raises(ImageError, match="found shape"):
            read(path)


def test_what_is_no_nifti_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        read_nifti(tmp_path / "gone.nii.gz")
    (tmp_path / "text.nii.gz").write_text("hello")
    (tmp_path / "empty.nii").write_bytes(b"")
    (tmp_path / "image.png").write_bytes(b"png")
    for name in ("text.nii.gz", "empty.nii", "image.png"):
        with pytest.raises(ImageError, match=name) as caught:
            read_nifti(tmp_path / name)
        assert "\n" not in str(caught.value)


@each("ending", [".nii", ".nii.gz"])
@each("keep", [0.2, 0.6, 0.95])
def test_a_truncated_file(tmp_path: Path, ending: str, keep: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (9, 8, 7)).astype(np.uint8)
    path = save(tmp_path / f"a{ending}", noise)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(ImageError, match=f"a{ending}"):
        read_nifti(path)


@each("ending", [".nii", ".nii.gz"])
def test_an_absurd_size_is_refused_before_anything_is_allocated(
    tmp_path: Path, ending: str
) -> None:
    path = save(tmp_path / "a.nii", np.zeros((2, 2, 2), np.uint8))
    edited(path, 42, "<3h", 32767, 32767, 32767)  # dim[1..3]: 35 terabytes
    if ending == ".nii.gz":
        (tmp_path / "a.nii.gz").write_bytes(gzip.compress(path.read_bytes()))
    for read in (read_nifti, read_labels, volume_count):
        with pytest.raises(ImageError, match="the header claims shape"):
            read(tmp_path / f"a{ending}")


def test_well_packed_emptiness_is_no_absurd_size(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    save(path, np.zeros((128, 128, 64), np.uint8))
    packed = tmp_path / "b.nii.gz"
    packed.write_bytes(gzip.compress(path.read_bytes(), 9))
    assert path.stat().st_size > 900 * packed.stat().st_size
    assert read_nifti(packed).shape == (128, 128, 64)


@pytest.mark.parametrize("step", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_damaged_headers_end_in_one_line(tmp_path: Path, step: int) -> None:
    """Each byte of the fields that matter set to a few values: read, or refused with the name of the file."""
    array = np.zeros((2, 3, 4), np.int16)
    data = save(tmp_path / "a.nii", array).read_bytes()
    path = tmp_path / "b.nii"
    for position in (*range(4), *range(40, 124), *range(252, 348))[::step]:
        for value in (0, 0x7F, 0xFF):
            path.write_bytes(data[:position] + bytes([value]) + data[position + 1 :])
            try:
                read_nifti(path)
            except ImageError as error:
                assert str(error).startswith(str(path))


@each("dtype", [np.complex64, [("R", "u1"), ("G", "u1"), ("B", "u1")]])
def test_colours_and_complex_numbers_are_refused(tmp_path: Path, dtype: Any) -> None:
    path = save(tmp_path / "a.nii.gz", np.zeros((2, 2, 2), dtype))
    with pytest.raises(ImageError, match="one real number per voxel"):
        read_nifti(path)


@each(
    ("column", "match"),
    [((0, 0, 0), "no spacing of 0"), ((np.nan, 0, 1), "finite"), ((2, 0, 0), "singular")],
)
def test_an_affine_without_three_axes(
    tmp_path: Path, column: tuple[float, float, float], match: str
) -> None:
    path = save(tmp_path / "a.nii", np.zeros((2, 2, 2), np.uint8), np.eye(4))
    for row, value in enumerate(column):
        edited(path, 280 + 16 * row + 8, "<f", value)  # srow_x[2], srow_y[2], srow_z[2]
    edited(path, 252, "<2h", 0, 1)  # qform_code, sform_code
    with pytest.raises(ImageError, match=match):
        read_nifti(path)


def test_a_single_slice_that_states_no_thickness(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", np.zeros((2, 3, 1), np.uint8), np.diag([0.5, 2.0, 1.0, 1.0]))
    edited(path, 252, "<2h", 0, 1)
    edited(path, 280 + 32 + 8, "<f", 0.0)  # srow_z[2]
    assert read_nifti(path).spacing_mm == (0.5, 2.0, 1.0)


def test_labels_are_rounded(tmp_path: Path) -> None:
    labels = read_labels(save(tmp_path / "a.nii.gz", np.array([[[0.9995, 420.0004, -0.0]]])))
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, [[[1, 420, 0]]])


@each("value", [0.5, 1.002, np.nan, np.inf])
def test_labels_that_are_no_integers(tmp_path: Path, value: float) -> None:
    path = save(tmp_path / "a.nii.gz", np.array([[[1.0, value]]]))
    with pytest.raises(ImageError, match=f"must be integers, found {value:g}"):
        read_labels(path)


def test_labels_beyond_32_bits(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", np.array([[[1.0, 1e12]]]))
    with pytest.raises(ImageError, match="within 32 bits"):
        read_label_volume(path)


@each(
    ("value", "dtype"), [(1, np.uint8), (255, np.uint8), (256, np.uint16), (2221, np.uint16), (70000, np.uint32)]
)  # fmt: skip
def test_the_smallest_type_that_fits(tmp_path: Path, value: int, dtype: Any) -> None:
    reference = read_nifti(save(tmp_path / "a.nii.gz", np.zeros((1, 1, 2), np.float32)))
    write_labels_like(tmp_path / "b.nii.gz", np.array([[[0, value]]]), reference)
    written = nib.load(tmp_path / "b.nii.gz")
    assert written.get_data_dtype() == dtype
    np.testing.assert_array_equal(np.asarray(written.dataobj), [[[0, value]]])


@each("kind", [nib.Nifti1Image, nib.Nifti2Image])
@each("order", ["<", ">"])
def test_labels_keep_the_header_of_the_image(tmp_path: Path, kind: Any, order: str) -> None:
    header = kind.header_class(endianness=order)
    image = kind(np.ones((2, 3, 4, 1), np.float32), None, header)
    other = OBLIQUE @ np.diag([1, -1, 1, 1])
    image.set_sform(OBLIQUE, code=2)
    image.set_qform(other, code=3)  # the two disagree on purpose
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = 2.5
    image.header["descrip"] = b"as scanned"
    image.header["cal_max"] = 800
    image.header.set_slope_inter(3, 7)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"kept"))
    image.to_filename(tmp_path / "a.nii.gz")
    labels = np.arange(24).reshape(2, 3, 4)
    write_labels_like(tmp_path / "b.nii.gz", labels, read_nifti(tmp_path / "a.nii.gz"))

    old, new = nib.load(tmp_path / "a.nii.gz").header, nib.load(tmp_path / "b.nii.gz").header
    assert type(new) is type(old) and new.endianness == order
    for key in ("dim", "pixdim", "xyzt_units", "sform_code", "qform_code", "descrip", "quatern_b",
                "quatern_c", "quatern_d", "qoffset_x", "srow_x", "srow_y", "srow_z"):  # fmt: skip
        np.testing.assert_array_equal(new[key], old[key], err_msg=key)
    assert new["cal_max"] == 0
    assert new.get_slope_inter() in [(None, None), (1.0, 0.0)]
    assert [e.get_content() for e in new.extensions] == [e.get_content() for e in old.extensions]
    np.testing.assert_array_equal(read_labels(tmp_path / "b.nii.gz"), labels)
    assert nib.load(tmp_path / "b.nii.gz").get_data_dtype().kind == "u"


def test_labels_that_cannot_be_written(tmp_path: Path) -> None:
    reference = read_nifti(save(tmp_path / "a.nii.gz", np.zeros((1, 1, 2), np.float32)))
    target = tmp_path / "b.nii.gz"
    for labels, match in [
        (np.zeros((2, 1, 1), int), "have shape"),
        (np.array([[[0, -1]]]), "from 0 up"),
        (np.array([[[0, 1.0]]]), "must be integers"),
    ]:
        with pytest.raises(ImageError, match=match):
            write_labels_like(target, labels, reference)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.nii.gz"]


def test_a_file_appears_complete_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as partial:
        partial.write_text("ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_names_of_images() -> None:
    names = ["a.nii.gz", "A.NII", "._a.nii.gz", ".a.nii", "a.txt", "a.nii.gz.bak"]
    assert [is_nifti_name(n) for n in names] == [True, True, False, False, False, False]


def test_a_mask_never_takes_the_place_of_its_image(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((3, 4, 5), np.float32), np.eye(4)), path)
    (tmp_path / "link.nii.gz").symlink_to(path)
    before = path.read_bytes()
    for target in (path, tmp_path / "link.nii.gz", tmp_path / ".." / tmp_path.name / "a.nii.gz"):
        with pytest.raises(OutputError, match=r"is the input .*a\.nii\.gz.*give another path"):
            write_labels_like(target, np.ones((3, 4, 5), np.uint8), read_nifti(path))
    assert path.read_bytes() == before
