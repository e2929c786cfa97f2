"""A run that was stopped is resumed, and only with what is still the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.evaluation import folders
from nnunet_prompt.evaluation.case import run_job
from nnunet_prompt.evaluation.folders import evaluate_folders
from nnunet_prompt.evaluation.options import EvaluateOptions, FolderOptions


def _save(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros((4, 5, 6), np.uint16)
    array[1:3, 1:3, 1:3] = value
    nib.save(nib.Nifti1Image(array, np.eye(4)), path)


class Run:
    """Four cases, and how many of them an evaluation scores."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.scored, self.stop_at = root, [], ""
        for name in "abcd":
            _save(root / "labels" / f"{name}.nii.gz", 1)
            _save(root / "masks" / f"{name}.nii.gz", 1)
        monkeypatch.setattr(folders, "run_job", self._run)
        self.output, self.kept = root / "m.json", root / ".m.json.cases"

    scored: list[str]

    def _run(self, job: Any) -> Any:
        if job.case == self.stop_at:
            raise KeyboardInterrupt
        self.scored.append(job.case)
        return run_job(job)

    def __call__(self, **options: Any) -> Any:
        self.scored = []
        return evaluate_folders(self.root / "labels", self.root / "masks", self.output, **options)

    def stopped(self, case: str) -> None:
        self.stop_at = case
        with pytest.raises(KeyboardInterrupt):
            self()
        self.stop_at = ""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(tmp_path, monkeypatch)


def test_a_stopped_run_is_resumed_and_leaves_nothing(run: Run) -> None:
    whole = run()
    assert run.scored == list("abcd") and not run.kept.exists()
    run.stopped("c")
    assert run.scored == ["a", "b"] and run.kept.exists()
    assert run() == whole
    assert run.scored == ["c", "d"] and not run.kept.exists()
    assert json.loads(run.output.read_text()) == whole


def test_a_case_that_changed_is_scored_again(run: Run) -> None:
    run.stopped("d")
    _save(run.root / "masks" / "b.nii.gz", 0)
    assert run()["cases"]["b"]["1"]["dice"] == 0.0
    assert run.scored == ["b", "d"]


def test_other_options_score_all_again(run: Run) -> None:
    run.stopped("c")
    run(options=EvaluateOptions(tolerances_mm=[5]))
    assert run.scored == list("abcd")


def test_a_half_written_line_is_skipped(run: Run) -> None:
    run.stopped("c")
    text = run.kept.read_text()
    run.kept.write_text(text[: len(text) // 2 + 40] + "\n[1]\n{}\n")
    run()
    assert run.scored == ["b", "c", "d"]


def test_a_case_that_failed_is_tried_again(run: Run) -> None:
    (run.root / "masks" / "a.nii.gz").write_bytes(b"half")
    run.stopped("c")
    _save(run.root / "masks" / "a.nii.gz", 1)
    assert "failed" not in run()
    assert run.scored == ["a", "c", "d"]


def test_nothing_is_kept_of_a_run_without_a_result(run: Run) -> None:
    with pytest.raises(NNUNetPromptError, match="expected values that occur"):
        run(folder_options=FolderOptions(label_values=[7]))
    assert not run.kept.exists()
