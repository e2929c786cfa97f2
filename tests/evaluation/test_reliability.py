"""`nnunet-prompt evaluate --probabilities`: calibration of folders, and what is wrong with single maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from nnunet_prompt.cli.main import main
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.evaluation.evaluate import evaluate
from nnunet_prompt.evaluation.options import EvaluateOptions
from tests.helpers.schemas import check_form

SHAPE = (4, 5, 1)


def save(path: Path, array: npt.NDArray[Any], spacing: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.diag([spacing, 1.0, 1.0, 1.0])), path)


def label_map() -> npt.NDArray[np.uint8]:
    """Five voxels of 1, five of 2, ten of neither."""
    return np.array([1, 2, 0, 0], np.uint8).repeat(5).reshape(SHAPE)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Case a: 1 with certainty where 1 or 2 is, 0.2 in the second half. Case b: the same, label 1 alone."""
    certain = np.array([255, 255, 51, 51], np.uint8).repeat(5).reshape(SHAPE)
    for case, key in (("a", "1+2"), ("b", "1")):
        save(tmp_path / "labels" / f"{case}.nii.gz", label_map())
        save(tmp_path / "out" / f"{case}.nii.gz", label_map())
        save(tmp_path / "out" / "probabilities" / f"{case}__{key}.nii.gz", certain)
    return tmp_path


def run(root: Path, *more: str, maps: str = "out") -> tuple[int, dict[str, Any]]:
    output = root / "metrics.json"
    line = ["evaluate", str(root / "labels"), str(root / "out"), "-o", str(output)]
    code = main([*line, "--probabilities", str(root / maps), *more])
    if output.exists():
        check_form("metrics", output)
    return code, json.loads(output.read_text()) if output.exists() else {}


def test_calibration_by_structure(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, results = run(folders, "--names", "1=LV,2=scar")
    assert code == 0
    found = results["calibration"]
    whole, cavity = found["structures"]["1+2"], found["structures"]["1"]
    assert (whole["name"], cavity["name"]) == ("LV+scar", "LV")
    assert (whole["n"], whole["voxels"]) == (1, 20)
    # ten voxels state 0.2 and none is inside; of the certain ones all, or half, are
    assert whole["ece"] == pytest.approx(0.1) and whole["brier"] == pytest.approx(0.02)
    assert cavity["ece"] == pytest.approx(0.35) and cavity["brier"] == pytest.approx(0.27)
    assert found["cases"]["b"]["1"]["ece"] == cavity["ece"] and len(whole["table"]) == 15
    assert "0.3500" in capsys.readouterr().out


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_a_diagram(folders: Path, ending: str) -> None:
    path = folders / f"diagram.{ending}"
    assert run(folders, "--reliability", str(path), maps="out/probabilities")[0] == 0
    start = path.read_bytes()[:200]
    assert (b"<?xml" in start) if ending == "svg" else start.startswith(b"\x89PNG")
    assert not list(folders.glob(".partial*"))


def test_what_does_not_fit_costs_no_other_case(
    folders: Path, caplog: pytest.LogCaptureFixture
) -> None:
    maps = folders / "out" / "probabilities"
    save(maps / "a__2.nii.gz", np.zeros((2, 2, 2), np.uint8))
    save(maps / "a__1.nii.gz", np.zeros(SHAPE, np.uint8), spacing=3.0)
    (maps / "a__7.nii.gz").write_bytes(b"half")
    save(maps / "z__1.nii.gz", np.zeros(SHAPE, np.uint8))
    save(folders / "labels" / "c.nii.gz", label_map())
    save(folders / "out" / "c.nii.gz", label_map())
    code, results = run(folders)
    found = results["calibration"]
    assert code == 1 and len(found["failed"]["a"]) == 3
    assert found["without"] == ["c"] and found["unmatched"] == ["z"]
    assert found["structures"]["1+2"]["n"] == found["structures"]["1"]["n"] == 1
    assert results["mean"]["1"]["dice"] == 1 and results["counts"]["scored"] == 3
    for part in ("a__2.nii.gz: must be on the grid", "a__1.nii.gz", "a__7.nii.gz", "no label map"):
        assert part in caplog.text


def test_values_choose_maps(folders: Path) -> None:
    assert list(run(folders, "--values", "1")[1]["calibration"]["structures"]) == ["1"]


def test_maps_are_no_masks(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = folders / "x.json"
    where = [str(folders / "labels"), str(folders / "out" / "probabilities")]
    assert main(["evaluate", *where, "-o", str(output)]) == 1 and not output.exists()
    assert "share no case" in capsys.readouterr().err


def test_wrong_arguments(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folders, maps="labels") == (1, {})
    assert "no probability map in it" in capsys.readouterr().err
    assert run(folders, "--reliability", str(folders / "x.pdf")) == (1, {})
    assert "ends in .svg or .png" in capsys.readouterr().err
    assert run(folders, "--reliability", str(folders / "out" / "x.png")) == (1, {})
    with pytest.raises(NNUNetPromptError, match="--probabilities, too"):
        EvaluateOptions(reliability="x.svg")
    with pytest.raises(NNUNetPromptError, match="two folders"):
        one = folders / "labels" / "a.nii.gz"
        evaluate(one, one, options=EvaluateOptions(probabilities=folders / "out"))
