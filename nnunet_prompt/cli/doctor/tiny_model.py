"""A model folder with a tiny network that was never trained, to try the whole way of a prediction on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nnunet_prompt.io.json_file import write_json

SPACING = (8.0, 1.5, 1.5)  # z, y, x in mm, about that of the phantom hearts
PATCH = (8, 48, 48)
CONFIGURATION = "3d_fullres"
STRUCTURE = "LV"


def write_tiny_model(folder: Path) -> Path:
    """Writes the folder of a promptable 3D network of three stages; its weights are those of seed 0."""
    import torch
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from nnunet_prompt.data.structures import Structure, StructureTable
    from nnunet_prompt.networks.capability import Capability, write_capability
    from nnunet_prompt.training.trainer import PromptTrainer

    plans = _plans()
    described: dict[str, Any] = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, STRUCTURE: 1},
        "file_ending": ".nii.gz",
        "numTraining": 1,
        "nnunet_prompt": StructureTable((Structure(STRUCTURE, 1, (1,), 500),)).to_block(),
    }
    manager = PlansManager(plans)
    fold = folder / "fold_0"
    fold.mkdir(parents=True)
    write_json(folder / "plans.json", plans)
    write_json(folder / "dataset.json", described)
    write_capability(folder, Capability(grid_spacing=SPACING))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = PromptTrainer.build_network_architecture(
            manager, manager.get_configuration(CONFIGURATION), 1, 2, True
        )
    torch.save(
        {
            "network_weights": network.state_dict(),
            "init_args": {"plans": plans, "configuration": CONFIGURATION, "fold": 0},
            "trainer_name": "nnUNetTrainerPrompt",
            "inference_allowed_mirroring_axes": (),
        },
        fold / "checkpoint_final.pth",
    )
    return folder


def _plans() -> dict[str, Any]:
    configuration: dict[str, Any] = {
        "data_identifier": f"nnUNetPlans_{CONFIGURATION}",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": list(PATCH),
        "spacing": list(SPACING),
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "batch_dice": False,
        "architecture": _architecture(),
    }
    for data, order in (("data", 3), ("seg", 1), ("probabilities", 1)):
        configuration[f"resampling_fn_{data}"] = "resample_data_or_seg_to_shape"
        configuration[f"resampling_fn_{data}_kwargs"] = {
            "is_seg": data == "seg",
            "order": order,
            "order_z": 0,
            "force_separate_z": None,
        }
    return {
        "dataset_name": "Dataset999_SelfTest",
        "plans_name": "tinyPlans",
        "original_median_spacing_after_transp": list(SPACING),
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": {}},
        "configurations": {CONFIGURATION: configuration},
    }


def _architecture() -> dict[str, Any]:
    return {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": 3,
            "features_per_stage": [4, 8, 12],
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [[3, 3, 3]] * 3,
            "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
            "n_conv_per_stage": [1, 1, 1],
            "n_conv_per_stage_decoder": [1, 1],
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
