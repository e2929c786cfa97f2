"""Files that are complete or not there, and gzip that anybody can read."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from nnunet_prompt.data import files
from nnunet_prompt.data.files import PARTIAL, remove_partials, save_nifti, unpack, write_once

ARRAY = np.arange(60, dtype=np.int16).reshape(4, 5, 3)


def image() -> Any:
    return nib.Nifti1Image(ARRAY, np.diag([1.0, 2.0, 8.0, 1.0]))


@pytest.mark.parametrize("labels", [False, True])
def test_everybody_reads_what_is_written(tmp_path: Path, labels: bool) -> None:
    save_nifti(tmp_path / "a.nii.gz", image(), labels=labels)
    assert unpack(tmp_path / "a.nii.gz", 352 + 120) is not None
    save_nifti(tmp_path / "a.nii", image())
    plain = (tmp_path / "a.nii").read_bytes()
    assert gzip.decompress((tmp_path / "a.nii.gz").read_bytes()) == plain
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "a.nii.gz").dataobj), ARRAY)
    seen = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.nii.gz")))
    np.testing.assert_array_equal(seen.transpose(2, 1, 0), ARRAY)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.nii", "a.nii.gz"]


@pytest.mark.parametrize("labels", [False, True])
def test_the_header_tells_neither_time_nor_name(tmp_path: Path, labels: bool) -> None:
    for name in ("a.nii.gz", "other.nii.gz"):
        save_nifti(tmp_path / name, image(), labels=labels)
    first = (tmp_path / "a.nii.gz").read_bytes()
    assert first == (tmp_path / "other.nii.gz").read_bytes()
    assert first[3] == 0  # no flags, so no name
    assert first[4:8] == bytes(4)  # no time


def test_files_are_about_as_large_as_those_of_simpleitk(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = np.abs(200 + rng.normal(0, 15, (40, 40, 20))).astype(np.int16)
    label = np.zeros((40, 40, 20), np.uint8)
    label[10:20, 5:30, 8:14] = 3
    for array, runs in ((noise, False), (label, False), (label, True)):
        save_nifti(tmp_path / "ours.nii.gz", nib.Nifti1Image(array, np.eye(4)), labels=runs)
        theirs = tmp_path / "theirs.nii.gz"
        sitk.WriteImage(sitk.GetImageFromArray(array.transpose(2, 1, 0)), str(theirs))
        assert (tmp_path / "ours.nii.gz").stat().st_size < 1.1 * theirs.stat().st_size


def test_without_zlib_ng_libdeflate_does_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_nifti(tmp_path / "image.nii.gz", image())
    save_nifti(tmp_path / "labels.nii.gz", image(), labels=True)
    other = (tmp_path / "image.nii.gz").read_bytes()
    assert (tmp_path / "labels.nii.gz").read_bytes() != other
    monkeypatch.setattr(files, "ZLIBNG", Mock(available=False))
    save_nifti(tmp_path / "labels.nii.gz", image(), labels=True)
    assert (tmp_path / "labels.nii.gz").read_bytes() == other


def test_without_libdeflate_zlib_does_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "GZIP", Mock(available=False))
    save_nifti(tmp_path / "a.nii.gz", image())
    assert unpack(tmp_path / "a.nii.gz", 352 + 120) is None
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "a.nii.gz").dataobj), ARRAY)


def test_unpacking(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"abcdef"))
    assert unpack(path, 6) == b"abcdef"
    assert [unpack(path, size) for size in (0, 5, 7, 2**32)] == [None] * 4
    path.write_bytes(gzip.compress(b"abc") + gzip.compress(b"def"))
    assert unpack(path, 6) is None  # two members, which zlib joins
    good = gzip.compress(b"abcdef" * 10)
    for wrong in (b"", b"abcdef", good[:-9], good[:-8] + b"0000" + good[-4:]):
        path.write_bytes(wrong)
        assert unpack(path, 60) is None
    with pytest.raises(OSError, match=r"gone\.gz"):
        unpack(tmp_path / "gone.gz", 6)


def test_what_is_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / "imagesTr").mkdir()
    names = [".partial-7-dataset.json", "imagesTr/.partial-7-a_0000.nii.gz", "imagesTr/b.nii.gz"]
    for name in names:
        (tmp_path / name).write_bytes(b"half")
    remove_partials(tmp_path)
    left = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert left == [tmp_path / "imagesTr" / "b.nii.gz"]


@pytest.mark.parametrize("links", [True, False])
def test_of_several_writers_the_first_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(files.os, "link", Mock(side_effect=PermissionError("no links here")))
    target = tmp_path / "a.txt"

    def late(path: Path) -> None:
        assert path.parent == tmp_path and path.name.startswith(f"{PARTIAL}run7-")
        path.write_text("late")
        assert write_once(target, lambda other: other.write_text("first"))

    assert not write_once(target, late, token="run7")
    assert target.read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def half(path: Path) -> None:
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_once(tmp_path / "a.txt", half)
    assert list(tmp_path.iterdir()) == []
