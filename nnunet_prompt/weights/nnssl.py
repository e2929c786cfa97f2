"""nnssl and OpenMind: encoders that were pre-trained without labels, with an adaptation plan in the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.weights.source_model import UNET, SourceFiles, SourceModel, stem_name

NNSSL_PLAN = "nnssl_adaptation_plan"
RESENC_L = {
    "n_stages": 6,
    "features_per_stage": [32, 64, 128, 256, 320, 320],
    "conv_op": "torch.nn.modules.conv.Conv3d",
    "kernel_sizes": [[3, 3, 3]] * 6,
    "strides": [[1, 1, 1], *[[2, 2, 2]] * 5],
    "n_blocks_per_stage": [1, 3, 4, 6, 6, 6],
    "n_conv_per_stage_decoder": [1] * 5,
    "conv_bias": True,
    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
    "norm_op_kwargs": {"eps": 1e-5, "affine": True},
    "dropout_op": None,
    "dropout_op_kwargs": None,
    "nonlin": "torch.nn.LeakyReLU",
    "nonlin_kwargs": {"inplace": True},
}


def read_nnssl(files: SourceFiles) -> SourceModel:
    """The encoder alone; an adaptation plan of any version names where it lies.

    Raises `ModelError` for a network that is no U-Net, and `KeyError` and the like for plans of another form.
    """
    plan = files.checkpoint[NNSSL_PLAN]
    architecture = _architecture(plan, files)
    key = str(plan.get("key_to_stem") or plan["state_dict_key_to_stem"])
    prefix = key.removesuffix("stem") if key.endswith("stem") else _before_stages(plan)
    weights = {
        "encoder." + n.removeprefix(prefix): v
        for n, v in files.weights.items()
        if n.startswith(prefix)
    }
    stem_name(weights)
    taken = {value.data_ptr() for value in weights.values()}
    weights |= {
        f"pretraining.{n}": v for n, v in files.weights.items() if v.data_ptr() not in taken
    }
    return SourceModel(
        path=files.path,
        family="nnssl",
        trainer=files.trainer,
        weights=weights,
        settings={"architecture": architecture, **_settings(plan)},
        plans=plan.get("pretrain_plan") or {},
        encoder_only=True,
        note="only its encoder was pre-trained for this; the decoder is newly initialised",
    )


def _architecture(plan: Mapping[str, Any], files: SourceFiles) -> dict[str, Any]:
    """The network in the form of nnU-Net's plans; "ResEncL" goes without arguments."""
    named = plan.get("architecture_plans") or {"arch_class_name": plan["architecture_name"]}
    name = str(named["arch_class_name"])
    kwargs = named.get("arch_kwargs") or (RESENC_L if name.endswith("ResEncL") else None)
    if kwargs is None:
        raise ModelError(
            f"{files.path}: its architecture is {name}, expected ResEncL, a residual or a plain U-Net: other networks"
            " of nnssl (Primus) have no counterpart in nnU-Net's U-Nets"
        )
    kind = "PlainConvUNet" if "n_conv_per_stage" in kwargs else "ResidualEncoderUNet"
    return {
        "network_class_name": UNET + kind,
        "arch_kwargs": dict(kwargs),
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def _settings(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Patch size, spacing and normalisation, as far as the adaptation plan states them."""
    configurations = (plan.get("pretrain_plan") or {}).get("configurations") or {}
    if "normalization_schemes" not in configurations:  # several by name: the one that was used
        configurations = next(iter(configurations.values()), {})
    patch = plan.get("recommended_downstream_patchsize") or plan.get("input_patch_size")
    spacing = configurations.get("spacing")
    if configurations.get("spacing_style") == "onemmiso":
        spacing = [1.0, 1.0, 1.0]
    schemes = configurations.get("normalization_schemes")
    masks = configurations.get("use_mask_for_norm")
    known = {
        "patch_size": None if patch is None else [int(n) for n in patch],
        "spacing": None if spacing is None else [float(s) for s in spacing],
        "normalization_schemes": None if schemes is None else list(schemes),
        "use_mask_for_norm": masks if isinstance(masks, list) else None,
    }
    return {key: value for key, value in known.items() if value is not None}


def _before_stages(plan: Mapping[str, Any]) -> str:
    key = str(plan.get("key_to_encoder") or plan["state_dict_key_to_encoder"])
    return key.removesuffix("stages").rstrip(".") + "."
