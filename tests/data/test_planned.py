"""Planned data sets by id or name, and what is told where nnU-Net would end in a traceback."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.planned import dataset_folder, open_planned, refuse_cascade, settings_in
from tests.helpers.each import each
from tests.helpers.models import PLANS, hand_made_plans
from tests.helpers.planned import DATASET, write_planned


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_planned(tmp_path)


def refusal(wanted: str = "501", plans: str = PLANS, configuration: str = "3d_fullres") -> str:
    with pytest.raises(DatasetError) as caught:
        open_planned(wanted, plans, configuration).cases()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@each("wanted", ["501", "0501", DATASET, f"{DATASET}/"])
def test_by_id_and_by_name(folder: Path, wanted: str) -> None:
    found = open_planned(wanted, PLANS, "3d_fullres")
    assert (found.folder, found.dataset_id) == (folder, "501")
    assert found.cases() == [f"c{n}" for n in range(6)]
    assert found.data == folder / "nnUNetPlans_3d_fullres"


@each(
    ("wanted", "said"),
    [
        ("51", "data set 51: not in"),
        ("51", "there are Dataset501_Tiny"),
        ("Dataset501_Tyni", "did you mean Dataset501_Tiny?"),
        ("dataset501_tiny", "did you mean Dataset501_Tiny?"),
        ("Tiny", "expected an id such as 901, or a name"),
        ("", "expected an id"),
        ("-1", "expected an id"),
        ("5.1", "expected an id"),
    ],
)
def test_a_data_set_that_is_not_there(folder: Path, wanted: str, said: str) -> None:
    assert said in refusal(wanted)


@each("wanted", ["502", "Dataset502_Other"])
def test_a_raw_data_set_is_to_be_planned_first(folder: Path, wanted: str) -> None:
    (Path(os.environ["nnUNet_raw"]) / "Dataset502_Other").mkdir()
    assert "run `nnUNetv2_plan_and_preprocess -d 502` first" in refusal(wanted)


@each("variable", ["nnUNet_raw", "nnUNet_results", "nnUNet_preprocessed"])
def test_an_id_of_two_names(folder: Path, variable: str) -> None:
    (Path(os.environ[variable]) / "Dataset501_Other").mkdir()
    message = refusal()
    assert "Dataset501_Other in " in message and "give the name" in message
    assert dataset_folder(DATASET) == folder


def test_folders_that_are_not_there(folder: Path) -> None:
    os.environ["nnUNet_preprocessed"] = "/nowhere"
    assert refusal() == "nnUNet_preprocessed: /nowhere: no such folder"


def test_plans_that_are_not_there(folder: Path) -> None:
    assert "did you mean tinyPlans?" in refusal(plans="tinyPlan")
    assert "there are tinyPlans" in refusal(plans="nnUNetResEncUNetLPlans")
    (folder / f"{PLANS}.json").unlink()
    assert "run `nnUNetv2_plan_and_preprocess -d 501` first" in refusal()


@each("text", ["", "{", "[]", "{}", '{"configurations": {}}'])
def test_plans_that_are_none(folder: Path, text: str) -> None:
    (folder / f"{PLANS}.json").write_text(text)
    assert f"{PLANS}.json" in refusal()


@each("name", ["dataset.json", "dataset_fingerprint.json"])
def test_a_file_that_nnunet_copies(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"{name}: no such file" in refusal()


@each(
    ("configuration", "said"),
    [
        ("3d_fulres", "did you mean 3d_fullres?"),
        ("4d", "there are 2d, 3d_fullres"),
        ("bigger", "there are 2d, 3d_fullres"),
        ("3d_cascade_fullres", "has no cascade, as nnU-Net plans one only where"),
    ],
)
def test_a_configuration_that_is_not_there(folder: Path, configuration: str, said: str) -> None:
    assert said in refusal(configuration=configuration)


def test_what_a_configuration_inherits() -> None:
    plans = hand_made_plans()
    plans["configurations"]["mine"] = {"inherits_from": "3d_fullres", "batch_size": 9}
    settings = settings_in(plans, "mine", "here")
    assert (settings["batch_size"], settings["data_identifier"]) == (9, "nnUNetPlans_3d_fullres")
    plans["configurations"]["mine"]["inherits_from"] = "nothing"
    with pytest.raises(DatasetError, match="configuration nothing: not in here"):
        settings_in(plans, "mine", "here")
    plans["configurations"]["mine"]["inherits_from"] = "mine"
    with pytest.raises(DatasetError, match="configuration mine: not in here"):
        settings_in(plans, "mine", "here")


def test_a_cascade_is_refused() -> None:
    plans = hand_made_plans()
    plans["configurations"]["low"] = {"inherits_from": "3d_fullres", "previous_stage": "2d"}
    with pytest.raises(DatasetError, match="cascades are not supported"):
        refuse_cascade(plans, "low")
    refuse_cascade(plans, "2d")


def test_nothing_preprocessed(folder: Path) -> None:
    expected = f"run `nnUNetv2_preprocess -d 501 -plans_name {PLANS} -c 2d` first"
    assert expected in refusal(configuration="2d")
    (folder / "nnUNetPlans_2d").mkdir()
    assert expected in refusal(configuration="2d")


def test_files_that_nnunet_would_take_for_cases(folder: Path) -> None:
    (folder / "nnUNetPlans_3d_fullres/c0.npz").write_bytes(b"")
    assert "expected cases in one format" in refusal()
    (folder / "nnUNetPlans_3d_fullres/notes.txt").write_bytes(b"")
    assert "notes.txt: not a preprocessed case" in refusal()


def test_the_description_is_read(folder: Path) -> None:
    found = open_planned("501", PLANS, "2d")
    assert found.dataset_json == json.loads((folder / "dataset.json").read_text())
