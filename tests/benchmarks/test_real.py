"""The comparison on real images: its tables by hand, and README's numbers are those of the result files."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel as nib
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "benchmarks" / "results" / "real.json"


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))

    def load(name: str) -> ModuleType:
        sys.modules.pop(name, None)
        return importlib.import_module(name)

    return load


def scores(**dice: float) -> dict[str, dict[str, float]]:
    return {case: {"Dice": d, "HD95 (mm)": 2.0} for case, d in dice.items()}


def test_readmes_numbers_are_those_of_the_results(benchmarks: Any) -> None:
    report = benchmarks("real_report")
    results = json.loads(RECORD.read_text())
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    gains = (ROOT / "docs" / "gains.md").read_text(encoding="utf-8")
    assert report.readme_table(results) in readme
    assert report.gains_table(results) in gains
    assert all(report.readme_sentence(results) in page for page in (readme, gains))
    assert RECORD.with_suffix(".md").read_text(encoding="utf-8").splitlines()[2:] == [
        line if not line.startswith("Python ") else found
        for line, found in zip(
            report.report(results).splitlines()[2:],
            RECORD.with_suffix(".md").read_text(encoding="utf-8").splitlines()[2:],
            strict=True,
        )
    ]


def test_differences_are_paired_over_cases_and_averaged_over_seeds(benchmarks: Any) -> None:
    report = benchmarks("real_report")
    rows = {
        "plain nnU-Net": {"0": scores(a=0.5, b=0.7), "1": scores(a=0.7, b=0.7)},
        "ours, mask": {"0": scores(a=0.8, b=0.8), "1": scores(a=0.8, b=0.8)},
    }
    mean, low, high = report.paired(rows, "ours, mask", "plain nnU-Net")
    assert mean == pytest.approx(0.15)
    assert (low, high) == pytest.approx((0.1, 0.2))
    assert report.dice(rows, "plain nnU-Net") == pytest.approx(0.65)


def test_bars_of_each_table(benchmarks: Any) -> None:
    report = benchmarks("real_report")
    kinds = benchmarks("real_measure").KINDS
    rows: dict[str, Any] = {
        "plain nnU-Net": {"0": scores(a=0.9)},
        "plain nnU-Net, largest component": {"0": scores(a=0.91)},
        "ours, no prompt": {"0": scores(a=0.88)},
        "the rough mask itself": {"all": scores(a=0.7)},
        **{f"ours, {kind}": {"0": scores(a=0.92)} for kind in kinds},
    }
    found = {text: (asked, value) for text, asked, value in report.bars("sunnybrook, long", rows)}
    assert found["none: plain - 0.01"] == (pytest.approx(0.89), pytest.approx(0.88))
    assert found["none: plain's largest component - 0.01"][0] == pytest.approx(0.9)
    gained = found["box + points: plain + 0.09 or half of its error gone"]
    assert gained == (pytest.approx(0.95), pytest.approx(0.92))
    assert found["mask: itself + 0.12"] == (pytest.approx(0.82), pytest.approx(0.92))
    assert len(report.bars("hippocampus, long", rows)) == 11
    assert [t for t, _, _ in report.bars("sunnybrook, short", rows)] == [
        "none: plain - 0.10",
        "none: plain's largest component - 0.10",
        "box + points: 0.92",
    ]


def test_gating_keeps_a_label_in_the_slices_that_show_it(benchmarks: Any, tmp_path: Path) -> None:
    measure = benchmarks("real_measure")
    truth = np.zeros((4, 4, 3), np.uint8)
    truth[1:3, 1:3, 1] = 1
    mask = np.repeat(truth[:, :, 1:2], 3, axis=2)
    for folder, array in (("truth", truth), ("masks", mask)):
        (tmp_path / folder).mkdir()
        nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / folder / "a.nii.gz")
    plain = measure.score(tmp_path / "truth", tmp_path / "masks")
    gated = measure.score(tmp_path / "truth", tmp_path / "masks", measure._gated)
    assert plain["a"]["Dice"] == 0.5 and gated["a"]["Dice"] == 1.0
