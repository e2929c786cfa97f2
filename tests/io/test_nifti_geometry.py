"""Voxels lie where SimpleITK, the reader of stock nnU-Net, sees them, whatever the header of a file says."""

from __future__ import annotations

import gzip
import itertools
import logging
import re
import tempfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.io.nifti import read_grid, read_label_volume, read_nifti, write_labels_like
from nnunet_prompt.io.nifti_geometry import FIELDS
from nnunet_prompt.io.nifti_header import bare_header
from nnunet_prompt.io.repair import read_mended
from tests.helpers.each import each
from tests.helpers.headers import (
    ACDC,
    AGREE,
    CONTRADICT,
    OTHER,
    REFUSED,
    REFUSED_BY_ITK,
    SHAPE,
    SHEARED,
    SIZES,
    TRUE,
    UNIT,
    Header,
)

ARRAY = np.arange(120, dtype=np.int16).reshape(SHAPE)
BOTH = AGREE | CONTRADICT


@pytest.fixture(autouse=True)
def quiet() -> Any:
    """ITK prints what it thinks of such headers."""
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    yield
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(True)


def seen_by_itk(path: Path) -> Any:
    """The affine (RAS+, mm) that SimpleITK gives a file."""
    image = SimpleITK.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return np.diag([-1, -1, 1, 1]) @ affine


@each("name", BOTH)
def test_spacing_and_affine_are_those_of_simpleitk(tmp_path: Path, name: str) -> None:
    path = BOTH[name].write(tmp_path / "a.nii.gz", ARRAY)
    expected = seen_by_itk(path)
    _, properties = SimpleITKIO().read_images([str(path)])
    for found in (read_nifti(path), read_grid(path), read_label_volume(path), read_mended(path)):
        if found.notes and "no image can have" in found.notes[0]:  # of `submit`, below
            continue
        np.testing.assert_allclose(found.affine, expected, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(found.spacing_mm[::-1], properties["spacing"], rtol=1e-4)
        assert bool(found.notes) is (name in CONTRADICT)
        assert all("\n" not in note and len(note) < 400 for note in found.notes)


NAMES = [*BOTH, *REFUSED_BY_ITK]


@each(
    ("name", "ending"),
    list(itertools.product(NAMES, [".nii", ".nii.gz"])),
    fast=[(name, (".nii", ".nii.gz")[n % 2]) for n, name in enumerate(NAMES)],
)
def test_a_mask_lies_where_its_image_does(tmp_path: Path, name: str, ending: str) -> None:
    """For every program: what says where voxels lie is the same bytes."""
    path = (BOTH | REFUSED_BY_ITK)[name].write(tmp_path / f"a{ending}", ARRAY)
    mask = tmp_path / f"b{ending}"
    write_labels_like(mask, np.ones(SHAPE, np.uint8), read_nifti(path))
    headers = [bare_header(p) for p in (path, mask)]
    for field in FIELDS:
        np.testing.assert_array_equal(*(h[field] for h in headers), err_msg=field)
    np.testing.assert_array_equal(nib.load(mask).affine, nib.load(path).affine)
    if name in BOTH:
        np.testing.assert_array_equal(seen_by_itk(mask), seen_by_itk(path))


@each("name", REFUSED_BY_ITK)
def test_a_sheared_sform_is_taken_as_it_stands(tmp_path: Path, name: str) -> None:
    path = REFUSED_BY_ITK[name].write(tmp_path / "a.nii", ARRAY)
    with pytest.raises(RuntimeError, match="orthonormal"):
        SimpleITK.ReadImage(str(path))
    found = read_nifti(path)
    axes = SHEARED[:3, :3] / np.linalg.norm(SHEARED[:3, :3], axis=0)
    pixdim = np.array(REFUSED_BY_ITK[name].pixdim)
    np.testing.assert_allclose(found.affine[:3, :3], axes * pixdim, rtol=1e-5)
    (note,) = found.notes
    assert "sheared" in note and "refuses" in note


@each("name", REFUSED)
def test_what_no_voxels_can_have_is_refused(tmp_path: Path, name: str) -> None:
    header, told = REFUSED[name]
    path = header.write(tmp_path / "a.nii.gz", ARRAY)
    for read in (read_nifti, read_grid, read_label_volume):
        with pytest.raises(ImageError, match=told) as caught:
            read(path)
        assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_both_values_are_reported(tmp_path: Path) -> None:
    (note,) = read_grid(ACDC.write(tmp_path / "a.nii.gz", ARRAY)).notes
    assert note == (
        "the header contradicts itself: sform (code 1) states voxel size 1 x 1 x 1 mm,"
        " taken is voxel size 1.5 x 2 x 8 mm, as nnU-Net's reader does"
    )
    (note,) = read_grid(
        CONTRADICT["other place, another sform code: 2"].write(tmp_path / "b.nii", ARRAY)
    ).notes
    assert "sform (code 2) states origin (1, 2, 3), taken is origin (10, -20, 30)" in note
    (note,) = read_grid(CONTRADICT["metres"].write(tmp_path / "c.nii", ARRAY)).notes
    assert note.startswith(
        "xyzt_units states metres: pixdim 1.5 x 2 x 8 is taken as voxel size 1500"
    )


def test_tools_that_round_are_no_contradiction(tmp_path: Path) -> None:
    near = TRUE + 2e-5
    path = Header(TRUE, near, (1, 2), tuple(s * (1 + 1e-5) for s in SIZES)).write(
        tmp_path / "a.nii", ARRAY
    )
    found = read_nifti(path)
    assert found.notes == ()
    np.testing.assert_allclose(found.affine, nib.load(path).affine, rtol=0, atol=0)


def test_nifti_2_follows_the_same_rule(tmp_path: Path) -> None:
    path = ACDC.write(tmp_path / "a.nii.gz", ARRAY, kind=nib.Nifti2Image)
    found = read_nifti(path)
    np.testing.assert_allclose(found.affine, TRUE, atol=1e-4)
    assert "voxel size 1 x 1 x 1 mm" in found.notes[0]
    write_labels_like(tmp_path / "b.nii.gz", np.ones(SHAPE, np.uint8), found)
    mask = nib.load(tmp_path / "b.nii.gz")
    assert isinstance(mask, nib.Nifti2Image)
    np.testing.assert_allclose(mask.affine, UNIT, atol=1e-4)


def test_the_other_order_of_bytes(tmp_path: Path) -> None:
    image = nib.Nifti1Image(ARRAY, None, nib.Nifti1Header(endianness=">"))
    image.set_sform(UNIT, 1)
    image.set_qform(TRUE, 1)
    image.to_filename(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(read_nifti(tmp_path / "a.nii.gz").affine, TRUE, atol=1e-4)


@each("name", ["metres", "micrometres", "micrometres, and seconds, qform alone", "metres, neither"])
def test_submit_takes_a_unit_that_gives_no_body_for_mm(tmp_path: Path, name: str) -> None:
    found = read_mended(CONTRADICT[name].write(tmp_path / "a.nii", ARRAY))
    np.testing.assert_allclose(found.spacing_mm, SIZES, rtol=1e-5)
    assert "no image can have the affine" in found.notes[0]


def test_a_true_unit_is_believed(tmp_path: Path) -> None:
    metres = np.diag([1e-3, 1e-3, 1e-3, 1.0]) @ TRUE
    sizes = tuple(s / 1000 for s in SIZES)
    header = Header(metres, metres, (1, 1), sizes, {"xyzt_units": 1})
    path = header.write(tmp_path / "a.nii", ARRAY)
    for read in (read_nifti, read_mended):
        np.testing.assert_allclose(read(path).affine, TRUE, rtol=1e-4, atol=1e-4)
        assert "metres" in read(path).notes[0]


def test_without_a_place_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", full)
    good = Header(TRUE, TRUE, (1, 1)).write(tmp_path / "a.nii", ARRAY)
    assert read_nifti(good).notes == ()
    bad = ACDC.write(tmp_path / "b.nii", ARRAY)
    with pytest.raises(ImageError, match=r"b.nii: its header contradicts itself.*No space left"):
        read_nifti(bad)
    assert read_mended(bad).spacing_mm == pytest.approx(SIZES)


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(True)
    for name in ("axes of length one (ACDC)", "negative pixdim", "an undefined code"):
        for array in (ARRAY, ARRAY.astype(np.float32)):
            path = CONTRADICT[name].write(tmp_path / "a.nii.gz", array)
            write_labels_like(tmp_path / "b.nii.gz", np.ones(SHAPE, np.uint8), read_nifti(path))
    assert SimpleITK.ProcessObject.GetGlobalWarningDisplay()
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("nibabel.global").isEnabledFor(logging.WARNING)


numbers = st.just(0.0) | st.floats(-3, -(2**-10), width=32) | st.floats(2**-10, 3, width=32)
headers = st.builds(
    Header,
    st.sampled_from([None, TRUE, OTHER]),
    st.sampled_from([None, TRUE, OTHER, UNIT, SHEARED, np.eye(4)]),
    st.tuples(st.integers(-1, 5), st.integers(-1, 5)),
    st.tuples(numbers, numbers, numbers),
    st.fixed_dictionaries({}, optional={"xyzt_units": st.integers(0, 31), "qoffset_x": numbers, "quatern_b": numbers}),
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(headers)
def test_whatever_a_header_says(tmp_path_factory: pytest.TempPathFactory, header: Header) -> None:
    path = header.write(tmp_path_factory.mktemp("any") / "a.nii", ARRAY)
    try:
        expected = seen_by_itk(path)
    except RuntimeError:
        expected = None
    try:
        found = read_grid(path)
    except ImageError as error:
        assert str(error).startswith(str(path))
        return
    if expected is None:
        assert found.notes
    else:
        np.testing.assert_allclose(found.affine, expected, rtol=1e-3, atol=2e-3)
        if not np.allclose(found.affine, nib.load(path).affine, rtol=1e-2, atol=0.2):
            assert found.notes


def test_the_page_has_a_row_for_every_header() -> None:
    page = Path(__file__).parents[2] / "docs" / "headers.md"
    lines = [line.split("|")[1:-1] for line in page.read_text().splitlines() if line[:2] == "| "]
    rows = {one.strip(): reported.strip() for one, _, reported in lines[1:]}
    kinds = {"no": AGREE, "yes": CONTRADICT | REFUSED_BY_ITK, "error": REFUSED}
    for reported, headers in kinds.items():
        begins = [re.split(r"[,:]| \(", row)[0] for row, how in rows.items() if how == reported]
        for name in headers:
            assert any(name.startswith(begin) for begin in begins), (name, begins)
        for begin in begins:
            assert any(name.startswith(begin) for name in headers) or "one slice" in begin, begin


def test_packed_files_are_no_exception(tmp_path: Path) -> None:
    plain = ACDC.write(tmp_path / "a.nii", ARRAY)
    (tmp_path / "b.nii").write_bytes(gzip.compress(plain.read_bytes()))
    np.testing.assert_array_equal(read_mended(tmp_path / "b.nii").affine, read_grid(plain).affine)
