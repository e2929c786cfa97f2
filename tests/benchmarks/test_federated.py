"""The benchmark of sites: no case is in two folds that must differ, and the bars are judged by the numbers."""

from __future__ import annotations

import importlib.util
import sys
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.helpers.each import each

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "benchmarks"


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # its dataclasses look for it there
    spec.loader.exec_module(module)
    return module


@each("name", ["hippocampus", "phantoms"])
def test_no_case_trains_here_and_is_held_out_there(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark = load("federated", monkeypatch)
    study = benchmark.STUDIES[name]
    cases = [f"Case{1001 + i}" for i in range(260)]
    folds = benchmark.splits(study, cases)
    assert len(folds) == len(study.train) + 2 == max(study.folds.values()) + 1
    base, *sites, central = folds
    trained = [c for f in [base, *sites] for c in f["train"]]
    held_out = [c for f in sites for c in f["val"]]
    assert len(set(trained)) == len(trained) == study.public + sum(study.train.values())
    assert len(set(held_out)) == len(held_out) == study.held_out * len(sites)
    assert not set(trained) & set(held_out)
    assert central["train"] == sorted(set(trained) - set(base["train"]))
    assert central["val"] == sorted(held_out) and set(base["val"]) <= set(held_out)


RESULT: dict[str, Any] = {
    "rounds": 2,
    "iterations": 3,
    "cases": {"a": 5, "b": 1},
    "held out": 4,
    "base iterations": 6,
    "dice": {
        row: {site: {"none": value, "box": value} for site in ("a", "b")}
        for row, value in {
            "base": 0.5,
            "local only": 0.7,
            "central": 0.8,
            "FedAvg": 0.7,
            "global + local": 0.78,
        }.items()
    },
    "traffic": {
        s: {"rounds": 3, "received": 2000, "sent": 1500, "share": 0.12} for s in ("a", "b")
    },
    "weight_bytes": 8000,
    "default plan share": 0.02,
    "lost": 0.25,
    "identical": True,
}


def test_all_bars_are_reached_and_the_tables_have_the_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tables = load("federated_report", monkeypatch)
    assert all(tables.bars("x, LoRA, rank 4", RESULT).values())
    text = tables.report({"x, LoRA, rank 4": RESULT})
    assert "| global + local | 0.7800 | 0.7800 | 0.7800 | 0.7800 | 0.7800 |" in text
    assert "| a | 2.0 | 1.5 | 12.00% |" in text and "NO:" not in text


@each(
    "bar, change",
    [
        ("local only at every site", {"dice": {"local only": {"b": {"none": 0.99, "box": 0.99}}}}),
        ("of central", {"dice": {"central": {"a": {"none": 0.99, "box": 0.99}}}}),
        ("of the weights", {"traffic": {"b": {"share": 0.16}}}),
        ("default plan", {"default plan share": 0.06}),
        ("identical", {"identical": False}),
    ],
)
def test_a_bar_that_is_missed_is_named(
    bar: str, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = load("federated_report", monkeypatch)
    result = deepcopy(RESULT)
    _into(result, change)
    missed = [name for name, good in tables.bars("x, LoRA, rank 4", result).items() if not good]
    assert len(missed) == 1 and bar in missed[0]


def test_affine_has_a_tighter_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = load("federated_report", monkeypatch).bars("x, affine", RESULT)
    assert bars["a round sends at most 5% of the weights"] is False


def _into(target: dict[str, Any], change: dict[str, Any]) -> None:
    for key, value in change.items():
        if isinstance(value, dict):
            _into(target[key], value)
        else:
            target[key] = value
