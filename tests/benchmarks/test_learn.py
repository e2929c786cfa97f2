"""The benchmark of learning: which rows it has, its wrong supports, and what its table holds against what is asked."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="only in a checkout")


def module(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for other in ("learn", "learn_report", "left_out", "real", "harness"):
        monkeypatch.delitem(sys.modules, other, raising=False)
    return importlib.import_module(name)


def result(dice: float, kind: str) -> dict[str, Any]:
    return {
        "dice": {"a": dice - 0.1, "b": dice + 0.1},
        "kind": kind,
        "left out": {"lora": 0.5, "decoder": 0.25},
        "iterations": 100,
        "seconds": 60.0,
        "cpu seconds": 45.0,
        "bytes": 123_456,
    }


def test_the_table_compares_with_full_training_and_fixed_kinds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = module("learn_report", monkeypatch).report(
        {
            "iterations": 100,
            "test": 2,
            "missing": ["lora, k = 5, draw 0"],
            "full": {"plain": 0.8, "ours": 0.7},
            "rows": {
                "learn, k = 5, draw 0": result(0.7, "lora"),
                "decoder, k = 5, draw 0": result(0.72, "decoder"),
                "learn, random place, k = 5, draw 0": result(0.1, "lora"),
                "atlas, k = 5": {"dice": {"a": 0.5}, "prompted dice": {"a": 0.6}},
            },
        }
    )
    lines = text.splitlines()
    assert lines[-1] == "Not measured: lora, k = 5, draw 0."
    assert "| learn, k = 5, draw 0 | lora | 0.7000 | 0.500 | 100 | 45 | 60 | 123 |" in lines
    assert "| atlas, k = 5 | 0.5000 | 0.6000 |" in lines
    assert "| learn, draw 0: 0.85 of plain | 0.6800 | 0.7000 | met |" in lines
    assert (
        "| learn, draw 0: best single kind of as many iterations - 0.01 | 0.7100 | 0.7000 |"
        " **missed by 0.0100** |"
    ) in lines


def test_supports_are_nested_and_wrong_as_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    learn = module("learn", monkeypatch)
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1, 1:3, 2], labels[3, 4, 5] = learn.VALUE, learn.OTHER
    names = tuple(f"case_{i:02d}" for i in range(20))
    for name in names:
        (tmp_path / "labels").mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(labels, np.eye(4)), tmp_path / "labels" / f"{name}.nii.gz")
    place = learn.Place(tmp_path, tmp_path / "images", tmp_path / "labels", tmp_path / "out", names)
    assert set(learn.drawn(place, 3, 0)) < set(learn.drawn(place, 5, 0)) <= set(place.pool)
    assert not set(place.pool) & set(place.test)
    written = {}
    for support in ("right", "random place", "wrong structure"):
        row = learn.Row(f"learn, {support}", 2, 0, support=support)
        folder = learn.write_support(row, place)
        written[support] = [np.asarray(nib.load(p).dataobj) for p in (folder / "labels").iterdir()]
        assert len(list((folder / "images").iterdir())) == 2
    assert all(np.array_equal(one == 2, labels == learn.VALUE) for one in written["right"])
    assert all((one == 2).sum() == 2 for one in written["random place"])
    assert any(not np.array_equal(one == 2, labels == 2) for one in written["random place"])
    assert all(np.array_equal(one == 2, labels == 1) for one in written["wrong structure"])


def test_every_row_has_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [row.key for row in module("learn", monkeypatch).rows(2)]
    assert len(set(keys)) == len(keys) == 15
    assert {"learn, k = 1, draw 0", "learn, k = 8, draw 0", "lora, k = 5, draw 1"} < set(keys)
