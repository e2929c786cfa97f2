"""The benchmark of the metrics: its hearts have all labels, both sides are asked, and the table has their numbers."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="only in a checkout")

OTHER = """
import json, sys
import numpy as np
print(json.dumps("0.1"), flush=True)
for line in sys.stdin:
    assert np.load(line.strip())["reference"].shape == (64, 64, 10)
    print(json.dumps({"seconds": 8.0, "dice": [0.5] * 5, "hd95_mm": [1.0] * 5}), flush=True)
"""


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("harness", "metrics"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    found = importlib.import_module("metrics")
    monkeypatch.delitem(sys.modules, "metrics")
    return found


def test_a_heart_has_all_labels_and_two_outlines(metrics: Any) -> None:
    reference, prediction = metrics.case(1)
    assert reference.shape == prediction.shape == (256, 256, 10)
    assert set(np.unique(reference)) == set(np.unique(prediction)) == {0, *metrics.LABELS}
    assert (reference != prediction).any()


def test_both_sides_are_measured_and_compared(
    metrics: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "other.py").write_text(OTHER)
    whole = metrics.case(0)
    small = tuple(m[::4, ::4] for m in whole)
    monkeypatch.setattr(metrics, "MONAI", tmp_path / "other.py")
    monkeypatch.setattr(metrics, "case", lambda seed: small)
    results = metrics.compare(Path(sys.executable), 2, tmp_path)
    assert results["seconds"]["monai"] == 16.0
    assert results["share"] == pytest.approx(results["seconds"]["ours"] / 16.0)
    found = metrics.ours(*small)
    worst = max(abs(found[label].scores.dice - 0.5) for label in metrics.LABELS)
    assert results["largest_difference"]["dice"] == pytest.approx(worst)
    lines = metrics.report(results).splitlines()
    assert "| MONAI 0.1 | Dice, HD95 | 16.0 | 8000 |" in lines
    json.dumps(results)
