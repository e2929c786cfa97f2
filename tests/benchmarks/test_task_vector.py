"""The benchmark of task vectors: its phantoms, its supports, and what its tables compare."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = [
    pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="only in a checkout"),
    pytest.mark.slow,
]


def module(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for other in ("task_vector", "task_vector_phantoms", "task_vector_report", "harness"):
        monkeypatch.delitem(sys.modules, other, raising=False)
    return importlib.import_module(name)


def test_what_is_left_out_is_in_no_training_label(monkeypatch: pytest.MonkeyPatch) -> None:
    phantoms = module("task_vector_phantoms", monkeypatch)
    assert len(set(phantoms.KNOWN)) == len(phantoms.KNOWN) == 20
    for task in phantoms.TASKS:
        image, masks = phantoms.phantom(task, "train", 0)
        assert set(masks) == set(task.structures) and task.left_out not in phantoms.KNOWN
        assert image.shape == phantoms.SHAPE
        assert all(mask.sum() > 40 for mask in masks.values()), task.name
        monkeypatch.setattr(phantoms, "TRAINED", 0)
        (case,) = phantoms._cases(task)
        assert case.annotated == frozenset(task.known) and case.task == task.name
        for name in task.known:
            label = phantoms.TABLE.find(name).label
            assert ((case.label == label) <= masks[name]).all() and (case.label == label).any()
        known = np.any([masks[name] for name in task.known], axis=0)
        assert not case.label[masks[task.left_out] & ~known].any()
        again, _ = phantoms.phantom(task, "train", 0)
        other, _ = phantoms.phantom(task, "test", 0)
        assert np.array_equal(image, again) and not np.array_equal(image, other)


def test_supports_are_written_right_or_rolled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    phantoms = module("task_vector_phantoms", monkeypatch)
    task = phantoms.TASKS[0]
    for how in ("right", "random"):
        phantoms.write_masks(tmp_path / how, task, "pool", [3], "RA", how)
    right, rolled = (
        np.asarray(nib.load(tmp_path / how / "labels" / "case_03.nii.gz").dataobj)
        for how in ("right", "random")
    )
    assert np.array_equal(right == 1, phantoms.phantom(task, "pool", 3)[1]["RA"])
    assert right.sum() == rolled.sum() and (right & rolled).sum() < 0.7 * right.sum()
    assert (tmp_path / "right" / "images" / "case_03_0000.nii.gz").is_file()


def test_draws_of_one_size_share_no_case(monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = module("task_vector", monkeypatch)
    assert benchmark._draws(1) == [[0], [1]]
    assert benchmark._draws(3) == [[0, 1, 2], [3, 4, 5]]
    assert benchmark._draws(8) == [list(range(8))]


def results(vector: float) -> dict[str, Any]:
    names = ("RA", "vessels")
    dice = {"no support": 0.0}
    for shots in (1, 3, 8):
        dice |= {
            f"atlas, k = {shots}": 0.5,
            f"atlas as prompt, k = {shots}": 0.4,
            f"task vector, k = {shots}": vector,
        }
    dice |= {"random place": 0.02, "wrong structure": 0.3}
    dice |= {"known structure": 0.8, "known structure, by name": 0.9}
    one = {"dice": dice, "known": "LV"}
    return {
        "iterations": 10,
        "test": 2,
        "tasks": {name: {"task": "heart", "known": ["LV"]} for name in names},
        "rows": {name: {"0": one, "1": one} for name in names},
    }


def test_the_page_states_what_is_met_and_what_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    report = module("task_vector_report", monkeypatch).report
    met, missed = report(results(0.56)), report(results(0.5))
    assert "| mean: atlas, k = 3 + 0.05 | 0.550 | 0.560 | met |" in met
    assert "| mean: atlas, k = 3 + 0.05 | 0.550 | 0.500 | **missed by 0.050** |" in missed
    assert "| mean: random place does not help | <= 0.050 | 0.020 | met |" in met
    assert "| mean: wrong structure does not help | <= 0.050 | 0.300 | **missed by 0.250** |" in met
    assert "| task vector, k = 3 | 0.560 ± 0.000 | 0.560 ± 0.000 | 0.560 ± 0.000 |" in met
