"""The parts of the tuning benchmark; the trainings themselves are run by hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.training.external_trainers import trainers_dir

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="only in a checkout")


@pytest.fixture
def peft(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("harness", "peft", "peft_report", "real"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import peft

    return peft


def source(folder: Path) -> Path:
    (folder / "labelsTr").mkdir(parents=True)
    (folder / "imagesTr").mkdir()
    labels = np.array([0, 1, 2, 2, 0, 1], np.uint8).reshape(1, 2, 3)
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    for where, name in (("labelsTr", "a.nii.gz"), ("imagesTr", "a_0000.nii.gz")):
        nib.save(nib.Nifti1Image(labels, affine), folder / where / name)
    described = {"labels": {"background": 0, "Anterior": 1, "Posterior": 2}, "numTraining": 1}
    (folder / "dataset.json").write_text(json.dumps(described))
    return folder


def test_one_structure_becomes_label_1_of_the_same_images(peft: Any, tmp_path: Path) -> None:
    target, both = tmp_path / "posterior", source(tmp_path / "both")
    peft.label_only(both, target, name="Posterior", value=2)
    path = target / "labelsTr" / "a.nii.gz"
    labels = nib.load(path)
    assert np.asarray(labels.dataobj).ravel().tolist() == [0, 0, 1, 1, 0, 0]
    assert labels.header.get_zooms() == (1, 2, 3)
    assert (target / "imagesTr" / "a_0000.nii.gz").is_file()
    described = json.loads((target / "dataset.json").read_text())
    assert described["labels"] == {"background": 0, "Posterior": 1}
    path.unlink()
    peft.label_only(both, target, name="Posterior", value=2)  # done, so not repeated
    assert not path.exists()


def test_no_case_is_in_two_parts_and_ten_contain_five(peft: Any) -> None:
    cases = [f"case_{i:03d}" for i in range(220)]
    splits = peft.splits(cases)
    (base,), (five, ten) = splits[peft.BASE], splits[peft.NEW]
    assert [len(s["train"]) for s in (base, five, ten)] == [190, 5, 10]
    assert set(five["train"]) < set(ten["train"])
    assert base["val"] == five["val"] == ten["val"] and len(base["val"]) == 20
    assert not set(base["train"]) & (set(ten["train"]) | set(ten["val"]))
    assert not set(ten["train"]) & set(ten["val"])


def test_every_row_has_a_trainer(peft: Any) -> None:
    for trainer in peft.ROWS.values():
        assert (Path(trainers_dir()) / f"{trainer}.py").is_file()


def test_a_run_starts_resumes_and_is_not_repeated(
    peft: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(peft.harness, "run", lambda words, variables, console: seen.append(words))
    run = peft.Run("LoRA, rank 4", 10, 3, tmp_path)
    assert run.fold == 1 and run.folder.name == "fold_1"
    assert "nnUNet_results_short_seed3" in str(run.folder)
    peft.train(run, None)
    assert seen[-1][:4] == ["nnUNetv2_train", "804", "3d_fullres", "1"]
    assert seen[-1][-2:] == ["-pretrained_weights", str(tmp_path / "start_seed3.pth")]
    peft.train(peft.Run("from scratch", 10, 3, tmp_path), None)
    assert "-pretrained_weights" not in seen[-1]
    (run.folder / "validation").mkdir(parents=True)
    for name, option in (("checkpoint_latest.pth", "--c"), ("checkpoint_final.pth", "--val")):
        (run.folder / name).touch()
        peft.train(run, None)
        assert seen[-1][-1] == option
    (run.folder / "validation" / "summary.json").touch()
    peft.train(run, None)
    assert len(seen) == 4


def test_costs_are_read_from_what_a_tuning_leaves(peft: Any, tmp_path: Path) -> None:
    run, scratch = (peft.Run(row, 5, 0, tmp_path) for row in ("bias", "from scratch"))
    for one in (run, scratch):
        one.folder.mkdir(parents=True)
    (run.folder / "training_log_1.txt").write_text("2026: tuning bias: 321 of 4567 parameters \n")
    (run.folder / "adapter.pth").write_bytes(b"x" * 2000)
    peft.start_file(0, tmp_path).write_bytes(b"x" * 9000)
    assert peft.cost(run) == {"parameters": 321, "bytes": 2000}
    assert peft.cost(scratch) == {"parameters": None, "bytes": 9000}


def test_the_report_has_a_row_for_each_method(peft: Any, tmp_path: Path) -> None:
    kinds = {kind: [0.5, 0.7] for kind in peft.VALIDATION_KINDS}
    results = {
        "base iterations": 600,
        "iterations": 150,
        "held out": 20,
        "seeds": [0, 1],
        "costs": {
            "bias": {"parameters": 1234, "bytes": 5678, "seconds": 0.25},
            "from scratch": {"parameters": None, "bytes": 9000, "seconds": 1.0},
        },
        "dice": {"5": {"bias": {**kinds, "none": [None, None]}}, "10": {"bias": kinds}},
    }
    text = peft.report(results)
    assert "| bias | 1,234 | 6 | 0.250 |" in text
    assert "| from scratch | all | 9 | 1.000 |" in text
    assert "| bias | – | 0.6000 ± 0.1000 |" in text
    assert "## Dice, 5 cases" in text and "## Dice, 10 cases" in text
