"""Files that are complete or not there, and gzip that anybody can read."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from nnunet_prompt.common.errors import (
    NNUNetPromptError,
    OutputError,
    raise_system_error,
    system_reason,
)
from nnunet_prompt.io import atomic as files
from nnunet_prompt.io.atomic import (
    PARTIAL,
    make_folder,
    partial_name,
    partials_of,
    remove_partials,
    replacing,
    save_nifti,
    unpack,
    write_once,
)
from tests.helpers.each import each

ARRAY = np.arange(60, dtype=np.int16).reshape(4, 5, 3)


def image() -> Any:
    return nib.Nifti1Image(ARRAY, np.diag([1.0, 2.0, 8.0, 1.0]))


@each("labels", [False, True])
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


@each("labels", [False, True])
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


@each("links", [True, False])
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


LONGEST = 255  # bytes of a file name


class TestLongNames:
    @each("letter", ["x", "ü"])
    @each("ending", [".nii.gz", ".nii"])
    def test_images_with_the_longest_names(self, tmp_path: Path, letter: str, ending: str) -> None:
        room = LONGEST - len(ending)
        path = tmp_path / (letter * (room // len(letter.encode())) + ending)
        save_nifti(path, image())
        np.testing.assert_array_equal(np.asarray(nib.load(path).dataobj), ARRAY)
        path.unlink()
        assert write_once(path, lambda partial: save_nifti(partial, image()))
        assert [p.name for p in tmp_path.iterdir()] == [path.name]

    @each("name", ["a.json", "a.nii.gz", "a.b.c.NII.GZ", "no ending", ".hidden"])
    def test_hidden_names_are_short_end_alike_and_are_nobody_elses(
        self, tmp_path: Path, name: str
    ) -> None:
        names = [partial_name(tmp_path / name).name for _ in range(20)]
        assert len(set(names)) == 20 and max(map(len, names)) < 64
        ending = name[name.index(".NII") :] if "NII" in name else "".join(Path(name).suffixes)
        assert all(one.startswith(PARTIAL) and one.endswith(ending) for one in names)

    def test_a_long_last_part_is_no_ending(self, tmp_path: Path) -> None:
        assert len(partial_name(tmp_path / f"a.{'x' * 200}").name) < 64

    def test_what_a_killed_run_left_of_a_file_is_found(self, tmp_path: Path) -> None:
        ours, old = partial_name(tmp_path / "a.json"), tmp_path / ".partial-7-a.json"
        for path in (ours, old, partial_name(tmp_path / "b.json"), tmp_path / ".partial-7-b.json"):
            path.touch()
        assert set(partials_of(tmp_path / "a.json")) == {ours, old}


class TestWhatTheSystemRefuses:
    def test_a_name_that_is_too_long(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match=r"\.nii: cannot be written: File name too long"):
            save_nifti(tmp_path / f"{'x' * 252}.nii", image())
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        for name in ("a.nii", "a.nii.gz"):
            with pytest.raises(OutputError, match="cannot be written: No such file or directory"):
                save_nifti(tmp_path / "none" / name, image())
        (tmp_path / "file").touch()
        with pytest.raises(OutputError, match="cannot be made: Not a directory"):
            make_folder(tmp_path / "file" / "folder")

    def test_an_input_that_is_gone_is_not_the_output(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError), replacing(tmp_path / "a.txt") as partial:
            partial.write_bytes((tmp_path / "gone.txt").read_bytes())

    def test_a_library_that_does_not_say_why(self, tmp_path: Path) -> None:
        with pytest.raises(RuntimeError, match="none of writing"), replacing(tmp_path / "a.txt"):
            raise RuntimeError("none of writing")
        with (
            pytest.raises(OutputError, match=r"none/a\.nrrd: cannot be written: No such file"),
            replacing(tmp_path / "none" / "a.nrrd") as partial,
        ):
            sitk.WriteImage(sitk.Image(2, 2, 2, sitk.sitkUInt8), str(partial))


@pytest.fixture
def full_disc(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, of which 8 are taken."""
    folder = tmp_path / "disc"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    (folder / "there.txt").write_bytes(bytes(8000))
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


class TestFullDisc:
    @pytest.mark.parametrize("ending", ["nii", "nii.gz", "nrrd", "pth", "txt"])
    def test_every_writer_says_so_and_leaves_nothing(self, full_disc: Path, ending: str) -> None:
        path = full_disc / f"a.{ending}"
        noise = np.random.default_rng(0).random((40, 40, 40))
        with pytest.raises(OutputError, match=rf"a\.{ending}: cannot be written: No space left"):
            if ending.startswith("nii"):
                save_nifti(path, nib.Nifti1Image(noise, np.eye(4)))
            else:
                with replacing(path) as partial:
                    self.write(partial, noise)
        assert [p.name for p in full_disc.iterdir()] == ["there.txt"]

    def write(self, path: Path, noise: Any) -> None:
        if path.suffix == ".nrrd":
            sitk.WriteImage(sitk.GetImageFromArray(noise), str(path))
        elif path.suffix == ".pth":
            import torch

            torch.save({"network_weights": torch.from_numpy(noise)}, path)
        else:
            path.write_bytes(noise.tobytes())


@each(
    ("cause", "reason"),
    [(PermissionError(13, "Permission denied", "x"), "Permission denied"), (OSError("?"), None)],
)
def test_the_systems_reason_is_that_of_what_caused_an_error(
    cause: OSError, reason: str | None
) -> None:
    error = RuntimeError("unexpected pos 64 vs 0")
    error.__cause__ = cause
    assert system_reason(error) == system_reason(cause) == reason
    other = RuntimeError("found no other way")
    other.__context__ = cause  # was dealt with before
    assert system_reason(other) is None
    raise_system_error(other)


def test_a_missing_place_for_temporary_files_is_named() -> None:
    error = FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")
    with pytest.raises(NNUNetPromptError, match=r"No usable temporary directory.*set TMPDIR to"):
        raise_system_error(error)
