"""Plans in which another model's weights fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nnunet_prompt.common.errors import DatasetError, ModelError
from nnunet_prompt.weights.adapt import AdaptOptions, adapt_checkpoint
from nnunet_prompt.weights.source_plan import SourcePlanOptions, write_source_plans
from tests.weights.sources import (
    DATASET_ID,
    checkpoint_in,
    edit,
    nninteractive_model,
    nnssl_checkpoint,
    nnunet_folders,
    planned_dataset,
    plans_of,
    source_dataset,
    source_plans,
    trained_model,
)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nnunet_folders(tmp_path, monkeypatch)


def ct_model(root: Path) -> Path:
    """A residual U-Net for CT with settings of its own."""
    plans = source_plans("residual")
    settings = plans["configurations"]["3d_fullres"]
    settings["patch_size"], settings["spacing"] = [16, 16, 16], [1.5, 1.5, 1.5]
    settings["normalization_schemes"], settings["use_mask_for_norm"] = ["CTNormalization"], [False]
    settings["batch_size"] = 24
    settings["architecture"]["arch_kwargs"]["features_per_stage"] = [6, 8, 10]
    plans["foreground_intensity_properties_per_channel"] = {"0": {"mean": 40.0, "std": 9.0}}
    return trained_model(root / "source", plans, source_dataset(("CT",)))


def test_the_source_fits_into_its_plans(tmp_path: Path) -> None:
    source = ct_model(tmp_path)
    folder = planned_dataset(tmp_path, plans_of("plain"))
    base = json.loads((folder / "nnUNetPlans.json").read_text())
    with pytest.raises(ModelError, match="weights plan"):
        adapt_checkpoint(source, DATASET_ID, tmp_path / "start.pth")
    written = write_source_plans(source, DATASET_ID)
    assert written == folder / "nnUNetPlans_nnunet.json"
    plans = json.loads(written.read_text())
    assert plans["plans_name"] == "nnUNetPlans_nnunet"
    assert plans["dataset_name"] == base["dataset_name"]
    assert plans["transpose_forward"] == base["transpose_forward"]
    assert plans["foreground_intensity_properties_per_channel"] == {"0": {"mean": 40.0, "std": 9.0}}
    settings = plans["configurations"]["3d_fullres"]
    assert settings["patch_size"] == [16, 16, 16] and settings["spacing"] == [1.5, 1.5, 1.5]
    assert settings["normalization_schemes"] == ["CTNormalization"]
    assert settings["batch_size"] == 2
    assert settings["data_identifier"] == "nnUNetPlans_nnunet_3d_fullres"
    assert settings["architecture"]["arch_kwargs"]["features_per_stage"] == [6, 8, 10]
    assert json.loads((folder / "nnUNetPlans.json").read_text()) == base
    report = adapt_checkpoint(
        source,
        DATASET_ID,
        tmp_path / "start.pth",
        options=AdaptOptions(plans="nnUNetPlans_nnunet"),
    )
    assert report.warnings == () and report.counts["new"] == 0


def test_weights_of_nninteractive_are_planned_as_its_viewers_serve_them(tmp_path: Path) -> None:
    source = nninteractive_model(tmp_path / "source")
    base = plans_of("residual")
    base |= {"transpose_forward": [1, 0, 2], "transpose_backward": [1, 0, 2]}
    base["configurations"]["3d_fullres"]["use_mask_for_norm"] = [True]
    planned_dataset(tmp_path, base)
    plans = json.loads(write_source_plans(source, DATASET_ID).read_text())
    assert plans["transpose_forward"] == plans["transpose_backward"] == [0, 1, 2]
    assert plans["configurations"]["3d_fullres"]["use_mask_for_norm"] == [False]


def test_more_images_take_over_their_channels_settings(tmp_path: Path) -> None:
    source = ct_model(tmp_path)
    planned_dataset(tmp_path, plans_of("plain"), channels=2)
    options = SourcePlanOptions(name="theirs", batch_size=3)
    plans = json.loads(write_source_plans(source, DATASET_ID, options=options).read_text())
    settings = plans["configurations"]["3d_fullres"]
    assert settings["normalization_schemes"] == ["CTNormalization"] * 2
    assert settings["use_mask_for_norm"] == [False] * 2 and settings["batch_size"] == 3
    assert list(plans["foreground_intensity_properties_per_channel"]) == ["0", "1"]


def test_an_encoder_brings_what_its_adaptation_plan_tells(tmp_path: Path) -> None:
    source = nnssl_checkpoint(tmp_path / "c.pth")
    planned_dataset(tmp_path, plans_of("plain"))
    written = write_source_plans(source, DATASET_ID)
    settings = json.loads(written.read_text())["configurations"]["3d_fullres"]
    assert written.stem == "nnUNetPlans_nnssl"
    assert settings["patch_size"] == [8, 16, 16] and settings["spacing"] == [1.0, 1.0, 1.0]
    report = adapt_checkpoint(
        source, DATASET_ID, tmp_path / "s.pth", options=AdaptOptions(plans=written.stem)
    )
    assert report.counts["new"] > 0


def test_classes_that_are_not_torchs_are_refused(tmp_path: Path) -> None:
    """nnU-Net imports by name whatever plans say."""
    source = ct_model(tmp_path)

    def foreign(content: dict[str, Any]) -> None:
        settings = content["init_args"]["plans"]["configurations"]["3d_fullres"]
        settings["architecture"]["arch_kwargs"]["nonlin"] = "evil.module.Function"

    edit(checkpoint_in(source), foreign)
    planned_dataset(tmp_path, plans_of("plain"))
    with pytest.raises(ModelError, match=r"refused, its plans name the class evil\.module"):
        write_source_plans(source, DATASET_ID)


def test_plans_that_forget_a_channel(tmp_path: Path) -> None:
    source = ct_model(tmp_path)

    def forgetful(content: dict[str, Any]) -> None:
        content["init_args"]["dataset_json"]["channel_names"] = {"0": "CT", "1": "PET"}
        weights = content["network_weights"]
        for name in [n for n in weights if "encoder.stem" in n and weights[n].ndim == 5]:
            weights[name] = weights[name].repeat(1, 2, 1, 1, 1)

    edit(checkpoint_in(source), forgetful)
    planned_dataset(tmp_path, plans_of("plain"), channels=2)
    with pytest.raises(ModelError, match="1 normalization_schemes, expected one per image"):
        write_source_plans(source, DATASET_ID)


def test_names_and_configurations_that_cannot_be(tmp_path: Path) -> None:
    source = ct_model(tmp_path)
    with pytest.raises(DatasetError, match="nnUNetv2_plan_and_preprocess -d 501"):
        write_source_plans(source, DATASET_ID)
    plans = plans_of("plain")
    plans["configurations"]["2d"] = plans_of("plain", configuration="2d")["configurations"]["2d"]
    plans["configurations"]["2d"]["patch_size"] = [8, 8]
    planned_dataset(tmp_path, plans)
    for name in ("nnUNetPlans", "a/b"):
        with pytest.raises(DatasetError, match="expected a file name other than"):
            write_source_plans(source, DATASET_ID, options=SourcePlanOptions(name=name))
    with pytest.raises(ModelError, match="3 dimensions, expected 2"):
        write_source_plans(source, DATASET_ID, options=SourcePlanOptions(configuration="2d"))
    with pytest.raises(ModelError, match="'other'"):
        write_source_plans(source, DATASET_ID, options=SourcePlanOptions(configuration="other"))
