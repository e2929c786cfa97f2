"""The trainer: what it refuses, and what it hands to nnU-Net."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunet_prompt.common.errors import RefusedError
from nnunet_prompt.networks.capability import read_capability
from nnunet_prompt.networks.provenance import Origin, Points, pack, points_of, provenance_of, unpack
from nnunet_prompt.prompts.channels import N_PROMPT_CHANNELS
from nnunet_prompt.prompts.encode import style_for
from nnunet_prompt.training.loss import PromptLoss
from nnunet_prompt.training.plain import PlainTrainer
from nnunet_prompt.training.trainer import PromptTrainer
from tests.helpers.each import each
from tests.helpers.models import TABLE, hand_made_dataset_json, hand_made_plans, make_trainer


def targets_of(trainer: Any) -> Any:
    """As when the loaders are made: nnU-Net then knows the batch size of this device."""
    trainer._set_batch_size_and_oversample()
    return trainer.targets()


@pytest.mark.usefixtures("results")
class TestConstruction:
    def test_nnunets_schedule_and_sampling_stay(self) -> None:
        ours, stock = make_trainer(), make_trainer(trainer=nnUNetTrainer)
        for attribute in (
            "num_epochs",
            "num_iterations_per_epoch",
            "initial_lr",
            "oversample_foreground_percent",
            "probabilistic_oversampling",
            "enable_deep_supervision",
            "save_every",
        ):
            assert getattr(ours, attribute) == getattr(stock, attribute)
        assert ours.oversample_foreground_percent == 0.33  # trap 9

    def test_cases_stay_out_of_what_is_saved(self) -> None:
        described = hand_made_dataset_json(
            replace(TABLE, annotated={"patient-7": frozenset({"ball"})})
        )
        trainer = make_trainer(dataset_json=described)
        assert trainer.table.annotated_labels("patient-7") == {1}
        saved = json.dumps([trainer.dataset_json, trainer.my_init_kwargs], default=str)
        assert "patient-7" not in saved
        assert trainer.my_init_kwargs["dataset_json"]["nnunet_prompt"]["structures"]
        assert "patient-7" in json.dumps(described)  # the caller's is left alone

    def test_debug_information_names_no_case(self, results: Path) -> None:
        described = hand_made_dataset_json(
            replace(TABLE, annotated={"patient-7": frozenset({"ball"})})
        )
        trainer = make_trainer(dataset_json=described)
        trainer._notes[0].case = "patient-7"  # as the loader leaves it
        trainer._save_debug_information()
        (debug,) = results.rglob("debug.json")
        assert "patient-7" not in debug.read_text()

    @each("configuration", ["2d", "3d_fullres"])
    def test_the_network_has_seven_more_inputs_and_nnunets_outputs(
        self, configuration: str
    ) -> None:
        trainer = make_trainer(configuration)
        trainer.initialize()
        patch = trainer.configuration_manager.patch_size
        outputs = trainer.network(torch.zeros(1, 1 + N_PROMPT_CHANNELS, *patch))
        assert outputs[0].shape == (1, 1 + 3, *patch)
        assert trainer.num_input_channels == 1  # what nnU-Net counts are image channels

    def test_our_loss_sits_in_nnunets_deep_supervision(self) -> None:
        trainer, stock = make_trainer(), make_trainer(trainer=nnUNetTrainer)
        trainer.initialize()
        stock.initialize()
        assert isinstance(trainer.loss, DeepSupervisionWrapper)
        assert isinstance(trainer.loss.loss, PromptLoss)
        assert trainer.loss.weight_factors == stock.loss.weight_factors

    def test_without_deep_supervision(self) -> None:
        trainer = make_trainer()
        trainer.enable_deep_supervision = False
        trainer.initialize()
        assert isinstance(trainer.loss, PromptLoss)

    def test_a_network_of_two_stages_has_a_loss(self) -> None:
        """nnU-Net weighs its lowest scale with 0, which leaves nothing of a network that has one scale."""
        plans = hand_made_plans()
        architecture = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
        for key in ("features_per_stage", "kernel_sizes", "strides", "n_conv_per_stage"):
            architecture[key] = architecture[key][:2]
        architecture.update(n_stages=2, n_conv_per_stage_decoder=[1])
        trainer = make_trainer(plans=plans)
        with np.errstate(invalid="ignore"):
            trainer.initialize()
        x = torch.zeros(1, 4, 8, 12, 12)
        assert torch.isfinite(trainer.loss([x], [torch.zeros(x.shape, dtype=torch.int8)]))

    @each("transpose", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
    def test_slices_are_the_first_axis_of_the_reader_wherever_nnunet_puts_it(
        self, transpose: tuple[int, int, int]
    ) -> None:
        trainer = make_trainer(plans=hand_made_plans(transpose))
        targets = targets_of(trainer)
        axis = targets.slice_axis
        assert transpose[axis] == 0
        assert trainer.capability.slice_axis == axis
        assert targets.style == style_for([(4.0, 1.5, 1.25)[a] for a in transpose])

    def test_a_2d_configuration_goes_slice_by_slice(self) -> None:
        targets = targets_of(make_trainer("2d"))
        assert targets.slice_axis == 0
        assert targets.style == style_for((9.0, 1.5, 1.25), in_plane=True)
        assert targets.style.radii[0] < 1

    def test_the_batch_size_of_this_device_reaches_the_transform(self) -> None:
        """Slots take turns in being shown prompts, so the transform must know how many there are."""
        trainer = make_trainer()
        assert targets_of(trainer).batch_size == trainer.configuration_manager.batch_size
        trainer.batch_size = 3  # as under DDP, where each device has a share
        assert trainer.targets().batch_size == 3

    def test_mirroring_at_inference_is_the_recipes_choice(self) -> None:
        class Still(PromptTrainer):
            mirror_at_inference = False

        for recipe, expected in ((PromptTrainer, (0, 1, 2)), (Still, None)):
            trainer = make_trainer(trainer=recipe)
            mirror_axes = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()[-1]
            assert mirror_axes == (0, 1, 2)  # training mirrors all the same
            assert trainer.inference_allowed_mirroring_axes == expected

    def test_the_ignore_label_reaches_the_transform(self) -> None:
        described = hand_made_dataset_json()
        described["labels"]["ignore"] = 4
        trainer = make_trainer(dataset_json=described)
        trainer.initialize()
        assert trainer.targets().ignore_label == 4
        outputs = trainer.network(torch.zeros(1, 8, 8, 12, 12))
        assert outputs[0].shape[1] == 4  # no output for it


class Voxels(PromptTrainer):
    point_metric = "voxel"


class Spacings(PromptTrainer):
    point_metric = "spacing"


@pytest.mark.usefixtures("results")
class TestPoints:
    """A recipe's points, else those of the weights it starts from, else the defaults."""

    def started(
        self, monkeypatch: pytest.MonkeyPatch, recipe: type[PromptTrainer], buffer: torch.Tensor
    ) -> Any:
        monkeypatch.setattr(nnUNetTrainer, "on_train_start", lambda self: None)
        monkeypatch.setattr("nnunet_prompt.training.trainer.one_component", lambda _: ("tumor",))
        trainer = make_trainer(trainer=recipe)
        assert trainer.points() == Points(metric=recipe.point_metric)  # before there is a network
        trainer.initialize()
        trainer.network.get_buffer("provenance").copy_(buffer)
        Path(trainer.output_folder_base).mkdir(parents=True, exist_ok=True)
        trainer.on_train_start()
        return trainer

    BALLS = Points("ball", 3.0, "voxel")
    SAID = "points: edt, radius 4 voxels"

    @each(
        ("recipe", "buffer", "points", "said"),
        [
            (PromptTrainer, pack(()), Points(), None),
            (Voxels, pack(()), Points(metric="voxel"), None),
            (
                PromptTrainer,
                pack((), BALLS),
                BALLS,
                "points: ball, radius 3 voxels along every axis, as the weights it starts from know them",
            ),
            (
                PromptTrainer,
                pack([Origin("m", "nninteractive")]),
                Points(metric="voxel"),
                f"{SAID} along every axis, as the weights it starts from know them",
            ),
            (
                Spacings,
                pack((), BALLS),
                Points("ball", 3.0, "spacing"),
                "points: ball, radius 3 voxels of the finest axis, as the trainer states; the weights it starts from"
                " know ball, radius 3 voxels along every axis",
            ),
        ],
    )
    def test_they_reach_prompts_file_log_and_checkpoint(
        self,
        monkeypatch: pytest.MonkeyPatch,
        recipe: type[PromptTrainer],
        buffer: torch.Tensor,
        points: Points,
        said: str | None,
    ) -> None:
        trainer = self.started(monkeypatch, recipe, buffer)
        written = read_capability(Path(trainer.output_folder_base))
        assert written == trainer.capability and written.one_component == ("tumor",)
        assert (written.point_shape, written.point_radius, written.point_metric) == (
            points.shape,
            points.radius,
            points.metric,
        )
        assert trainer.targets().style == written.style()
        weights = trainer.network.state_dict()
        assert points_of(weights) == points and provenance_of(weights) == unpack(buffer)
        log = Path(trainer.log_file).read_text()
        assert said in log if said else "points:" not in log

    def test_the_next_training_and_the_validation_know_them(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        trainer = self.started(monkeypatch, Voxels, pack(()))
        trainer.save_checkpoint(str(tmp_path / "c.pth"))
        again = make_trainer()
        again.load_checkpoint(str(tmp_path / "c.pth"))  # as --val does it
        assert again.points() == Points(metric="voxel")
        start = make_trainer()
        start.initialize()
        load_pretrained_weights(start.network, str(tmp_path / "c.pth"))
        assert start.capability.point_metric == "voxel"


@pytest.mark.usefixtures("results")
@each("recipe", [PromptTrainer, PlainTrainer])
def test_a_seeded_training_that_is_resumed_does_not_replay_its_first_epochs(
    monkeypatch: pytest.MonkeyPatch, recipe: Any
) -> None:
    """What nnU-Net's loaders would draw first, as they are made in nnU-Net's `on_train_start`."""
    monkeypatch.setenv("nnUNet_prompt_seed", "7")
    draws: list[tuple[int, float]] = []

    def start(self: Any) -> None:
        draws.append((int(np.random.randint(2**31)), float(torch.rand(()))))  # noqa: NPY002

    monkeypatch.setattr(nnUNetTrainer, "on_train_start", start)
    monkeypatch.setattr("nnunet_prompt.training.trainer.one_component", lambda _: ())
    for epoch in (0, 0, 5, 5, 6):
        trainer = make_trainer(trainer=recipe)
        trainer.initialize()
        Path(trainer.output_folder_base).mkdir(parents=True, exist_ok=True)
        if epoch:
            np.random.seed(7)  # noqa: NPY002 - as `__init__` leaves it
            torch.manual_seed(7)
        trainer.current_epoch = epoch
        trainer.on_train_start()
    assert draws[0] == draws[1]
    assert draws[2] == draws[3]
    assert len({n for n, _ in draws}) == len({x for _, x in draws}) == 3


@pytest.mark.usefixtures("results")
class TestRefusals:
    def refusal(self, **what: Any) -> str:
        with pytest.raises(RefusedError) as caught:
            make_trainer(**what)
        message = str(caught.value)
        assert "\n" not in message
        assert caught.value.code == message  # printed by the interpreter, with exit code 1
        return message

    def test_regions(self, results: Path) -> None:
        described = hand_made_dataset_json()
        described["labels"]["whole"] = [1, 2]
        assert "'whole'" in self.refusal(dataset_json=described)
        assert not list(results.iterdir())  # before anything is written

    def test_a_cascade(self) -> None:
        plans = hand_made_plans()
        plans["configurations"]["3d_cascade_fullres"] = {
            "inherits_from": "3d_fullres",
            "previous_stage": "3d_lowres",
        }
        message = self.refusal(plans=plans, configuration="3d_cascade_fullres")
        assert "3d_cascade_fullres" in message and "3d_fullres" in message

    def test_a_broken_block(self) -> None:
        described = hand_made_dataset_json()
        del described["nnunet_prompt"]["structures"]["ball"]["members"]
        assert "nnunet_prompt" in self.refusal(dataset_json=described)

    def test_a_wrong_length(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("nnUNet_prompt_iterations", "long")
        assert "nnUNet_prompt_iterations" in self.refusal()
