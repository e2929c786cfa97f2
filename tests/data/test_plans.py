"""A reduced plan: thinner, smaller, and otherwise nnU-Net's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from nnunet_prompt.common.errors import DatasetError, OutputError
from nnunet_prompt.data.plans import ReduceOptions, _patch_size, no_resampling_plans, reduce_plans
from nnunet_prompt.data.side_file import SIDE_FILE
from tests.helpers.each import each
from tests.helpers.models import hand_made_plans

FEATURES = (4, 6, 8)


def nnunet_plans() -> dict[str, Any]:
    """Five stages, anisotropic; a residual encoder besides, and a cascade that inherits."""
    plans = hand_made_plans()
    plans["plans_name"] = "nnUNetPlans"
    big = plans["configurations"]["3d_fullres"]
    big.update(patch_size=[20, 160, 128], batch_size=2)
    architecture = big["architecture"]["arch_kwargs"]
    architecture.update(
        n_stages=5,
        features_per_stage=[32, 64, 128, 256, 320],
        strides=[[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2], [1, 2, 2]],
        kernel_sizes=[[1, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3]],
        n_conv_per_stage=[2, 2, 2, 3, 3],
        n_conv_per_stage_decoder=[2, 2, 2, 2],
    )
    residual = json.loads(json.dumps(big))
    kept = residual["architecture"]["arch_kwargs"]
    kept["n_blocks_per_stage"] = [1, 3, 4, 6, 6]
    del kept["n_conv_per_stage"]
    residual["architecture"]["network_class_name"] = (
        "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"
    )
    plans["configurations"]["residual"] = residual
    plans["configurations"]["3d_cascade_fullres"] = {
        "inherits_from": "3d_fullres",
        "previous_stage": "3d_lowres",
    }
    return plans


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path / "preprocessed"))
    folder = tmp_path / "preprocessed" / "Dataset042_Heart"
    folder.mkdir(parents=True)
    (folder / "nnUNetPlans.json").write_text(json.dumps(nnunet_plans()))
    return folder


def reduced(folder: Path, **options: Any) -> dict[str, Any]:
    path = reduce_plans(42, options=ReduceOptions(**{"features": FEATURES, **options}))
    assert path.parent == folder
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_stages_features_and_patch_shrink_and_the_rest_stays(folder: Path) -> None:
    plans = reduced(folder, batch_size=3, max_voxels=20 * 64 * 64)
    before = nnunet_plans()["configurations"]["3d_fullres"]
    after = plans["configurations"]["3d_fullres"]
    assert after["batch_size"] == 3
    assert after["patch_size"] == [20, 64, 64]
    architecture = after["architecture"]["arch_kwargs"]
    assert architecture["n_stages"] == 3
    assert architecture["features_per_stage"] == [4, 6, 8]
    assert architecture["strides"] == [[1, 1, 1], [1, 2, 2], [2, 2, 2]]
    assert architecture["kernel_sizes"] == [[1, 3, 3], [3, 3, 3], [3, 3, 3]]
    assert architecture["n_conv_per_stage"] == [2, 2, 2]
    assert architecture["n_conv_per_stage_decoder"] == [2, 2]
    for key in ("spacing", "data_identifier", "normalization_schemes", "batch_dice"):
        assert after[key] == before[key]


def test_both_plans_lie_side_by_side_under_their_names(folder: Path) -> None:
    plans = reduced(folder, name="small")
    assert plans["plans_name"] == "small"
    assert sorted(p.name for p in folder.iterdir()) == ["nnUNetPlans.json", "small.json"]
    assert json.loads((folder / "nnUNetPlans.json").read_text()) == nnunet_plans()


def test_the_default_name(folder: Path) -> None:
    assert reduce_plans(42) == folder / "nnUNetPromptCPUPlans.json"


def test_a_residual_encoder_and_an_inheriting_configuration(folder: Path) -> None:
    configurations = reduced(folder)["configurations"]
    residual = configurations["residual"]["architecture"]["arch_kwargs"]
    assert residual["n_blocks_per_stage"] == [1, 3, 4]
    assert configurations["3d_cascade_fullres"] == {
        "inherits_from": "3d_fullres",
        "previous_stage": "3d_lowres",
    }


def test_a_network_that_is_smaller_already_keeps_its_stages(folder: Path) -> None:
    flat = reduced(folder, features=(4, 8, 16, 32, 64))["configurations"]["2d"]
    assert flat["architecture"]["arch_kwargs"]["n_stages"] == 3
    assert flat["architecture"]["arch_kwargs"]["features_per_stage"] == [4, 8, 16]
    assert flat["patch_size"] == [12, 12]


@each("configuration", ["2d", "3d_fullres", "residual"])
def test_nnunet_builds_the_reduced_network(folder: Path, configuration: str) -> None:
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(reduced(folder, max_voxels=4096))
    settings = manager.get_configuration(configuration)
    network = nnUNetTrainer.build_network_architecture(manager, settings, 1, 3, False)
    patch = tuple(settings.patch_size)
    with torch.no_grad():
        assert network(torch.zeros(1, 1, *patch)).shape == (1, 3, *patch)


@each(
    ("patch", "strides", "voxels", "expected"),
    [
        ((20, 160, 128), [[1, 1, 1], [1, 2, 2], [2, 2, 2]], 20 * 64 * 64, [20, 64, 64]),
        ((21, 30, 30), [[1, 1, 1], [2, 4, 4]], 10**9, [20, 28, 28]),  # made divisible
        ((64, 64), [[1, 1], [2, 2]], 1, [2, 2]),  # never below one step
        ((3, 5), [[4, 4]], 1, [4, 4]),
        ((14, 20, 16), [[1, 1, 1], [1, 2, 2], [2, 2, 2]], 1600, [10, 12, 12]),
    ],
)
def test_patch_sizes(patch: Any, strides: Any, voxels: int, expected: list[int]) -> None:
    assert _patch_size(patch, strides, voxels) == expected


def kept(folder: Path, **options: Any) -> dict[str, Any]:
    path = no_resampling_plans(42, **options)
    assert path.parent == folder
    content: dict[str, Any] = json.loads(path.read_text())
    return content


class TestNoResampling:
    def write(self, folder: Path, plans: dict[str, Any]) -> None:
        (folder / "nnUNetPlans.json").write_text(json.dumps(plans))

    def test_only_resampling_and_the_place_of_the_data_change(self, folder: Path) -> None:
        before = nnunet_plans()
        before["configurations"]["3d_fullres"]["use_mask_for_norm"] = [True]
        self.write(folder, before)
        after = kept(folder)
        assert (folder / "nnUNetPromptPlansNoResampling.json").is_file()
        assert after["plans_name"] == "nnUNetPromptPlansNoResampling"
        assert after["transpose_forward"] == after["transpose_backward"] == [0, 1, 2]
        assert list(after["configurations"]) == ["2d", "3d_fullres", "residual"]
        for name, settings in after["configurations"].items():
            for what in ("data", "seg", "probabilities"):
                assert settings[f"resampling_fn_{what}"] == "no_resampling_hack"
                assert settings[f"resampling_fn_{what}_kwargs"] == {}
            assert settings["data_identifier"] == f"nnUNetPromptPlansNoResampling_{name}"
            assert settings["use_mask_for_norm"] == [False]
            for key in ("spacing", "patch_size", "architecture", "normalization_schemes"):
                assert settings[key] == before["configurations"][name][key]
        assert json.loads((folder / "nnUNetPlans.json").read_text()) == before

    def test_nnunet_resamples_nothing(self, folder: Path) -> None:
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        settings = PlansManager(kept(folder)).get_configuration("3d_fullres")
        image = torch.rand(1, 3, 4, 5)
        for function in (
            settings.resampling_fn_data,
            settings.resampling_fn_seg,
            settings.resampling_fn_probabilities,
        ):
            assert function(image, (6, 8, 10), (1, 1, 1), (2, 2, 2)) is image

    def test_low_resolutions_and_cascades_are_left_out(self, folder: Path) -> None:
        plans = nnunet_plans()
        low = {**plans["configurations"]["3d_fullres"], "next_stage": "3d_cascade_fullres"}
        plans["configurations"]["3d_lowres"] = low
        plans["configurations"]["mine"] = {"inherits_from": "3d_lowres", "batch_size": 7}
        plans["configurations"]["other"] = {"inherits_from": "3d_fullres", "batch_size": 7}
        self.write(folder, plans)
        after = kept(folder)["configurations"]
        assert list(after) == ["2d", "3d_fullres", "residual", "other"]
        assert after["other"] == {"inherits_from": "3d_fullres", "batch_size": 7}

    @each("forward", [(1, 2, 0), (2, 0, 1), (1, 0, 2)])
    def test_a_transpose_is_taken_back(self, folder: Path, forward: tuple[int, int, int]) -> None:
        """What was axis `forward[i]` of the reader and axis i of the plans is axis `forward[i]` again."""
        plans = hand_made_plans(forward)
        full = plans["configurations"]["3d_fullres"]
        full["patch_size"] = [10 + axis for axis in forward]
        full["median_image_size_in_voxels"] = [20.0 + axis for axis in forward]
        network = full["architecture"]["arch_kwargs"]
        network["strides"] = [[1, 1, 1], [1 + axis for axis in forward]]
        network["kernel_sizes"] = [[3, 3, 3], [3 + axis for axis in forward]]
        plans["original_median_shape_after_transp"] = [30 + axis for axis in forward]
        self.write(folder, plans)
        after = kept(folder)
        assert after["transpose_forward"] == after["transpose_backward"] == [0, 1, 2]
        assert list(after["configurations"]) == ["3d_fullres"]  # 2d would cut other slices
        turned = after["configurations"]["3d_fullres"]
        assert turned["patch_size"] == [10, 11, 12]
        assert turned["median_image_size_in_voxels"] == [20.0, 21.0, 22.0]
        assert turned["spacing"] == [4.0, 1.5, 1.25]
        assert turned["architecture"]["arch_kwargs"]["strides"] == [[1, 1, 1], [1, 2, 3]]
        assert turned["architecture"]["arch_kwargs"]["kernel_sizes"] == [[3, 3, 3], [3, 4, 5]]
        assert after["original_median_shape_after_transp"] == [30, 31, 32]
        assert after["original_median_spacing_after_transp"] == [4.0, 1.5, 1.25]

    def test_reduced_plans_can_do_without_resampling_too(self, folder: Path) -> None:
        reduced(folder)
        after = kept(folder, source="nnUNetPromptCPUPlans", name="small")
        assert after["configurations"]["2d"]["data_identifier"] == "small_2d"
        assert after["configurations"]["2d"]["architecture"]["arch_kwargs"]["n_stages"] == 3

    def test_nothing_left(self, folder: Path) -> None:
        plans = hand_made_plans((1, 2, 0))
        del plans["configurations"]["3d_fullres"]
        self.write(folder, plans)
        with pytest.raises(DatasetError, match="none of the configurations 2d") as caught:
            no_resampling_plans(42)
        assert "\n" not in str(caught.value)
        assert [p.name for p in folder.iterdir()] == ["nnUNetPlans.json"]

    @each("text", ["", "[]", "{}", '{"transpose_backward": [0, 1]}'])
    def test_plans_that_are_none(self, folder: Path, text: str) -> None:
        (folder / "nnUNetPlans.json").write_text(text)
        with pytest.raises(
            DatasetError, match=r"nnUNetPlans\.json: .*plans of nnU-Net 2\.8.*plan again"
        ):
            no_resampling_plans(42)

    def test_a_data_set_that_is_not_planned_and_names_that_are_none(self, folder: Path) -> None:
        with pytest.raises(DatasetError, match="nnUNetv2_plan_and_preprocess -d 42"):
            no_resampling_plans(42, source="other")
        for name in ("", "nnUNetPlans", "../plans"):
            with pytest.raises(DatasetError, match="plans name"):
                no_resampling_plans(42, name=name)


class TestSplits:
    def side_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cases: Any) -> None:
        monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
        raw = tmp_path / "raw" / "Dataset042_Heart"
        raw.mkdir(parents=True)
        (raw / SIDE_FILE).write_text(json.dumps({"version": 1, "cases": cases}))

    def test_cases_of_a_patient_stand_on_one_side(
        self, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cases = {f"c{i:02d}": {"patient": f"p{i // 2}"} for i in range(12)}
        self.side_file(tmp_path, monkeypatch, cases)
        reduced(folder)
        splits = json.loads((folder / "splits_final.json").read_text())
        assert len(splits) == 5
        for split in splits:
            sides = [{cases[c]["patient"] for c in split[side]} for side in ("train", "val")]
            assert sides[0].isdisjoint(sides[1]) and len(sides[0] | sides[1]) == 6

    def test_splits_that_are_there_are_kept(
        self, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cases = {f"c{i}": {"patient": f"p{i}"} for i in range(6)}
        self.side_file(tmp_path, monkeypatch, cases)
        (folder / "splits_final.json").write_text("[]")
        reduced(folder)
        assert (folder / "splits_final.json").read_text() == "[]"

    def test_without_patients_nnunet_splits(
        self, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reduced(folder)
        self.side_file(tmp_path, monkeypatch, {f"c{i}": {} for i in range(6)})
        reduced(folder)
        assert not (folder / "splits_final.json").exists()


class TestRefusals:
    def refusal(self, **options: Any) -> str:
        with pytest.raises(DatasetError) as caught:
            reduce_plans(42, options=ReduceOptions(**options))
        message = str(caught.value)
        assert "\n" not in message
        return message

    def test_a_data_set_that_is_not_planned(self, folder: Path) -> None:
        (folder / "nnUNetPlans.json").unlink()
        assert "nnUNetv2_plan_and_preprocess -d 42" in self.refusal()
        assert "otherPlans.json" in self.refusal(source="otherPlans")

    def test_a_data_set_that_is_not_there(self, folder: Path) -> None:
        with pytest.raises(DatasetError, match="Dataset007_"):
            reduce_plans(7)

    def test_two_data_sets_of_one_id(self, folder: Path) -> None:
        folder.with_name("Dataset042_Other").mkdir()
        assert "found 2" in self.refusal()

    def test_an_unset_variable(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("nnUNet_preprocessed")
        assert "nnUNet_preprocessed" in self.refusal()

    @each("text", ["", "[]", "{}", '{"configurations": {"2d": {"architecture": 1}}}'])
    def test_plans_that_are_none(self, folder: Path, text: str) -> None:
        (folder / "nnUNetPlans.json").write_text(text)
        assert "nnUNetPlans.json" in self.refusal()
        assert not (folder / "nnUNetPromptCPUPlans.json").exists()

    @each(
        "options",
        [
            {"features": (8, 16)},
            {"features": ()},
            {"features": (8, 0, 16)},
            {"batch_size": 0},
            {"max_voxels": 0},
            {"name": "nnUNetPlans"},
            {"name": "../plans"},
            {"name": ""},
        ],
    )
    def test_options_that_cannot_work(self, folder: Path, options: dict[str, Any]) -> None:
        self.refusal(**options)
        assert [p.name for p in folder.iterdir()] == ["nnUNetPlans.json"]


@each("name", ["dataset", "splits_final", "nnUNetPlans", "notes"])
def test_files_that_are_not_ours_are_not_replaced(folder: Path, name: str) -> None:
    source = json.loads((folder / "nnUNetPlans.json").read_text())
    (folder / "otherPlans.json").write_text(json.dumps(source | {"plans_name": "otherPlans"}))
    path = folder / f"{name}.json"
    if not path.exists():
        path.write_text("[]")
    before = path.read_bytes()
    options = ReduceOptions(source="otherPlans", name=name)
    with pytest.raises(OutputError, match=rf"{name}\.json: exists and is not replaced"):
        reduce_plans(42, options=options)
    assert path.read_bytes() == before


def test_our_own_plans_are_replaced(folder: Path) -> None:
    assert reduced(folder) == reduced(folder)
