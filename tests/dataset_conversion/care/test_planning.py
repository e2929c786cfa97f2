"""nnU-Net plans and preprocesses the unified data set, with resampling and without."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.dataset_conversion.care.unify import plan_dataset, unify
from tests.dataset_conversion.care.downloads import SECRETS, make_downloads
from tests.helpers.tiny_data import nnunet_environment

BOTH = ("nnUNetPlans", "nnUNetPromptPlansNoResampling")


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_folders_that_are_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatasetError, match="nnUNet_raw is not set"):
        plan_dataset(510)
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    with pytest.raises(DatasetError, match="nnUNet_preprocessed is not set"):
        plan_dataset(510)


def test_a_data_set_that_nnunet_does_not_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
        (tmp_path / name).mkdir()
    with pytest.raises(DatasetError, match=r"data set 510: nnU-Net cannot plan it") as caught:
        plan_dataset(510)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("unified")
    folders = {f"nnUNet_{n}": str(root / n) for n in ("raw", "preprocessed", "results")}
    # no workers: nnU-Net's own planner cannot do with none
    return {**folders, "nnUNet_def_n_proc": "1", "nnUNet_n_proc_DA": "0", "nnUNet_compile": "f"}


@pytest.fixture(scope="module")
def planned(variables: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of plans, of which each has preprocessed its data."""
    with nnunet_environment(variables):
        from nnunetv2.experiment_planning import plan_and_preprocess_api as api

        unify(make_downloads(tmp_path_factory.mktemp("downloads")).all, 510)
        assert os.environ["nnUNet_n_proc_DA"] == "0"
        for plans in BOTH:
            api.preprocess([510], plans, ("3d_fullres",), (1,), show_progress_bar=False)
    return Path(variables["nnUNet_preprocessed"]) / "Dataset510_CARE"


@pytest.mark.slow
def test_both_plans_have_data_of_their_own(planned: Path) -> None:
    cases = set(read(planned / "dataset.json")["nnunet_prompt"]["cases"])
    for plans in BOTH:
        settings = read(planned / f"{plans}.json")["configurations"]["3d_fullres"]
        folder = planned / settings["data_identifier"]
        assert folder.name == f"{plans}_3d_fullres"
        files = {p.name.split(".")[0] for p in folder.glob("case*.pkl")}
        assert files == cases
        assert settings["normalization_schemes"] == ["ZScoreNormalization"]
    without = read(planned / f"{BOTH[1]}.json")
    assert without["transpose_forward"] == [0, 1, 2]


@pytest.mark.slow
def test_without_resampling_every_case_keeps_its_voxels(planned: Path) -> None:
    shapes = {}
    for plans in BOTH:
        folder = planned / f"{plans}_3d_fullres"
        loaded = (
            np.load(p.with_suffix(".npz"))["data"].shape
            if p.with_suffix(".npz").exists()
            else _blosc2_shape(p.with_suffix(".b2nd"))
            for p in sorted(folder.glob("case*.pkl"))
        )
        shapes[plans] = {shape[1:] for shape in loaded}
    # (slices, rows, columns): short-axis stacks, hearts and livers, atria
    assert shapes[BOTH[1]] == {(3, 6, 8), (4, 10, 8)}
    assert shapes[BOTH[0]] != shapes[BOTH[1]]


@pytest.mark.slow
def test_nnunet_finds_the_folds_and_draws_by_weight(
    planned: Path, variables: dict[str, str]
) -> None:
    splits = read(planned / "splits_final.json")
    plans, described = read(planned / f"{BOTH[0]}.json"), read(planned / "dataset.json")
    with nnunet_environment(variables):
        import torch
        from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

        from nnunet_prompt.training.trainer import PromptTrainer

        for fold in (0, 7):
            stock, ours = (
                trainer(
                    {**plans, "continue_training": False},
                    "3d_fullres",
                    fold,
                    described,
                    torch.device("cpu"),
                )
                for trainer in (nnUNetTrainer, PromptTrainer)
            )
            train, val = stock.do_split()
            assert (train, val) == (splits[fold]["train"], splits[fold]["val"])
            ours.get_tr_and_val_datasets()
            assert len(ours._chances) == len(train) and sum(ours._chances) == pytest.approx(1)
            assert ours._chances[0] * sum(
                described["nnunet_prompt"]["cases"][c]["weight"] for c in train
            ) == pytest.approx(described["nnunet_prompt"]["cases"][train[0]]["weight"])


@pytest.mark.slow
def test_planning_again_keeps_fingerprint_and_splits(
    planned: Path, variables: dict[str, str]
) -> None:
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    kept = ["dataset_fingerprint.json", "splits_final.json"]
    before = {name: (planned / name).stat().st_mtime_ns for name in kept}
    content = {name: read(planned / f"{name}.json") for name in BOTH}
    with nnunet_environment(variables), mock.patch.object(api, "plan_experiments") as planning:
        plan_dataset(510)
    planning.assert_called_once_with([510])
    assert {name: (planned / name).stat().st_mtime_ns for name in kept} == before
    # as nnUNetv2_plan_and_preprocess does it
    with nnunet_environment({**variables, "nnUNet_n_proc_DA": "1"}):
        api.extract_fingerprints([510], num_processes=1, clean=True, show_progress_bar=False)
        api.plan_experiments([510])
    assert (planned / "splits_final.json").stat().st_mtime_ns == before["splits_final.json"]
    assert {name: read(planned / f"{name}.json") for name in BOTH} == content


@pytest.mark.slow
def test_a_fingerprint_of_other_cases_is_taken_again(
    planned: Path, variables: dict[str, str]
) -> None:
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    path = planned / "dataset_fingerprint.json"
    good = path.read_text()
    for bad in ("{", json.dumps({**json.loads(good), "spacings": []})):
        path.write_text(bad)
        with nnunet_environment(variables), mock.patch.object(api, "plan_experiments"):
            plan_dataset(510)
        assert len(read(path)["spacings"]) == 16


@pytest.mark.slow
def test_nothing_in_the_folder_tells_who_it_was(planned: Path) -> None:
    for path in planned.glob("*.json"):
        text = path.read_text()
        assert [s for s in SECRETS if s in text] == [], path.name


def _blosc2_shape(path: Path) -> tuple[int, ...]:
    import blosc2

    return tuple(blosc2.open(urlpath=str(path), mode="r").shape)
