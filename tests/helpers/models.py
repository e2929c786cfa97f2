"""Plans, a data set description and model folders made by hand: quick, because nothing is planned or trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_prompt.data.structures import Structure, StructureTable

SPACING = (4.0, 1.5, 1.25)
PLANS = "tinyPlans"
TABLE = StructureTable(
    (
        Structure("ball", 1, (1,), 500),
        Structure("shell", 2, (2,), 200),
        Structure("core", 3, (3,), 2221),
    )
)


def hand_made_plans(transpose: tuple[int, int, int] = (0, 1, 2)) -> dict[str, Any]:
    """Plans like those of the tiny data set, without planning it; `transpose` is nnU-Net's transpose_forward."""
    spacing = [SPACING[axis] for axis in transpose]
    plans: dict[str, Any] = {
        "dataset_name": "Dataset501_Tiny",
        "plans_name": PLANS,
        "original_median_spacing_after_transp": spacing,
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": list(transpose),
        "transpose_backward": [int(i) for i in np.argsort(transpose)],
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": {}},
        "configurations": {},
    }
    for name, axes in (("2d", 2), ("3d_fullres", 3)):
        plans["configurations"][name] = {
            "data_identifier": f"nnUNetPlans_{name}",
            "preprocessor_name": "DefaultPreprocessor",
            "batch_size": 2,
            "patch_size": [8, 12, 12][-axes:],
            "spacing": spacing[-axes:],
            "normalization_schemes": ["ZScoreNormalization"],
            "use_mask_for_norm": [False],
            "batch_dice": False,
            "architecture": _architecture(axes),
        }
        for data, order in (("data", 3), ("seg", 1), ("probabilities", 1)):
            plans["configurations"][name] |= {
                f"resampling_fn_{data}": "resample_data_or_seg_to_shape",
                f"resampling_fn_{data}_kwargs": {
                    "is_seg": data == "seg",
                    "order": order,
                    "order_z": 0,
                    "force_separate_z": None,
                },
            }
    return plans


def hand_made_dataset_json(table: StructureTable = TABLE, channels: int = 1) -> dict[str, Any]:
    """A dataset.json for `table`."""
    return {
        "channel_names": {str(i): f"image {i}" for i in range(channels)},
        "labels": {"background": 0, **{s.name: s.label for s in table.structures}},
        "file_ending": ".nii.gz",
        "numTraining": 1,
        "nnunet_prompt": table.to_block(),
    }


def write_model_folder(
    folder: Path,
    *,
    configuration: str = "3d_fullres",
    table: StructureTable = TABLE,
    folds: tuple[int | str, ...] = (0,),
    channels: int = 1,
) -> Path:
    """A model folder as a training leaves it, with a network that was never trained; another one in each fold."""
    import torch
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from nnunet_prompt.networks.capability import Capability, write_capability
    from nnunet_prompt.training.trainer import PromptTrainer

    plans, described = hand_made_plans(), hand_made_dataset_json(table, channels)
    plans["foreground_intensity_properties_per_channel"] = {str(c): {} for c in range(channels)}
    for key in ("normalization_schemes", "use_mask_for_norm"):
        plans["configurations"][configuration][key] *= channels
    manager = PlansManager(plans)
    settings = manager.get_configuration(configuration)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(described))
    write_capability(folder, Capability(grid_spacing=tuple(settings.spacing)))
    outputs = 1 + len(table.structures)
    for number, fold in enumerate(folds):
        torch.manual_seed(number)
        network = PromptTrainer.build_network_architecture(
            manager, settings, channels, outputs, True
        )
        checkpoint = {
            "network_weights": network.state_dict(),
            "optimizer_state": {"state": {}, "param_groups": [{"lr": 0.01}]},
            "grad_scaler_state": None,
            "logging": {"mean_fg_dice": [np.float64(0.5)], "train_losses": [np.float32(1.0)]},
            "_best_ema": np.float64(0.5),
            "current_epoch": 1,
            "init_args": {
                "plans": plans,
                "configuration": configuration,
                "fold": fold,
                "dataset_json": described,
                "device": torch.device("cpu"),
            },
            "trainer_name": "nnUNetTrainerPrompt",
            "inference_allowed_mirroring_axes": tuple(range(len(settings.patch_size))),
        }
        (folder / f"fold_{fold}").mkdir(exist_ok=True)
        torch.save(checkpoint, folder / f"fold_{fold}" / "checkpoint_final.pth")
    return folder


def make_trainer(
    configuration: str = "3d_fullres",
    *,
    trainer: Any = None,
    plans: dict[str, Any] | None = None,
    dataset_json: dict[str, Any] | None = None,
) -> Any:
    """A trainer of fold 0 on the CPU, `PromptTrainer` unless another is given; not initialised."""
    import torch

    from nnunet_prompt.training.trainer import PromptTrainer

    return (trainer or PromptTrainer)(
        {**(plans or hand_made_plans()), "continue_training": False},
        configuration,
        0,
        dataset_json or hand_made_dataset_json(),
        torch.device("cpu"),
    )


def _architecture(axes: int) -> dict[str, Any]:
    return {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": 3,
            "features_per_stage": [4, 8, 12],
            "conv_op": f"torch.nn.modules.conv.Conv{axes}d",
            "kernel_sizes": [[3] * axes] * 3,
            "strides": [[1] * axes, [2] * axes, [2] * axes],
            "n_conv_per_stage": [1, 1, 1],
            "n_conv_per_stage_decoder": [1, 1],
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{axes}d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
