"""Models of other families, built with nnU-Net's own classes and saved as their trainers save them."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import Tensor, nn

from nnunet_prompt.data.structures import Structure, StructureTable
from tests.helpers.models import hand_made_dataset_json, hand_made_plans, make_trainer

LABELS = {"background": 0, "Ball": 1, "rim": 2}
PATCH = (8, 12, 12)
TARGET = StructureTable((Structure("core", 1, (1,), 7), Structure("ball", 2, (2,), 9)))
DATASET_ID = 501


def plans_of(kind: str = "plain", *, configuration: str = "3d_fullres") -> dict[str, Any]:
    """Plans of a plain or a residual U-Net of three stages."""
    plans = hand_made_plans()
    settings = plans["configurations"].pop("3d_fullres")
    plans["configurations"] = {configuration: settings}
    if kind == "residual":
        architecture = settings["architecture"]
        architecture["network_class_name"] = (
            "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"
        )
        kwargs = architecture["arch_kwargs"]
        kwargs["n_blocks_per_stage"] = kwargs.pop("n_conv_per_stage")
    return plans


def source_plans(kind: str, dataset: str = "Dataset700_Source", **more: Any) -> dict[str, Any]:
    return plans_of(kind, **more) | {"dataset_name": dataset, "plans_name": "theirPlans"}


def source_dataset(channels: tuple[str, ...] = ("MR",), **labels: Any) -> dict[str, Any]:
    return {
        "channel_names": {str(i): name for i, name in enumerate(channels)},
        "labels": labels or LABELS,
        "file_ending": ".nii.gz",
    }


class nnUNetTrainer_4000epochs_NoMirroring(nnUNetTrainer):
    """A trainer of TotalSegmentator, which nnU-Net does not know."""


class nnInteractiveTrainer_stub(nnUNetTrainer):
    """nnInteractive's network: seven more inputs, two outputs."""

    @staticmethod
    def build_network_architecture(
        plans_manager: Any,
        configuration_manager: Any,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        network: nn.Module = nnUNetTrainer.build_network_architecture(
            plans_manager, configuration_manager, num_input_channels + 7, 2, enable_deep_supervision
        )
        return network


def trained_model(
    folder: Path,
    plans: dict[str, Any],
    dataset_json: dict[str, Any],
    *,
    trainer: type[nnUNetTrainer] = nnUNetTrainer,
) -> Path:
    """The model folder of a trainer with arbitrary weights, its checkpoint saved by the trainer itself."""
    configuration = next(iter(plans["configurations"]))
    made = make_trainer(configuration, trainer=trainer, plans=plans, dataset_json=dataset_json)
    made.initialize()
    randomise(made.network)
    (folder / "fold_0").mkdir(parents=True)
    made.save_checkpoint(str(folder / "fold_0" / "checkpoint_final.pth"))
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset_json))
    return folder


def checkpoint_in(folder: Path) -> Path:
    return folder / "fold_0" / "checkpoint_final.pth"


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Saves a checkpoint again after a change in place."""
    content = torch.load(path, weights_only=False)
    change(content)
    torch.save(content, path)
    return path


def prefixed(prefix: str) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        weights = content["network_weights"]
        content["network_weights"] = {prefix + name: value for name, value in weights.items()}

    return change


def nninteractive_model(folder: Path, *, licence: str | None = None) -> Path:
    """As it was released: without optimizer and data set, with its own files beside."""
    plans = source_plans("residual", configuration="3d_fullres_ps192_bs24")
    trained_model(folder, plans, source_dataset(("image",)), trainer=nnInteractiveTrainer_stub)

    def released(content: dict[str, Any]) -> None:
        del content["optimizer_state"], content["init_args"]["dataset_json"]

    edit(checkpoint_in(folder), released)
    (folder / "inference_session_class.json").write_text('"nnInteractiveInferenceSession"')
    if licence is not None:
        (folder / "LICENSE").write_text(f"\n{licence}\nmore text\n")
    return folder


def nnssl_checkpoint(path: Path, *, prefix: str = "encoder.", **architecture: Any) -> Path:
    """A masked autoencoder's checkpoint: a whole residual U-Net and the plan that names its encoder."""
    plans = source_plans("residual")
    network = nnunet_network(plans, 1, 1)
    randomise(network)
    kwargs = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    named = {"arch_class_name": "ResidualEncoderUNet", "arch_kwargs": kwargs} | architecture
    weights = {
        (prefix + n.removeprefix("encoder.") if n.startswith("encoder.") else n): v
        for n, v in network.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(
        {
            "network_weights": weights,
            "optimizer_state": {"state": {}, "param_groups": []},
            "trainer_name": "BaseMAETrainer_BS8",
            "init_args": {"configuration_name": "onemmiso", "fold": "all"},
            "nnssl_adaptation_plan": {
                "architecture_plans": named,
                "pretrain_plan": {
                    "dataset_name": "Dataset745_OpenMind",
                    "configurations": {
                        "onemmiso": {
                            "spacing_style": "onemmiso",
                            "spacing": None,
                            "normalization_schemes": ["ZScoreNormalization"],
                            "use_mask_for_norm": [False],
                        }
                    },
                },
                "pretrain_num_input_channels": 1,
                "recommended_downstream_patchsize": (8, 16, 16),
                "key_to_encoder": f"{prefix}stages",
                "key_to_stem": f"{prefix}stem",
            },
        },
        path,
    )
    return path


def multitalent_model(folder: Path, stems: tuple[str, ...] = ("035", "351_5")) -> Path:
    """Stems and heads per data set around nnU-Net's trunk; the first stem is the trunk's own."""
    trained_model(folder, source_plans("residual"), source_dataset(("MR",)))

    def several(content: dict[str, Any]) -> None:
        content["trainer_name"] = "MultiTalent_trainer_multistems_4000ep"
        content["init_args"]["dataset_json"] = {"dataset_ids": [*stems]}
        weights = content["network_weights"]
        renamed: dict[str, Tensor] = {}
        for name, value in weights.items():
            before, stem, rest = name.partition("encoder.stem.")
            for index, member in enumerate(stems):
                if stem:
                    renamed[f"{before}{stem}{member}.{rest}"] = value + index
                elif "seg_layers" in name:
                    renamed[name.replace("seg_layers.", f"seg_layers.{member}.")] = value + index
                else:
                    renamed[name] = value
        content["network_weights"] = renamed

    edit(checkpoint_in(folder), several)
    (folder / "dataset.json").unlink()
    return folder


def nnunet_network(
    plans: dict[str, Any], inputs: int, outputs: int, *, deep: bool = False
) -> nn.Module:
    """nnU-Net's own network of the only configuration of some plans."""
    manager = PlansManager(deepcopy(plans))
    configuration = manager.get_configuration(next(iter(plans["configurations"])))
    network: nn.Module = nnUNetTrainer.build_network_architecture(
        manager, configuration, inputs, outputs, deep
    )
    return network.eval()


def randomise(network: nn.Module) -> None:
    """Weights as after a training: nothing is zero or one."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)


def planned_dataset(
    root: Path, plans: dict[str, Any], *, table: StructureTable = TARGET, channels: int = 1
) -> Path:
    """A data set as nnU-Net leaves it after planning, without its images; the folder of its plans."""
    folder = root / "preprocessed" / f"Dataset{DATASET_ID}_Tiny"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nnUNetPlans.json").write_text(json.dumps(plans | {"plans_name": "nnUNetPlans"}))
    (folder / "dataset.json").write_text(json.dumps(hand_made_dataset_json(table, channels)))
    return folder


def nnunet_folders(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """nnU-Net's variables, and trainers that do not look for preprocessed files, of which there are none."""
    for name in ("preprocessed", "results", "raw"):
        monkeypatch.setenv(f"nnUNet_{name}", str(root / name))
    monkeypatch.setenv("nnUNet_compile", "f")
    where = "nnunetv2.training.nnUNetTrainer.nnUNetTrainer.infer_dataset_class"
    monkeypatch.setattr(where, lambda folder: None)


def prompt_trainer(folder: Path, configuration: str = "3d_fullres") -> Any:
    """Our trainer of the planned data set, initialised."""
    plans, described = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("nnUNetPlans", "dataset")
    )
    trainer = make_trainer(configuration, plans=plans, dataset_json=described)
    trainer.initialize()
    return trainer
