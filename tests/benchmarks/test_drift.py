"""The benchmark of drift: its phantoms, its batches, and what its table holds against what is asked."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_prompt.evaluation.drift.table import Monitored

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="only in a checkout"),
]


def module(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for other in ("drift", "drift_report", "harness"):
        monkeypatch.delitem(sys.modules, other, raising=False)
    return importlib.import_module(name)


def test_phantoms_differ_as_their_condition_says(monkeypatch: pytest.MonkeyPatch) -> None:
    drift = module("drift", monkeypatch)
    before = dict(drift.heart.CENTRES)
    one, again, coarse = (drift.phantom(n, 3) for n in ("unchanged", "unchanged", "spacing"))
    assert np.array_equal(one.array, again.array)
    spacing = [sorted(np.linalg.norm(v.affine[:3, :3], axis=0)) for v in (one, coarse)]
    assert spacing[0][0] < 1.5 and spacing[0][2] == pytest.approx(8)
    assert spacing[1][0] > 1.7 and spacing[1][2] == pytest.approx(10)
    assert dict(drift.heart.CENTRES) == before


def test_a_case_that_is_drawn_twice_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drift = module("drift", monkeypatch)
    table = Monitored(("a", "b", "c"), ("x",), np.array([[1.0], [2.0], [3.0]]), {})
    found = drift.picked(table, [2, 0, 2])
    assert (found.cases, found.values.tolist()) == (("c", "a"), [[3.0], [1.0]])


def test_looks_see_a_shift_and_halves_are_disjoint(monkeypatch: pytest.MonkeyPatch) -> None:
    drift = module("drift", monkeypatch)
    monkeypatch.setattr(drift, "BATCHES", 2)
    rng, seen = np.random.default_rng(0), []
    real = drift.p_of

    def spy(reference: Monitored, batch: Monitored) -> float:
        seen.append(set(reference.cases) & set(batch.cases))
        return float(real(reference, batch))

    monkeypatch.setattr(drift, "p_of", spy)
    tables = {
        name: Monitored(
            tuple(f"{name}{k}" for k in range(60)), ("x",), rng.normal(shift, 1, (60, 1)), {}
        )
        for name, shift in (("unchanged", 0.0), ("noise", 4.0))
    }
    found = drift.measure(tables, 2)
    assert np.shape(found["p"]["noise"]) == (2, 2)
    assert np.max(found["p"]["noise"]) < 0.001 < np.min(found["p"]["unchanged"])
    assert seen == [set()] * 8
    assert (found["reference"], found["default level"]) == (30, 0.01)


def test_the_table_holds_what_was_found_against_what_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results = {
        "cases": {"unchanged": 200, "noise": 60},
        "reference": 100,
        "batch": 20,
        "distinct": 17.4,
        "default level": 0.01,
        "p": {"unchanged": [[0.5] * 100, [0.001] * 12 + [0.5] * 88], "noise": [[0.001, 0.2]] * 2},
    }
    text = module("drift_report", monkeypatch).report(results, {"unchanged": "u", "noise": "n"})
    lines = text.splitlines()
    assert (
        "| unchanged | 0.060 (0.00 to 0.12) | 0.000 (0.00 to 0.00) | 0.060 (0.00 to 0.12) |"
        in lines
    )
    assert (
        "| false alarms in 100 batches, default level, worst split | at most 10 | 12 | **missed by 2** |"
        in lines
    )
    assert "| detection of noise, default level | 0.9 | 0.500 | **missed by 0.400** |" in lines
