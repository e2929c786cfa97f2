"""What nnInteractive is given, and what it is not given because it would serve it wrongly."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.inference.model_folder import load_model
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.networks.capability import Capability
from nnunet_prompt.networks.checkpoint import read_checkpoint
from nnunet_prompt.networks.provenance import Origin
from nnunet_prompt.weights.adapt import adapt
from nnunet_prompt.weights.export import export_model
from nnunet_prompt.weights.families import open_source
from nnunet_prompt.weights.target import target_of
from tests.helpers.each import each
from tests.helpers.exports import ORIGIN, VOXELS, servable_plans, write_model
from tests.helpers.models import SPACING, hand_made_dataset_json, hand_made_plans
from tests.weights.sources import (
    TARGET,
    checkpoint_in,
    nninteractive_model,
    nnunet_folders,
    nnunet_network,
)

SMALL = (8, 12, 16)
Plans = dict[str, Any]


def servable(kind: str = "plain") -> Plans:
    return servable_plans(kind, patch=SMALL)


def settings(plans: Plans) -> dict[str, Any]:
    found: dict[str, Any] = plans["configurations"]["3d_fullres"]
    return found


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def network_in(folder: Path, plans: Plans) -> torch.nn.Module:
    """nnU-Net's own network with two outputs, as nnInteractive builds and loads it."""
    checkpoint = read_checkpoint(checkpoint_in(folder))
    network = nnunet_network(plans, 8, 2)
    network.load_state_dict(checkpoint["network_weights"])
    return network


def prompted(seed: int = 0) -> torch.Tensor:
    return torch.randn((2, 8, *SMALL), generator=torch.Generator().manual_seed(seed))


class TestLogits:
    @each("kind", ["plain", "residual"])
    def test_the_two_outputs_are_nothing_and_the_object(self, kind: str, tmp_path: Path) -> None:
        model = write_model(tmp_path / "ours", plans=servable(kind))
        export_model(model, tmp_path / "theirs", "nninteractive")
        ours = load_model(model, PredictOptions(device="cpu")).network
        with torch.inference_mode():
            expected = ours(prompted())[:, 0]
            found = network_in(tmp_path / "theirs", servable(kind))(prompted())
        assert found.shape == (2, 2, *SMALL)
        assert expected.std() > 0.01
        assert not found[:, 0].any()
        torch.testing.assert_close(found[:, 1], expected, rtol=0, atol=1e-5)

    def test_every_head_of_the_decoder_has_two_outputs(self, tmp_path: Path) -> None:
        model = write_model(tmp_path / "ours", plans=servable())
        export_model(model, tmp_path / "theirs", "nninteractive")
        ours = load_model(model, PredictOptions(device="cpu")).network
        weights = read_checkpoint(checkpoint_in(tmp_path / "theirs"))["network_weights"]
        for depth, head in enumerate(ours.decoder.seg_layers):  # type: ignore[union-attr,arg-type]
            for name in ("weight", "bias"):
                found = weights[f"decoder.seg_layers.{depth}.{name}"]
                assert len(found) == 2 and not found[0].any()
                assert torch.equal(found[1], getattr(head, name)[0])

    def test_there_and_back_gives_the_same_two_outputs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Up to a constant in each voxel, which no softmax and no argmax sees."""
        nnunet_folders(tmp_path, monkeypatch)
        source = nninteractive_model(tmp_path / "released", licence="CC BY-NC-SA 4.0")
        plans = servable("residual")
        target = target_of(plans, "3d_fullres", hand_made_dataset_json(TARGET))
        weights, _ = adapt(open_source(source), target)
        origins = open_source(source).origins
        model = write_model(
            tmp_path / "ours", plans=plans, table=TARGET, weights=weights, origins=origins
        )
        written = export_model(model, tmp_path / "back", "nninteractive")
        before = network_in(source, plans)
        after = network_in(tmp_path / "back", plans)
        with torch.inference_mode():
            first, second = before(prompted()), after(prompted())
        difference = first - second
        assert (first[:, 1] - first[:, 0]).std() > 0.01
        torch.testing.assert_close(difference[:, 0], difference[:, 1], rtol=0, atol=1e-5)
        assert written.licence == "CC BY-NC-SA 4.0"
        info = read(tmp_path / "back" / "inference_info.json")
        assert info["supported_interactions"]["scribble"] is True


class TestFolder:
    def test_what_it_answers_to(self, tmp_path: Path) -> None:
        model = write_model(tmp_path / "ours", plans=servable(), capability=VOXELS)
        export_model(model, tmp_path / "theirs", "nninteractive")
        assert read(tmp_path / "theirs" / "inference_info.json") == {
            "inference_class": "nnInteractiveInferenceSession",
            "inference_class_min_version": "2.6.0",
            "supported_interactions": {
                "points": True,
                "bbox2d": True,
                "bbox3d": True,
                "scribble": False,
                "lasso": False,
            },
            "supports_initial_label": True,
            "supports_zero_shot_label_refinement": True,
            "interaction_channels": 6,
            "channel_mapping": {
                "prev_seg": 0,
                "bbox2d": [1, 2],
                "bbox3d": [1, 2],
                "lasso": [1, 2],
                "points": [3, 4],
                "scribble": [5, 6],
            },
            "point_radius": 4,
            "preferred_scribble_thickness": [2, 2, 2],
            "interaction_decay": 1.0,
            "pad_mode_image": "constant",
        }

    def test_the_point_radius_is_ours(self, tmp_path: Path) -> None:
        thick = replace(VOXELS, point_radius=6.0, scribble_radius=2.0)
        model = write_model(tmp_path / "ours", plans=servable(), capability=thick)
        export_model(model, tmp_path / "theirs", "nninteractive")
        info = read(tmp_path / "theirs" / "inference_info.json")
        assert (info["point_radius"], info["preferred_scribble_thickness"]) == (6, [4, 4, 4])

    @each(
        ("origins", "known"),
        [((), False), ((ORIGIN,), True), ((Origin("x", "nnunet"), ORIGIN), True)],
    )
    def test_scribbles_and_lassos_where_they_were_learnt(
        self, origins: tuple[Origin, ...], known: bool, tmp_path: Path
    ) -> None:
        model = write_model(tmp_path / "ours", plans=servable(), origins=origins)
        export_model(model, tmp_path / "theirs", "nninteractive")
        supported = read(tmp_path / "theirs" / "inference_info.json")["supported_interactions"]
        assert (supported["scribble"], supported["lasso"]) == (known, known)

    @each(
        ("unsupported", "absent"),
        [
            ((), {"lasso"}),
            (("scribble +", "scribble -"), {"scribble", "lasso"}),
            (("box +", "point +"), {"points", "bbox2d", "bbox3d", "lasso"}),
        ],
    )
    def test_what_training_never_showed_is_not_offered(
        self, unsupported: tuple[str, ...], absent: set[str], tmp_path: Path
    ) -> None:
        shown = replace(VOXELS, unsupported=unsupported, mixture={"few": 0.4})
        model = write_model(tmp_path / "ours", plans=servable(), capability=shown)
        export_model(model, tmp_path / "theirs", "nninteractive")
        supported = read(tmp_path / "theirs" / "inference_info.json")["supported_interactions"]
        assert {name for name, there in supported.items() if not there} == absent

    def test_plans_and_description(self, tmp_path: Path) -> None:
        model = write_model(tmp_path / "ours", plans=servable())
        export_model(model, tmp_path / "theirs", "nninteractive")
        assert read(tmp_path / "theirs" / "plans.json") == servable()
        assert read(tmp_path / "theirs" / "dataset.json") == {
            "channel_names": {"0": "image 0"},
            "labels": {"background": 0, "object": 1},
            "numTraining": 1,
            "file_ending": ".nii.gz",
        }
        checkpoint = read_checkpoint(checkpoint_in(tmp_path / "theirs"))
        assert checkpoint["trainer_name"] == "nnInteractiveTrainer_stub"
        assert checkpoint["init_args"]["configuration"] == "3d_fullres"

    def test_equal_radii_are_enough_on_an_isotropic_grid(self, tmp_path: Path) -> None:
        model = write_model(
            tmp_path / "ours", plans=servable(), capability=Capability(grid_spacing=(2.0, 2.0, 2.0))
        )
        export_model(model, tmp_path / "theirs", "nninteractive")

    def test_any_fold_becomes_fold_0(self, tmp_path: Path) -> None:
        model = write_model(tmp_path / "ours", plans=servable(), folds=("all",))
        export_model(model, tmp_path / "theirs", "nninteractive")
        assert [p.name for p in (tmp_path / "theirs").glob("fold_*")] == ["fold_0"]


class TestNotes:
    def test_a_small_patch(self, tmp_path: Path) -> None:
        model = write_model(tmp_path / "ours", plans=servable())
        written = export_model(model, tmp_path / "theirs", "nninteractive")
        assert written.notes == (
            "patch 8 x 12 x 16: switch nnInteractive's auto-zoom off and keep boxes within two thirds of the patch;"
            " beyond that it refines in steps of the patch less 48 voxels, which takes long below 96 and fails up to"
            " 48",
        )

    def test_canonical_orientation(self, tmp_path: Path) -> None:
        described = hand_made_dataset_json()
        described["nnunet_prompt"]["orientation"] = "canonical"
        plans = servable_plans(patch=(96, 96, 96))
        model = write_model(tmp_path / "ours", plans=plans, dataset_json=described)
        (note,) = export_model(model, tmp_path / "theirs", "nninteractive").notes
        assert "canonical orientation" in note

    def test_nothing_to_say(self, tmp_path: Path) -> None:
        model = write_model(tmp_path / "ours", plans=servable_plans(patch=(96, 96, 96)))
        assert export_model(model, tmp_path / "theirs", "nninteractive").notes == ()


def change(**what: Any) -> Callable[[Plans], None]:
    return lambda plans: settings(plans).update(what)


WRONG_PLANS: list[tuple[Callable[[Plans], None], str]] = [
    (
        lambda plans: plans.update(transpose_forward=[1, 0, 2], transpose_backward=[1, 0, 2]),
        "plans.json: transpose_forward is [1, 0, 2], nnInteractive leaves the axes as they are; train with plans whose"
        " transpose_forward and transpose_backward are [0, 1, 2], spacing and patch size in that order",
    ),
    (
        change(resampling_fn_data="resample_data_or_seg_to_shape"),
        "plans.json: configurations.3d_fullres.resampling_fn_data is resample_data_or_seg_to_shape, nnInteractive never"
        " resamples; train with plans of `nnUNetv2_plan_and_preprocess -pl nnUNetPlannerResEncL_noResampling`",
    ),
    (
        change(resampling_fn_probabilities="resample_data_or_seg_to_shape"),
        "plans.json: configurations.3d_fullres.resampling_fn_probabilities is resample_data_or_seg_to_shape,"
        " nnInteractive never resamples; train with plans of"
        " `nnUNetv2_plan_and_preprocess -pl nnUNetPlannerResEncL_noResampling`",
    ),
    (
        change(normalization_schemes=["CTNormalization"]),
        "plans.json: configurations.3d_fullres.normalization_schemes is ['CTNormalization'], nnInteractive takes the"
        " z-score of the image; train with ['ZScoreNormalization'], which nnU-Net plans for any channel name but CT",
    ),
    (
        change(use_mask_for_norm=[True]),
        "plans.json: configurations.3d_fullres.use_mask_for_norm is [True], nnInteractive normalises without a mask;"
        " set it to [false] in the plans, preprocess and train again",
    ),
]
WRONG_PROMPTS = [
    (
        {"point_shape": "gaussian"},
        "prompt_capability.json: point_shape is gaussian, nnInteractive draws edt; train with a trainer whose"
        " point_shape is 'edt'",
    ),
    (
        {"point_metric": "spacing"},
        "prompt_capability.json: points have radii of 1.25 x 3.33333 x 4 voxels, nnInteractive draws one whole number"
        " along every axis; train with nnUNetTrainerPromptVoxel, or another trainer whose point_metric is 'voxel'"
        " and whose point_radius is a whole number",
    ),
    (
        {"point_radius": 3.5},
        "prompt_capability.json: points have radii of 3.5 x 3.5 x 3.5 voxels, nnInteractive draws one whole number"
        " along every axis; train with nnUNetTrainerPromptVoxel, or another trainer whose point_metric is 'voxel'"
        " and whose point_radius is a whole number",
    ),
    (
        {"interaction_decay": 0.9},
        "prompt_capability.json: interaction_decay is 0.9, expected 1, which is what nnunet_prompt trains with; train"
        " again from these weights with a trainer of nnunet_prompt",
    ),
]


class TestRefusals:
    def refusal(self, model: Path, tmp_path: Path) -> str:
        with pytest.raises(ModelError) as caught:
            export_model(model, tmp_path / "theirs", "nninteractive")
        message = str(caught.value)
        assert message.startswith(f"{model}: ") and "\n" not in message
        assert [p.name for p in tmp_path.iterdir()] == ["ours"]
        return message.removeprefix(f"{model}: ")

    @each(("edit", "message"), WRONG_PLANS)
    def test_plans(self, edit: Callable[[Plans], None], message: str, tmp_path: Path) -> None:
        plans = servable()
        edit(plans)
        assert self.refusal(write_model(tmp_path / "ours", plans=plans), tmp_path) == message

    @each(("prompts", "message"), WRONG_PROMPTS)
    def test_prompts(self, prompts: dict[str, Any], message: str, tmp_path: Path) -> None:
        capability = replace(VOXELS, grid_spacing=SPACING, **prompts)
        model = write_model(tmp_path / "ours", plans=servable(), capability=capability)
        assert self.refusal(model, tmp_path) == message

    def test_another_preprocessor(self, tmp_path: Path) -> None:
        model = write_model(tmp_path / "ours", plans=servable())
        loaded = load_model(model, PredictOptions(device="cpu"))
        loaded.configuration.configuration["preprocessor_name"] = "Mine"
        from nnunet_prompt.weights.nninteractive import nninteractive_files

        with pytest.raises(ModelError) as caught:
            nninteractive_files(loaded, "3d_fullres", where=model)
        assert str(caught.value) == (
            f"{model}: plans.json: configurations.3d_fullres.preprocessor_name is Mine, nnInteractive knows"
            " DefaultPreprocessor only; train with plans that use it"
        )

    def test_slices(self, tmp_path: Path) -> None:
        model = write_model(
            tmp_path / "ours",
            plans=hand_made_plans(),
            configuration="2d",
            capability=Capability(grid_spacing=SPACING[1:]),
        )
        assert self.refusal(model, tmp_path) == (
            "configuration 2d is 2d, nnInteractive serves volumes; train and export 3d_fullres"
        )

    def test_several_image_channels(self, tmp_path: Path) -> None:
        plans = servable()
        change(normalization_schemes=["ZScoreNormalization"] * 2, use_mask_for_norm=[False, False])(
            plans
        )
        plans["foreground_intensity_properties_per_channel"]["1"] = {}
        model = write_model(tmp_path / "ours", plans=plans, channels=2)
        assert self.refusal(model, tmp_path) == (
            "dataset.json: channel_names has 2 image channels, nnInteractive gives one; train on one of them"
        )

    def test_several_folds(self, tmp_path: Path) -> None:
        model = write_model(tmp_path / "ours", plans=servable(), folds=(0, 2))
        assert self.refusal(model, tmp_path) == (
            "has the folds 0 2, nnInteractive runs one: choose it with -f"
        )
