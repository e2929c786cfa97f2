"""A model folder that is whole is opened; anything else is refused in one line that names the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nnunet_prompt.common.errors import DatasetError, ModelError, NNUNetPromptError
from nnunet_prompt.inference.model_folder import load_model
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.networks.capability import (
    CAPABILITY_FILE,
    Capability,
    read_capability,
    write_capability,
)
from nnunet_prompt.networks.provenance import Origin, pack
from nnunet_prompt.networks.tensor_names import stock_names
from nnunet_prompt.prompts.encode import style_for
from tests.helpers.each import each
from tests.helpers.models import write_model_folder

ON_CPU = PredictOptions(device="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model_folder(tmp_path / "model")


def refusal(folder: Path, options: PredictOptions = ON_CPU) -> str:
    with pytest.raises(NNUNetPromptError) as caught:
        load_model(folder, options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def change(path: Path, edit: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


class TestLoading:
    @each("configuration", ["2d", "3d_fullres"])
    def test_what_a_training_leaves_is_opened(self, tmp_path: Path, configuration: str) -> None:
        folder = write_model_folder(tmp_path / "m", configuration=configuration, channels=2)
        model = load_model(folder, ON_CPU)
        axes = 2 if configuration == "2d" else 3
        assert not model.network.training
        assert model.n_image_channels == 2
        assert model.mirror_axes == tuple(range(axes))
        assert model.table.names == ("ball", "shell", "core")
        assert len(model.configuration.patch_size) == axes
        assert model.capability.style().radii[-1] == pytest.approx(4.0)
        patch = tuple(model.configuration.patch_size)
        with torch.no_grad():
            output = model.network(torch.zeros(1, 2 + 7, *patch))
        assert output.shape == (1, 4, *patch)  # one tensor: no deep supervision

    def test_the_weights_are_those_of_the_checkpoint(self, folder: Path) -> None:
        model = load_model(folder, ON_CPU)
        saved = torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=False)
        loaded = model.network.state_dict()
        assert set(loaded) == set(saved["network_weights"])
        assert all(torch.equal(loaded[k], v) for k, v in saved["network_weights"].items())

    def test_mirroring_can_be_switched_off(self, folder: Path) -> None:
        options = PredictOptions(device="cpu", use_mirroring=False)
        assert load_model(folder, options).mirror_axes == ()

    def test_a_recipe_without_mirroring_has_none(self, folder: Path) -> None:
        path = folder / "fold_0" / "checkpoint_final.pth"
        content = torch.load(path, weights_only=False)
        torch.save({**content, "inference_allowed_mirroring_axes": None}, path)
        assert load_model(folder, ON_CPU).mirror_axes == ()

    @each("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
    def test_names_of_ddp_and_compile_are_understood(self, folder: Path, prefix: str) -> None:
        path = folder / "fold_0" / "checkpoint_final.pth"
        content = torch.load(path, weights_only=False)
        renamed = {prefix + k: v for k, v in content["network_weights"].items()}
        torch.save({**content, "network_weights": renamed}, path)
        model = load_model(folder, ON_CPU)
        assert set(model.weights[0]) == set(content["network_weights"])

    def test_an_older_checkpoint_is_the_same_model(self, folder: Path) -> None:
        """Its output layers have nnU-Net's names, and it has no provenance."""
        path = folder / "fold_0" / "checkpoint_final.pth"
        patch = torch.rand(1, 8, 8, 12, 12)
        with torch.no_grad():
            expected = load_model(folder, ON_CPU).network(patch)
        content = torch.load(path, weights_only=False)
        older = stock_names(content["network_weights"])
        assert "decoder.seg_layers.0.weight" in older and "provenance" not in older
        torch.save({**content, "network_weights": older}, path)
        model = load_model(folder, ON_CPU)
        model.network.load_state_dict(model.weights[0])  # as the predictor does for every fold
        with torch.no_grad():
            assert torch.equal(model.network(patch), expected)


class TestFolds:
    def test_every_numbered_fold_is_taken_unless_some_are_named(self, tmp_path: Path) -> None:
        folder = write_model_folder(tmp_path / "m", folds=(0, 1, "all"))
        (folder / "fold_2").mkdir()  # a training that has not finished
        assert (
            len(load_model(folder, ON_CPU).weights) == 2
        )  # fold_all where it is named, as in nnU-Net
        one, two, both = (
            load_model(folder, PredictOptions(device="cpu", folds=folds)).weights
            for folds in ((0,), ("all",), (0, "all"))
        )
        assert len(one) == len(two) == 1 and len(both) == 2
        name = next(iter(one[0]))
        assert not torch.equal(one[0][name], two[0][name])
        assert torch.equal(both[0][name], one[0][name])

    def test_a_fold_that_is_not_there(self, folder: Path) -> None:
        message = refusal(folder, PredictOptions(device="cpu", folds=(0, 3)))
        assert "fold_3" in message and "not found" in message

    def test_another_checkpoint_by_name(self, folder: Path) -> None:
        options = PredictOptions(device="cpu", checkpoint="checkpoint_best.pth")
        assert "checkpoint_best.pth" in refusal(folder, options)
        final = folder / "fold_0" / "checkpoint_final.pth"
        final.rename(final.with_name("checkpoint_best.pth"))
        assert len(load_model(folder, options).weights) == 1


def test_the_licence_of_the_weights_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_model_folder(tmp_path / "m", folds=(0, 1))
    load_model(folder, ON_CPU)
    assert not any("licence" in line for line in caplog.messages)
    for fold in (0, 1):
        path = folder / f"fold_{fold}" / "checkpoint_final.pth"
        content = torch.load(path, weights_only=False)
        content["network_weights"]["provenance"] = pack([Origin("c.pth", "nnunet", "CC BY 4.0")])
        torch.save(content, path)
    load_model(folder, ON_CPU)
    assert [line for line in caplog.messages if "licence" in line] == [
        "these weights come from c.pth (nnunet); its licence, which binds what is made from them: CC BY 4.0"
    ]


class TestRefusals:
    @each("name", ["plans.json", "dataset.json", CAPABILITY_FILE])
    def test_a_file_that_is_missing_is_named(self, folder: Path, name: str) -> None:
        (folder / name).unlink()
        message = refusal(folder)
        assert name in message and "not found" in message

    @each("name", ["plans.json", "dataset.json", CAPABILITY_FILE])
    @each("text", ["", "{", "[1, 2]", "null", '"text"', "\udcff"])
    def test_a_file_that_is_no_json_object_is_named(
        self, folder: Path, name: str, text: str
    ) -> None:
        (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
        assert name in refusal(folder)

    @each("text", ["{}"])
    @each("name", ["plans.json", "dataset.json", CAPABILITY_FILE])
    def test_an_empty_object_is_refused(self, folder: Path, name: str, text: str) -> None:
        (folder / name).write_text(text)
        refusal(folder)

    def test_a_folder_of_something_else(self, tmp_path: Path) -> None:
        assert "not a model folder" in refusal(tmp_path)
        assert "not a model folder" in refusal(tmp_path / "nowhere")

    def test_no_fold_at_all(self, folder: Path) -> None:
        (folder / "fold_0" / "checkpoint_final.pth").unlink()
        assert "no fold holds checkpoint_final.pth" in refusal(folder)

    def test_a_damaged_checkpoint(self, folder: Path) -> None:
        path = folder / "fold_0" / "checkpoint_final.pth"
        path.write_bytes(path.read_bytes()[:1000])
        assert str(path) in refusal(folder)

    @each("key", ["init_args", "network_weights"])
    def test_a_checkpoint_that_lacks_something(self, folder: Path, key: str) -> None:
        path = folder / "fold_0" / "checkpoint_final.pth"
        content = torch.load(path, weights_only=False)
        del content[key]
        torch.save(content, path)
        assert key in refusal(folder)

    @each("value", [None, [], "3d_fullres", {"configuration": "4d"}])
    def test_wrong_init_args(self, folder: Path, value: Any) -> None:
        path = folder / "fold_0" / "checkpoint_final.pth"
        torch.save({**torch.load(path, weights_only=False), "init_args": value}, path)
        assert str(folder) in refusal(folder)

    def test_weights_of_another_network(self, folder: Path) -> None:
        change(
            folder / "plans.json",
            lambda plans: plans["configurations"]["3d_fullres"]["architecture"][
                "arch_kwargs"
            ].update(features_per_stage=[4, 8, 16]),
        )
        assert "does not fit" in refusal(folder)

    def test_one_fold_of_another_network(self, tmp_path: Path) -> None:
        folder = write_model_folder(tmp_path / "m", folds=(0, 1))
        path = folder / "fold_1" / "checkpoint_final.pth"
        content = torch.load(path, weights_only=False)
        del content["network_weights"]["heads.0.bias"]
        torch.save(content, path)
        assert "does not fit" in refusal(folder)

    @each("key", ["normalization_schemes", "use_mask_for_norm"])
    def test_plans_of_another_number_of_channels(self, tmp_path: Path, key: str) -> None:
        folder = write_model_folder(tmp_path / "m", channels=2)
        change(folder / "plans.json", lambda p: p["configurations"]["3d_fullres"][key].pop())
        assert refusal(folder) == (
            f"{folder / 'plans.json'}: {key}: expected one entry for each of the 2 image channel(s) of dataset.json,"
            " found 1; copy both files from the trained model"
        )

    def test_statistics_of_another_number_of_channels(self, folder: Path) -> None:
        key = "foreground_intensity_properties_per_channel"
        change(folder / "plans.json", lambda plans: plans.pop(key))
        assert f"plans.json: {key}: expected one entry" in refusal(folder)

    def test_weights_of_another_number_of_channels(self, tmp_path: Path) -> None:
        folder = write_model_folder(tmp_path / "m")
        change(folder / "dataset.json", lambda d: d["channel_names"].update({"1": "T2"}))
        message = refusal(folder)
        assert "does not fit" in message and "size mismatch" in message and "[4, 8, " in message

    @pytest.mark.filterwarnings("ignore")  # nnU-Net looks for it in all of its modules, loudly
    def test_an_architecture_that_is_not_installed(self, folder: Path) -> None:
        change(
            folder / "plans.json",
            lambda plans: plans["configurations"]["3d_fullres"]["architecture"].update(
                network_class_name="nowhere.to.be.Found"
            ),
        )
        assert str(folder) in refusal(folder)

    @pytest.mark.filterwarnings("ignore::UserWarning")  # nnU-Net takes them for old plans
    @each("key", ["architecture", "patch_size", "spacing", "preprocessor_name"])
    def test_plans_that_lack_what_the_network_needs(self, folder: Path, key: str) -> None:
        change(folder / "plans.json", lambda plans: plans["configurations"]["3d_fullres"].pop(key))
        assert str(folder) in refusal(folder)

    def test_a_broken_block_of_structures(self, folder: Path) -> None:
        change(folder / "dataset.json", lambda d: d["nnunet_prompt"].pop("structures"))
        with pytest.raises(DatasetError, match="nnunet_prompt"):
            load_model(folder, ON_CPU)


class TestCapability:
    def test_it_is_read_as_it_was_written(self, tmp_path: Path) -> None:
        capability = Capability(
            point_shape="gaussian", point_radius=3.0, grid_spacing=(1.5, 1.25), slice_axis=2
        )
        write_capability(tmp_path, capability)
        assert read_capability(tmp_path) == capability
        assert [p.name for p in tmp_path.iterdir()] == [CAPABILITY_FILE]

    def test_the_style_shrinks_with_the_spacing_unless_it_counts_voxels(self) -> None:
        spacing = (6.0, 1.5, 3.0)
        assert Capability(grid_spacing=spacing).style() == style_for(spacing)
        assert Capability(grid_spacing=spacing).style().radii == (1.0, 4.0, 2.0)
        voxels = Capability(grid_spacing=spacing, point_metric="voxel").style()
        assert voxels.radii == (4.0, 4.0, 4.0)
        assert Capability(grid_spacing=(1.5, 3.0)).style().radii == (0.0, 4.0, 2.0)
        flat = Capability(grid_spacing=(1.5, 3.0), point_metric="voxel").style()
        assert flat.radii == (0.0, 4.0, 4.0)

    @each(
        ("key", "value"),
        [
            ("version", 2),
            ("prompt_channels", ["mask"]),
            ("point_shape", "cube"),
            ("point_metric", "mm"),
            ("point_radius", 0),
            ("point_radius", "wide"),
            ("scribble_radius", -1.0),
            ("grid_spacing", [1.0]),
            ("grid_spacing", [1.0, 0.0, 1.0]),
            ("grid_spacing", 1.0),
            ("slice_axis", 3),
            ("unknown", 1),
        ],
    )
    def test_what_it_does_not_know_is_refused(self, tmp_path: Path, key: str, value: Any) -> None:
        write_capability(tmp_path, Capability())
        change(tmp_path / CAPABILITY_FILE, lambda content: content.update({key: value}))
        with pytest.raises(ModelError, match=CAPABILITY_FILE) as caught:
            read_capability(tmp_path)
        assert "\n" not in str(caught.value)
