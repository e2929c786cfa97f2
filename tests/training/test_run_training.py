"""Whole trainings through nnU-Net's own `run_training`, on the tiny data set."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from nnunet_prompt.networks.capability import read_capability
from nnunet_prompt.networks.checkpoint import read_checkpoint
from nnunet_prompt.training.validation_prompts import VALIDATION_KINDS, folder_name, is_gated
from tests.helpers.models import PLANS
from tests.helpers.schemas import check_form
from tests.helpers.tiny_data import NAMES, TinyData, tiny_data, train, trained

pytestmark = pytest.mark.slow

CONFIGURATIONS = ("2d", "3d_fullres")


@pytest.fixture(scope="module", params=CONFIGURATIONS)
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TinyData, str]:
    """The data set and the configuration that was trained on it with the demo recipe."""
    data, _ = trained(tmp_path_factory, request.param)
    return data, request.param


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TinyData:
    return tiny_data(tmp_path_factory)


def demo_folder(model: tuple[TinyData, str]) -> Path:
    data, configuration = model
    return data.model("nnUNetTrainerPromptDemo", configuration)


def summary_of(folder: Path) -> Any:
    return json.loads((folder / "fold_0" / "validation" / "summary.json").read_text())


def test_nnunets_files_and_ours_are_there(model: tuple[TinyData, str]) -> None:
    folder = demo_folder(model)
    for name in (
        "plans.json",
        "dataset.json",
        "prompt_capability.json",
        "fold_0/checkpoint_final.pth",
        "fold_0/checkpoint_best.pth",
        "fold_0/progress.png",
        "fold_0/debug.json",
        "fold_0/validation/summary.json",
    ):
        assert (folder / name).stat().st_size > 0, name
    assert not (folder / "fold_0" / "checkpoint_latest.pth").exists()
    check_form("summary", folder / "fold_0" / "validation" / "summary.json")
    check_form("prompt_capability", folder / "prompt_capability.json")
    capability = read_capability(folder)
    assert capability.grid_spacing == {"2d": (1.5, 1.25), "3d_fullres": (4.0, 1.5, 1.25)}[model[1]]
    assert capability.slice_axis == 0
    (log,) = (folder / "fold_0").glob("training_log_*.txt")
    text = log.read_text()
    assert "Pseudo dice" in text and "Mean Validation Dice (box + points in slices)" in text


def test_the_summary_has_nnunets_keys_and_every_kind_of_prompt(model: tuple[TinyData, str]) -> None:
    folder = demo_folder(model)
    summary = summary_of(folder)
    assert set(summary) >= {"foreground_mean", "mean", "metric_per_case", "prompt_kinds"}
    assert tuple(summary["prompt_kinds"]) == VALIDATION_KINDS
    assert summary["prompt_kinds"]["none"]["mean"] == summary["mean"]
    assert summary["structures"] == {"1": "ball", "2": "shell", "3": "core"}
    for kind in VALIDATION_KINDS:
        means = summary["prompt_kinds"][kind]["mean"]
        assert set(means) == {"1", "2", "3"}
        dice = [means[label]["Dice"] for label in means]
        foreground = summary["prompt_kinds"][kind]["foreground_mean"]["Dice"]
        assert foreground == pytest.approx(np.mean(dice))
        assert set(means["1"]) >= {"Dice", "HD", "HD95"}
        assert summary["prompt_kinds"][kind]["gated"] == is_gated(kind)
    partly, full = summary["metric_per_case"]
    assert (partly["case"], full["case"]) == NAMES[4:]
    assert set(partly["metrics"]) == {"1"}  # it annotates the first structure only
    assert set(full["metrics"]) == {"1", "2", "3"}
    assert summary["mean"]["2"]["Dice"] == full["metrics"]["2"]["Dice"]

    from nnunetv2.evaluation.evaluate_predictions import load_summary_json

    read = load_summary_json(str(folder / "fold_0" / "validation" / "summary.json"))
    assert read["mean"][1] == summary["mean"]["1"]


def test_masks_lie_on_the_grid_of_the_files(model: tuple[TinyData, str]) -> None:
    data, _ = model
    validation = demo_folder(model) / "fold_0" / "validation"
    for folder in (".", *map(folder_name, VALIDATION_KINDS[1:])):
        for name in NAMES[4:]:
            mask = nib.load(validation / folder / f"{name}.nii.gz")
            truth = nib.load(data.raw / "labelsTr" / f"{name}.nii.gz")
            assert mask.shape == truth.shape
            assert np.allclose(mask.affine, truth.affine, atol=1e-4)
            found = set(np.unique(np.asarray(mask.dataobj)).tolist())
            asked = {0, 1} if folder != "." and name == NAMES[4] else {0, 1, 2, 3}
            assert found <= asked


def test_a_training_of_seconds_follows_prompts(model: tuple[TinyData, str]) -> None:
    folder = demo_folder(model)
    losses = read_checkpoint(folder / "fold_0" / "checkpoint_final.pth")["logging"]["train_losses"]
    assert losses[-1] < losses[0] - 0.3
    if model[1] == "3d_fullres":  # some seeds of the 2d training need longer
        kinds = summary_of(folder)["prompt_kinds"]
        assert kinds["box + points in slices"]["foreground_mean"]["Dice"] > 0.3


def test_nothing_that_travels_names_a_case(model: tuple[TinyData, str]) -> None:
    folder = demo_folder(model)
    travels = ["dataset.json", "plans.json", "prompt_capability.json", "dataset_fingerprint.json"]
    for name in [*travels, "fold_0/debug.json"]:
        text = (folder / name).read_text()
        assert not any(case in text or f"patient-of-{case}" in text for case in NAMES), name
    for path in (folder / "fold_0").glob("checkpoint_*.pth"):
        content = path.read_bytes()  # a zip without compression: strings are there as they are
        assert not any(case.encode() in content for case in NAMES), path.name
        assert "cases" not in read_checkpoint(path)["init_args"]["dataset_json"]["nnunet_prompt"]


def test_validation_can_be_run_again_and_gives_the_same(
    model: tuple[TinyData, str], capsys: pytest.CaptureFixture[str]
) -> None:
    data, configuration = model
    validation = demo_folder(model) / "fold_0" / "validation"
    before = json.loads((validation / "summary.json").read_text())
    shutil.move(validation, validation.with_name("first"))
    train(
        data,
        configuration,
        trainer="nnUNetTrainerPromptDemo",
        iterations=1,
        only_run_validation=True,
        export_validation_probabilities=True,
    )
    assert json.loads((validation / "summary.json").read_text()) == before
    assert "--npz is not supported" in capsys.readouterr().out
    shutil.rmtree(validation.with_name("first"))


def test_a_stopped_training_goes_on(model: tuple[TinyData, str]) -> None:
    data, configuration = model
    folder = data.model("nnUNetTrainerPromptCPU", configuration) / "fold_0"
    recipe = {"trainer": "nnUNetTrainerPromptCPU"}
    train(data, configuration, iterations=2, **recipe)
    first = read_checkpoint(folder / "checkpoint_final.pth")
    assert first["current_epoch"] == 1
    train(data, configuration, iterations=75, continue_training=True, **recipe)
    second = read_checkpoint(folder / "checkpoint_final.pth")
    assert second["current_epoch"] == 2
    losses = [one["logging"]["train_losses"] for one in (first, second)]
    assert len(losses[1]) == 2 and losses[1][0] == losses[0][0]
    assert losses[1][1] < losses[1][0]
    name = next(n for n in first["network_weights"] if n.endswith("weight"))
    assert not torch.equal(first["network_weights"][name], second["network_weights"][name])
    assert (folder / "validation" / "summary.json").is_file()


def test_the_best_checkpoint_can_be_validated(data: TinyData) -> None:
    train(data, "2d", trainer="nnUNetTrainerPromptCPU", iterations=2, val_with_best=True)
    assert summary_of(data.model("nnUNetTrainerPromptCPU", "2d"))["mean"]


def test_the_plain_baseline_is_stock_nnunet(data: TinyData) -> None:
    train(data, "2d", trainer="nnUNetTrainerPlainCPU", iterations=2)
    folder = data.model("nnUNetTrainerPlainCPU", "2d")
    checkpoint = read_checkpoint(folder / "fold_0" / "checkpoint_final.pth")
    stem = checkpoint["network_weights"]["encoder.stages.0.0.convs.0.conv.weight"]
    assert stem.shape[1] == 1
    assert checkpoint["inference_allowed_mirroring_axes"] is None
    assert not (folder / "prompt_capability.json").exists()
    assert set(summary_of(folder)["mean"]) == {"1", "2", "3"}
    assert not any(case in (folder / "dataset.json").read_text() for case in NAMES)


def test_an_ignore_label_trains(tmp_path_factory: pytest.TempPathFactory) -> None:
    data = tiny_data(tmp_path_factory, ignore=True)
    assert data.dataset_json()["labels"]["ignore"] == 4
    train(data, "3d_fullres", trainer="nnUNetTrainerPromptDemo", iterations=4)
    folder = data.model("nnUNetTrainerPromptDemo", "3d_fullres")
    checkpoint = read_checkpoint(folder / "fold_0" / "checkpoint_final.pth")
    assert np.isfinite(checkpoint["logging"]["train_losses"]).all()
    summary = summary_of(folder)
    assert set(summary["mean"]) == {"1", "2", "3"}
    for name in NAMES[4:]:
        mask = nib.load(folder / "fold_0" / "validation" / "box_in_slices" / f"{name}.nii.gz")
        assert np.asarray(mask.dataobj).max() <= 3


def test_stock_nnunet_is_refused_in_one_line(data: TinyData, tmp_path: Path) -> None:
    """`nnUNetv2_train` on regions and on a cascade: exit code 1 and a sentence, no traceback."""
    described, plans = data.dataset_json(), data.plans()
    regions = json.loads(json.dumps(described))
    regions["labels"]["both"] = [1, 2]
    regions["regions_class_order"] = [1, 2, 3, 4]
    plans["configurations"]["3d_cascade_fullres"] = {
        "inherits_from": "3d_fullres",
        "previous_stage": "3d_lowres",
    }
    runs = {}
    for name, content, configuration in (
        ("Dataset601_Regions", regions, "3d_fullres"),
        ("Dataset602_Cascade", described, "3d_cascade_fullres"),
    ):
        folder = tmp_path / "preprocessed" / name
        folder.mkdir(parents=True)
        (folder / "dataset.json").write_text(json.dumps(content))
        (folder / f"{PLANS}.json").write_text(json.dumps({**plans, "dataset_name": name}))
        command = "from nnunetv2.run.run_training import run_training_entry as run; run()"
        options = [name, configuration, "0", "-tr", "nnUNetTrainerPrompt", "-p", PLANS]
        runs[name] = subprocess.Popen(
            [sys.executable, "-c", command, *options, "-device", "cpu"],
            env={**_system(), **TinyData(tmp_path, name).variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
    for name, word in (("Dataset601_Regions", "'both'"), ("Dataset602_Cascade", "cascade")):
        _, errors = runs[name].communicate(timeout=120)
        assert runs[name].returncode == 1
        assert "Traceback" not in errors
        assert word in errors.strip().splitlines()[-1]


def _system() -> dict[str, str]:
    import os

    return {k: v for k, v in os.environ.items() if not k.startswith("nnUNet_")}
