"""What the benchmarks share: result files keep what is not run again, finished steps are not repeated, tables."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tests.helpers.each import each

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="only in a checkout")


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, "harness", raising=False)
    return importlib.import_module("harness")


def test_what_is_not_run_again_keeps_its_numbers(
    harness: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")
    record = harness.Record("some")
    assert record.earlier() == {}
    record.write({"a": 1}, "text\n")
    record.write(record.earlier() | {"b": 2}, "more\n")
    assert record.earlier() == {"a": 1, "b": 2}
    assert (tmp_path / "results" / "some.md").read_text() == "more\n"


def test_a_table(harness: Any) -> None:
    assert harness.header("", "Dice", "note", left=(0, 2)) == [
        "| | Dice | note |",
        "|---|---:|---|",
    ]
    assert harness.row("a", 1, "") == "| a | 1 |  |"


def test_a_training_starts_resumes_and_is_not_repeated(harness: Any, tmp_path: Path) -> None:
    def words(start: Path | None = None) -> Any:
        return harness.training_command(tmp_path, "801 3d_fullres 0 -tr T", start)

    new = ["nnUNetv2_train", "801", "3d_fullres", "0", "-tr", "T", "-device", "cpu"]
    assert words() == new
    assert words(Path("s.pth")) == [*new, "-pretrained_weights", "s.pth"]
    for name, option in (("checkpoint_latest.pth", "--c"), ("checkpoint_final.pth", "--val")):
        (tmp_path / name).touch()
        assert words(Path("s.pth")) == [*new, option]
    (tmp_path / "validation").mkdir()
    (tmp_path / "validation/summary.json").touch()
    assert words() is None


def test_nnunets_folders(harness: Any, tmp_path: Path) -> None:
    found = harness.folders(tmp_path, "nnUNet_results_short")
    assert found["nnUNet_results"] == str(tmp_path / "nnUNet_results_short")
    assert found["nnUNet_raw"] == str(tmp_path / "nnUNet_raw")
    assert found["nnUNet_extTrainer"].startswith(str(BENCHMARKS / "trainers"))
    assert not set(harness.ONE_WORKER) & set(found)  # they would change how nnU-Net uses threads


def test_calls_take_turns_and_the_first_is_not_counted(harness: Any) -> None:
    seen: list[str] = []
    calls = {name: lambda name=name: seen.append(name) for name in "ab"}
    seconds = harness.turns(calls, 2)
    assert seen == list("ababab") and [len(s) for s in seconds.values()] == [2, 2]


def test_answers_by_kind_and_predictor(harness: Any, tmp_path: Path) -> None:
    truth = np.zeros((6, 5, 4), np.uint8)
    truth[1:4, 1:4, 1:3], truth[5, 4, 0] = 1, 2
    for name in ("a_0000", "a"):
        nib.save(nib.Nifti1Image(truth, np.eye(4)), tmp_path / f"{name}.nii.gz")
    case = harness.HeldOut.read("a", tmp_path, tmp_path)
    assert set(case.masks) == {1, 2} and case.spacing_mm == (1, 1, 1)

    class Perfect:
        def place(self, images: Any) -> Any:
            return images

        def answer(self, placed: Any, prompts: Any) -> Any:
            return SimpleNamespace(labels=np.where(np.isin(truth, list(prompts.labels)), truth, 0))

    found = list(harness.answers({"x": Perfect()}, [case], ["3D box", "mask"], None))
    assert found == [("3D box", "x", [1.0, 1.0]), ("mask", "x", [1.0, 1.0])]
    assert list(harness.answers({"x": Perfect()}, [case], ["3D box"], 2)) == [
        ("3D box", "x", [1.0])
    ]


@each("name", ["real", "mixtures", "left_out", "learn"])
def test_others_find_the_functions_of_the_comparison(harness: Any, name: str) -> None:
    for module in ("real", "real_measure", "real_report", "real_robust", name):
        sys.modules.pop(module, None)
    assert callable(importlib.import_module(name).main)
    real, report = importlib.import_module("real"), importlib.import_module("real_report")
    for wanted in (
        "Training",
        "TASKS",
        "train",
        "prepare",
        "folders",
        "measure",
        "robust_rows",
        "report",
    ):
        assert hasattr(real, wanted)
    assert callable(report.bars) and callable(report.readme_table)
