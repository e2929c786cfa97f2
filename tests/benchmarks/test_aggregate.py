"""The benchmark of aggregation: its phantoms, its splits, and what its tables compare."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.each import each

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="only in a checkout")
TASKS = ("ventricle", "atrium", "liver", "kidneys")


def module(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for other in ("aggregate", "aggregate_phantoms", "aggregate_report", "harness"):
        monkeypatch.delitem(sys.modules, other, raising=False)
    return importlib.import_module(name)


def dice_of(value: float, shifted: float) -> dict[str, Any]:
    """Two cases of each task: of the training centre, and shifted."""
    return {
        f"{task}_{centre}": {"task": task, "centre": centre, "none": d, "one click": d / 2}
        for task in TASKS
        for centre, d in (("own", value), ("noise", shifted), ("contrast", shifted))
    } | {
        f"{task}_both": {"task": task, "centre": "both", "none": shifted, "one click": shifted / 2}
        for task in TASKS
    }


def row_of(*dice: tuple[float, float]) -> dict[str, Any]:
    return {
        str(seed): {"dice": dice_of(*one), "cpu seconds": {"a": 10.0, "b": 20.0}}
        for seed, one in enumerate(dice)
    }


def test_folds_are_found_by_the_marks_of_the_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    aggregate = module("aggregate", monkeypatch)
    marks = {f"{task[0]}{n}": task for task in TASKS for n in range(3)}
    splits = aggregate.splits(marks)
    assert len(splits) == len(aggregate.PARTS) == 7
    assert splits[0] == {
        "train": ["a0", "a1", "k0", "k1", "l0", "l1", "v0", "v1"],
        "val": ["v2"],
    }
    assert splits[1] == {"train": ["a0", "a1", "v0", "v1"], "val": ["v2"]}
    assert splits[2] == {"train": ["k0", "k1", "l0", "l1"], "val": ["l2"]}
    assert splits[6] == {"train": ["k0", "k1"], "val": ["k2"]}
    assert {f for _, folds in aggregate.ROWS.values() for f in folds} == set(range(7))


@each("task", range(4))
def test_a_phantom_shows_its_structure_and_a_shift_changes_the_image_alone(
    task: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    phantoms = module("aggregate_phantoms", monkeypatch)
    chosen = phantoms.TASKS[task]
    found = {
        centre: phantoms.phantom(np.random.default_rng(3), chosen, centre)
        for centre in ("own", *phantoms.SHIFTS)
    }
    for image, mask in found.values():
        assert image.shape == mask.shape == phantoms.SHAPE
        assert np.array_equal(mask, found["own"][1]) and mask.sum() > 50
    images = [image for image, _ in found.values()]
    assert not any(np.array_equal(a, b) for i, a in enumerate(images) for b in images[:i])


def test_a_case_depends_on_its_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    phantoms = module("aggregate_phantoms", monkeypatch)
    few, more = (list(phantoms.cases(phantoms.TASKS[1], "train", "own", n)) for n in (1, 2))
    assert np.array_equal(few[0].images[0], more[0].images[0])
    assert not np.array_equal(more[0].images[0], more[1].images[0])
    side = few[0].side_information()
    assert (side["task"], side["centre"], side["modality"]) == ("atrium", "own", "MR")


def test_the_tables_and_what_experts_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    report = module("aggregate_report", monkeypatch).report
    results = {
        "iterations": 480,
        "rows": {
            "one network for all": row_of((0.8, 0.6), (0.6, 0.4)),
            "experts": row_of((0.8, 0.62), (0.6, 0.44)),
        },
        "missing": ["one per task, seed 1"],
    }
    lines = report(results).splitlines()
    own, shifted = "0.700 ± 0.100", "0.500 ± 0.100"
    assert f"| one network for all |{f' {own} |' * 3}{f' {shifted} |' * 3}" in lines
    assert "| none | 0 | 0.6000 | 0.6200 | +0.0200 |" in lines
    assert "| one click | 1 | 0.2000 | 0.2200 | +0.0200 |" in lines
    assert "| mean of all |  |  |  | +0.0225 |" in lines
    assert "experts could be on by default." in "\n".join(lines)
    assert "| experts | 2 | 30 |" in lines
    assert lines[-1] == "Not measured: one per task, seed 1."


def test_without_a_gain_experts_stay_off(monkeypatch: pytest.MonkeyPatch) -> None:
    report = module("aggregate_report", monkeypatch).report
    for second in (0.55, 0.601):  # worse in one seed, or a little better
        rows = {
            "one network for all": row_of((0.8, 0.6), (0.8, 0.6)),
            "experts": row_of((0.9, 0.7 if second < 0.6 else 0.602), (0.9, second)),
        }
        text = report({"iterations": 480, "rows": rows, "missing": []})
        assert "experts stay off unless a trainer names them." in text
    assert "Not measured" not in text
    only = report({"iterations": 1, "rows": {"experts": row_of((0.9, 0.6))}, "missing": []})
    assert "Experts or not" not in only
