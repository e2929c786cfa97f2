"""The parts of the inference benchmark; the sides themselves are run by hand."""

from __future__ import annotations

import importlib
import itertools
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.each import each

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="only in a checkout")
MODULES = ("tasks", "phantoms", "models", "clock", "steps", "report")


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("harness", "inference", *(f"inference.{name}" for name in MODULES)):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return {name: importlib.import_module(f"inference.{name}") for name in MODULES}


@each("number", range(5))
def test_cases_have_the_real_sizes_and_every_label(parts: dict[str, Any], number: int) -> None:
    tasks, phantoms = parts["tasks"], parts["phantoms"]
    task = tasks.TASKS[number]
    shapes = [(512, 512, 224), (256, 256, 10), (400, 400, 90), (576, 576, 44), (512, 512, 800)]
    assert task.shape == shapes[number]
    coarse = replace(
        tasks.small(task),
        coarse=(2, 2, 1) if task.shape[2] > 10 else (1, 1, 1),
    )
    labels, images = phantoms.draw(coarse, np.random.default_rng(0))
    assert labels.shape == tasks.coarse_shape(coarse) == images.shape[1:]
    assert len(images) == len(task.channels)
    assert set(np.unique(labels)) == {0, *task.values.values()}
    fine, refined = phantoms.refine(coarse, labels, images, np.random.default_rng(1))
    assert fine.shape == refined.shape[1:] == coarse.shape
    assert np.array_equal(fine[:: coarse.coarse[0], :: coarse.coarse[1]], labels)
    assert refined.min() >= 1


def test_the_plans_of_a_small_machine(parts: dict[str, Any], tmp_path: Path) -> None:
    tasks, models = parts["tasks"], parts["models"]
    patches = []
    for task in tasks.TASKS:
        made = models.planned(task, tmp_path, voxels=False, reduced=True)
        settings = made["configurations"]["3d_fullres"]
        patches.append(settings["patch_size"])
        assert settings["architecture"]["arch_kwargs"]["features_per_stage"] == [8, 16, 32, 64]
    assert patches == [
        [64, 128, 128],
        [10, 256, 256],
        [48, 144, 144],
        [24, 208, 208],
        [64, 128, 128],
    ]
    whole = models.planned(tasks.TASKS[0], tmp_path, voxels=True, reduced=True)
    settings = whole["configurations"]["3d_fullres"]
    assert settings["patch_size"] == [96, 112, 112]
    assert settings["spacing"] == [0.71, 0.5, 0.5]
    assert settings["resampling_fn_data"] == "no_resampling_hack"


def test_the_default_plans_fit_their_strides(parts: dict[str, Any]) -> None:
    tasks = parts["tasks"]
    made = [tasks.plans(task, voxels=False, reduced=False) for task in tasks.TASKS]
    patches = [m["configurations"]["3d_fullres"]["patch_size"] for m in made]
    assert [tuple(p) for p in patches] == [task.patch for task in tasks.TASKS]
    voxels = tasks.plans(tasks.TASKS[0], voxels=True, reduced=False)
    assert voxels["configurations"]["3d_fullres"]["patch_size"] == [96, 128, 128]


def test_patches_show_structures_and_are_refined_for_the_model_of_voxels(
    parts: dict[str, Any],
) -> None:
    data = np.arange(6 * 8 * 4, dtype=np.float32).reshape(1, 6, 8, 4)
    seg = np.zeros((1, 6, 8, 4), np.int8)
    seg[0, 4, 6, 1] = 1
    drawn = list(
        itertools.islice(parts["models"].patches([(data, seg)], (4, 4, 6), voxels=(2, 2, 2)), 40)
    )
    assert {d.shape for d, _ in drawn} == {(1, 4, 4, 6)}
    counts = {int(s.sum()) for _, s in drawn}
    assert {1, 8} <= counts  # as drawn, and refined
    plain = list(
        itertools.islice(parts["models"].patches([(data, seg)], (4, 4, 6), voxels=None), 9)
    )
    for image, _ in plain:  # longer than the volume along the last axis
        assert not image[..., 4:].any()


def test_a_file_has_the_axes_of_a_scanner(parts: dict[str, Any], tmp_path: Path) -> None:
    import nibabel as nib

    task = replace(parts["tasks"].TASKS[0], spacing_mm=(1.0, 2.0, 3.0))
    drawn = np.arange(24, dtype=np.float32).reshape(2, 3, 4)  # posterior, left, superior
    parts["steps"].write(tmp_path / "a.nii.gz", parts["steps"].to_file(drawn), task)
    image = nib.load(tmp_path / "a.nii.gz")
    assert nib.aff2axcodes(image.affine) == ("L", "P", "S")
    assert image.header.get_zooms() == (2.0, 1.0, 3.0)
    assert np.array_equal(np.asarray(image.dataobj), drawn.transpose(1, 0, 2))


def test_agreement(parts: dict[str, Any]) -> None:
    a, b = np.array([1, 1, 2, 0]), np.array([1, 0, 2, 0])
    found = parts["steps"].agreement(a, b, [1, 2, 3])
    assert found["1"] == {"voxels": 1, "same": False, "dice": pytest.approx(2 / 3)}
    assert found["2"] == {"voxels": 1, "same": True, "dice": 1.0}
    assert found["3"] == {"voxels": 0, "same": True, "dice": 1.0}


def test_the_clock_counts_tiles(parts: dict[str, Any]) -> None:
    import torch

    clock, network = parts["clock"].Clock(), torch.nn.Identity()
    with parts["clock"].watched(clock, network), clock.part("network"):
        network(torch.zeros(3, 1))
        network(torch.zeros(1, 1))
    network(torch.zeros(9, 1))  # nobody watches
    assert clock.found()["tiles"] == 4
    assert clock.forward > 0 and clock.seconds["network"] > 0 == clock.seconds["read"]


def side(total: float, **more: Any) -> dict[str, Any]:
    parts = {"read": 0.1 * total, "preprocess": 0.0, "network": 0.7 * total, "export": 0.2 * total}
    return {"parts": parts, "total": total, "forward": total / 2, "tiles": 4, "peak": 2e9} | more


def result() -> dict[str, Any]:
    ours = {
        "by_label": {"1": 2, "2": 3}, "grown": {"1": 0, "2": 1}, "drawing": 0.03
    }  # fmt: skip
    alike = {
        "1": {"voxels": 9000, "same": True, "dice": 1.0},
        "2": {"voxels": 5000, "same": False, "dice": 0.97},
    }
    return {
        "title": "left atrium, two labels",
        "machine": "M",
        "about": {"shape": [4, 5, 6], "prompts": 7, "labelled": 0.1, "box": 0.5, "boxes": 0.2},
        "models": {
            "plain": {
                "parameters": 350_000, "patch": [2, 3, 4], "iterations": 5, "device": "CPU", "threads": 2
            }
        },
        "sides": {"stock": side(10), "full": side(5), "ours": side(3, **ours)},
        "left_out": {"nninteractive": "left out: install it"},
        "all_tiles": ["1"],
        "scores": {
            "dice": {"ours": {"1": 0.9, "2": 0.8}, "full": {"1": 0.9, "2": 0.81}},
            "ours_full": alike,
        },
    }  # fmt: skip


def test_the_bars(parts: dict[str, Any]) -> None:
    report = parts["report"]
    several = [*report.bars("LeftAtrium", result()), *report.recentred_bars(result())]
    bars = {b.what: b for b in several}
    time = bars["left atrium: time, (d) ours / (a) stock nnU-Net, automatic"]
    assert time.value == pytest.approx(0.3) and time.met
    assert time.note == "network 70%, export 20%, read 10%, preprocess 0%"
    assert bars["left atrium: rasterising / forward passes"].value == pytest.approx(0.02)
    same = bars["left atrium: all lattice tiles, same mask as the full window"]
    assert same.value == 1 and same.met and same.note == "1 of 2 labels"
    lost = bars["left atrium: fewer tiles, Dice to the reference lost"]
    assert lost.value == pytest.approx(0.01) and not lost.met
    lowest = bars["left atrium: lowest Dice with the full window"]
    assert lowest.value == 0.97 and not lowest.met
    assert "| at least 0.98 | **missed** |" in lowest.row()


def test_the_labels_with_all_tiles_of_the_full_window(parts: dict[str, Any]) -> None:
    all_tiles = parts["report"].all_tiles
    full = {"windows": {"1": [[0, 0, 8], [0, 4, 8]], "2": [[0, 0, 0], [0, 4, 8]]}}
    ours = {
        "windows": {"1": [[0, 4, 8], [0, 0, 8]], "2": [[0, 0, 0]]},
        "grown": {"1": 0, "2": 1},
    }
    assert all_tiles(ours, full) == ["1"]
    full["windows"]["2"] = [[0, 0, 0]]
    assert all_tiles(ours, full) == ["1"]  # the other one grew
    ours["grown"]["2"] = 0
    assert all_tiles(ours, full) == ["1", "2"]


def test_nothing_is_compared_without_the_full_window(parts: dict[str, Any]) -> None:
    alone = result() | {"all_tiles": None}
    assert not any("full window" in b.what for b in parts["report"].bars("LeftAtrium", alone))
    assert list(parts["report"].recentred_bars(alone)) == []


def test_the_report(parts: dict[str, Any]) -> None:
    row = {
        "case": "c", "label": 1, "voxels": 2000, "tiles": [1, 2, 4], "all_tiles": False,
        "same": False, "agreement": 0.99, "dice": [0.9, 0.904],
    }  # fmt: skip
    real = {"Dataset802_SunnybrookLV": {"rows": [row], "patch": [10, 56, 56]}}
    text = parts["report"].report({"LeftAtrium": result(), "real": real})
    assert "| (c) nnInteractive | left out: install it |" in text
    assert (
        "| (a) stock nnU-Net, automatic | 10.00 | 1.00 | 0.00 | 7.00 | 2.00 | 5.00 | 4 | 2.00 |  |"
        in text
    )
    assert "Tiles by label, (d) ours: 1: 2, 2: 3 (1 added at borders)." in text
    assert "| left atrium: lowest Dice" not in text  # the real images tell more
    assert "With 5 iterations of training: lowest Dice with the full window 0.9700" in text
    assert "| left atrium: lowest Dice" in parts["report"].report({"LeftAtrium": result()})
    assert (
        "| SunnybrookLV: lowest Dice with the full window | 0.990 | at least 0.98 | met |" in text
    )
    assert "| SunnybrookLV | 10 x 56 x 56 | 1 | 1 | 2 | 4 | 0.9000 | 0.9040 |" in text


def test_an_empty_report(parts: dict[str, Any]) -> None:
    assert parts["report"].report({}).startswith("# The cost of an answer\n")


@pytest.fixture
def script(parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The benchmark itself, with a record of an earlier run."""
    monkeypatch.delitem(sys.modules, "inference.__main__", raising=False)
    module = importlib.import_module("inference.__main__")
    monkeypatch.setattr(sys.modules["harness"], "RESULTS", tmp_path)
    (tmp_path / "inference.json").write_text('{"Liver": {}}')
    return module


def test_a_task_that_is_not_there_is_no_old_table(
    script: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["inference.py", "--tasks", "Livr"])
    with pytest.raises(SystemExit, match="2"):
        script.main()
    seen = capsys.readouterr()
    assert seen.out == "" and "no task 'Livr'; did you mean Liver?" in seen.err


def test_a_folder_without_models_is_no_old_table(
    script: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(sys, "argv", ["inference.py", "--real", str(tmp_path), "--tasks", "Liver"])
    monkeypatch.setattr(script, "measure", lambda *_: {})
    assert script.main() == 1
    assert "holds no trained model" in " ".join(capsys.readouterr().out.split())
