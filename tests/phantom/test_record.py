"""The record of mock challenge data: what is written is kept, and two runs of other options never mix."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.common.errors import DatasetError, OutputError
from nnunet_prompt.phantom.record import RECORD_FILE, Record, save_volume
from nnunet_prompt.phantom.scanner import Volume
from tests.helpers.each import each

pytestmark = pytest.mark.slow

OPTIONS = {"task": "whs", "seed": 3}


def volume() -> Volume:
    return Volume(np.arange(24, dtype=np.int16).reshape(4, 3, 2), np.diag([1.0, 2.0, 3.0, 1.0]))


def test_cases_are_recorded(tmp_path: Path) -> None:
    record = Record.open(tmp_path / "out", OPTIONS)
    assert not record.holds("train A 1")
    files = {"train/A b/x.nii.gz": volume(), "train/._x": b"fork"}
    record.add("train A 1", files, {"case": "x", "centre": "A"})
    assert record.holds("train A 1") and not record.holds("train A 2")
    content = json.loads((tmp_path / "out" / RECORD_FILE).read_text())
    assert content == {
        "version": 1,
        **OPTIONS,
        "complete": False,
        "cases": {"train A 1": {"case": "x", "centre": "A", "files": list(files)}},
    }
    record.finish()
    assert json.loads((tmp_path / "out" / RECORD_FILE).read_text())["complete"] is True
    assert (tmp_path / "out/train/._x").read_bytes() == b"fork"
    again = Record.open(tmp_path / "out", OPTIONS)
    assert again.holds("train A 1")
    (tmp_path / "out/train/A b/x.nii.gz").unlink()
    assert not again.holds("train A 1")


def test_files_that_are_there_are_kept(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(b"as it was")
    record = Record.open(tmp_path, OPTIONS)
    record.add("train A 1", {"a.nii.gz": volume(), "b.nii": volume()}, {})
    assert (tmp_path / "a.nii.gz").read_bytes() == b"as it was"
    assert nib.load(tmp_path / "b.nii").shape == (4, 3, 2)


def test_what_a_killed_run_left_half_written_goes(tmp_path: Path) -> None:
    left = tmp_path / "train" / ".partial-12-x.nii.gz"
    left.parent.mkdir()
    left.write_bytes(b"half")
    Record.open(tmp_path, OPTIONS)
    assert not left.exists()


@each(
    ("options", "message"),
    [
        ({"task": "whs", "seed": 4}, "seed is 3, expected 4: choose another folder"),
        ({"task": "liqa", "seed": 3}, "task is whs, expected liqa: choose another folder"),
    ],
)
def test_another_mock_challenge(tmp_path: Path, options: dict[str, object], message: str) -> None:
    Record.open(tmp_path, OPTIONS)
    with pytest.raises(DatasetError, match=f"{RECORD_FILE}: {message}") as error:
        Record.open(tmp_path, options)
    assert "\n" not in str(error.value)


@each(
    ("text", "message"),
    [
        ("[]", "expected a JSON object, found list: choose another folder"),
        ("{", "not readable as JSON .*: choose another folder"),
        ("{}", "not in the form of mock challenge data"),
        ('{"version": 1, "cases": []}', "not in the form of mock challenge data"),
    ],
)
def test_a_record_that_is_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / RECORD_FILE).write_text(text)
    with pytest.raises(DatasetError, match=f"{RECORD_FILE}: {message}"):
        Record.open(tmp_path, OPTIONS)


def test_a_volume_on_disk(tmp_path: Path) -> None:
    save_volume(tmp_path / "x.nii.gz", volume())
    image = nib.load(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj), volume().array)
    assert image.get_data_dtype() == np.int16
    for affine in (image.get_sform(), image.get_qform()):
        np.testing.assert_allclose(affine, volume().affine)
    assert image.header.get_xyzt_units()[0] == "mm"
    save_volume(tmp_path / "y.nii", Volume(volume().array, np.eye(4), fourth_axis=True))
    assert nib.load(tmp_path / "y.nii").shape == (4, 3, 2, 1)


@each("part", ["train", "test", "hidden_labels"])
def test_a_download_that_is_no_mock_challenge_is_left_alone(tmp_path: Path, part: str) -> None:
    (tmp_path / part).mkdir()
    (tmp_path / part / "mine.nii.gz").touch()
    with pytest.raises(
        OutputError, match=rf"{part}/mine.nii.gz: already exists.*choose another folder"
    ):
        Record.open(tmp_path, OPTIONS)
    assert not (tmp_path / RECORD_FILE).exists()


def test_a_folder_with_the_earlier_name_of_the_record(tmp_path: Path) -> None:
    Record.open(tmp_path, OPTIONS).add("train A 1", {"train/a.txt": b"a"}, {})
    (tmp_path / RECORD_FILE).rename(tmp_path / "rehearsal.json")
    assert Record.open(tmp_path, OPTIONS).holds("train A 1")
    assert not (tmp_path / "rehearsal.json").exists()
