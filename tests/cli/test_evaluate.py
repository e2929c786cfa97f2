"""`nnunet-prompt evaluate` from its arguments to its exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.cli.main import main
from tests.helpers.each import each


def _save(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros((4, 5, 6), np.uint16)
    array[1:3, 1:3, 1:3] = value
    nib.save(nib.Nifti1Image(array, np.eye(4)), path)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Five label maps of a data set, and predictions of the first two."""
    for k in range(5):
        _save(tmp_path / "raw" / "labelsTr" / f"c{k}.nii.gz", 1)
    for k in range(2):
        _save(tmp_path / "out" / f"c{k}.nii.gz", 1)
    dataset = {"labels": {"background": 0, "left ventricle": 1}}
    (tmp_path / "raw" / "dataset.json").write_text(json.dumps(dataset))
    return tmp_path


def _run(root: Path, *more: str, swapped: bool = False) -> tuple[int, Path]:
    folders = [str(root / "raw" / "labelsTr"), str(root / "out")]
    output = root / "metrics.json"
    given = folders[::-1] if swapped else folders
    return main(["evaluate", *given, "-o", str(output), *more]), output


def _last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_a_folder_that_is_not_complete(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, output = _run(raw)
    assert code == 1 and not output.exists()
    assert "3 of 5 cases of" in _last_line(capsys)


@each(("how", "dice", "n"), [("skip", 1.0, 2), ("empty", 0.4, 5)])
def test_the_same_on_purpose(
    raw: Path, how: str, dice: float, n: int, capsys: pytest.CaptureFixture[str]
) -> None:
    code, output = _run(raw, "--missing", how)
    results: dict[str, Any] = json.loads(output.read_text())
    assert code == 0
    assert results["mean"]["1"]["dice"] == dice
    assert results["structures"]["1"]["n"] == n
    assert results["structures"]["1"]["name"] == "left ventricle"
    assert results["rules"]["missing"] == how and results["missing"] == ["c2", "c3", "c4"]
    printed = capsys.readouterr().out
    assert f"left ventricle      1  {n}" in printed and f"{n} of 5 cases scored" in printed


@each("more", [(), ("--missing", "skip"), ("--extra", "skip")])
def test_swapped_arguments(
    raw: Path, more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, output = _run(raw, *more, swapped=True)
    assert code == 1 and not output.exists()
    assert "label maps come first and predictions second" in _last_line(capsys)


def test_a_file_that_cannot_be_read_costs_its_own_case(
    raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (raw / "out" / "c0.nii.gz").write_bytes(b"\x1f\x8bno more")
    code, output = _run(raw, "--missing", "skip", "--names", "1=LV")
    results = json.loads(output.read_text())
    assert code == 1
    assert list(results["cases"]) == ["c1"] and list(results["failed"]) == ["c0"]
    assert results["structures"]["1"] == {
        "name": "LV",
        "n": 1,
        "in_neither": 0,
        "only_label": 0,
        "only_prediction": 0,
    }
    assert str(raw / "out" / "c0.nii.gz") in capsys.readouterr().err


def test_words_that_are_no_choice(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more in (("--missing", "maybe"), ("--values", "LV"), ("--values", "0")):
        with pytest.raises(SystemExit) as end:
            _run(raw, *more)
        assert end.value.code == 2
    assert _run(raw, "--names", "LV")[0] == 1
    assert "names: expected value=name" in _last_line(capsys)


def test_bad_files_cost_no_other_case_and_groups_are_printed(
    raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for k in range(2, 5):
        _save(raw / "out" / f"c{k}.nii.gz", 1)
    half = (raw / "out" / "c2.nii.gz").read_bytes()
    (raw / "out" / "c2.nii.gz").write_bytes(half[: len(half) // 2])
    (raw / "out" / "c3.nii.gz").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
    grid = nib.Nifti1Image(np.ones((4, 5, 7), np.uint8), np.eye(4))
    nib.save(grid, raw / "out" / "c4.nii.gz")
    (raw / "g.csv").write_text("case,centre\nc0,A\n")
    more = "--groups", str(raw / "g.csv"), "--csv", str(raw / "t.csv"), "--lesions", "1"
    code, output = _run(raw, *more)
    results, (out, err) = json.loads(output.read_text()), capsys.readouterr()
    assert code == 1 and list(results["cases"]) == ["c0", "c1"]
    assert list(results["failed"]) == ["c2", "c3", "c4"]
    assert all(f"out/{c}.nii.gz" in line for c, line in results["failed"].items())
    assert "centre A: 1 case, fewer than 5" in out and "Traceback" not in err
    assert f"{raw / 'g.csv'}: no row for c1: 1 of 2 cases in no group" in err
    assert results["mean"]["1"]["lesion_f1"] == 1.0
    assert len((raw / "t.csv").read_text().splitlines()) == 3
