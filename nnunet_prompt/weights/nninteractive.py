"""A model as nnInteractive 2.6 serves it: one image channel, seven prompt channels, background and object.

nnInteractive works on the voxels as its viewer holds them. It neither transposes, crops nor resamples, normalises with
one z-score, draws every point as the same ball and stretches nothing: a model that was trained otherwise is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.data.plans_reader import REORIENTING
from nnunet_prompt.networks.provenance import provenance_of
from nnunet_prompt.networks.tensor_names import SEG_LAYERS, stock_names
from nnunet_prompt.prompts.channels import (
    BOX,
    CHANNEL_NAMES,
    MASK,
    N_PROMPT_CHANNELS,
    POINT,
    SCRIBBLE,
)
from nnunet_prompt.weights.export_files import ModelFiles

if TYPE_CHECKING:
    from torch import Tensor

    from nnunet_prompt.inference.model_folder import LoadedModel

INFO_FILE: Final = "inference_info.json"
FAMILY: Final = "nninteractive"
TRAINER: Final = "nnInteractiveTrainer_stub"  # its own name for "build what the plans state"
TRIED_WITH: Final = "2.6.0"
MARGIN: Final = (
    24  # its refinement trusts a patch only where it is that many voxels away from every border
)
ROOMY: Final = 96  # patches of which it trusts half along every axis
NO_RESAMPLING: Final = "no_resampling_hack"


def nninteractive_files(model: LoadedModel, configuration: str, *, where: Path) -> ModelFiles:
    """The folder that nnInteractive loads, from a model with one fold; it is always written as fold 0.

    Its two outputs are a background of constant zero and the object head, so their softmax is the object's sigmoid.
    Raises `ModelError`, naming the folder `where`, for what nnInteractive would serve wrongly.
    """
    problem = next(_problems(model, configuration), None)
    if problem is not None:
        raise ModelError(f"{where}: {problem}")
    from nnunet_prompt.inference.stock_reader import plain_plans

    (weights,) = model.weights
    described = {
        "channel_names": model.dataset_json["channel_names"],
        "labels": {"background": 0, "object": 1},
        "numTraining": model.dataset_json.get("numTraining", 0),
        "file_ending": model.dataset_json["file_ending"],
    }
    return ModelFiles(
        trainer_name=TRAINER,
        configuration=configuration,
        plans=plain_plans(model.plans.plans),
        dataset_json=described,
        weights={"fold_0": two_outputs(stock_names(weights))},
        extra={INFO_FILE: inference_info(model)},
        notes=tuple(_notes(model)),
        warned=model.table.orientation == "canonical" or _reorients(model),
    )


def two_outputs(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights, by nnU-Net's names, with the outputs background (zero) and object in every head of the decoder."""
    import torch

    def rows(name: str, value: Tensor) -> Tensor:
        if not name.startswith(SEG_LAYERS):
            return value
        return torch.cat([torch.zeros_like(value[:1]), value[:1]])

    return {name: rows(name, value) for name, value in weights.items()}


def inference_info(model: LoadedModel) -> dict[str, Any]:
    """nnInteractive's capability file: what the model answers to, and in which channels.

    What training never showed is not offered. Our training draws no lassos, and models that do not state their mixture
    were shown no scribbles: these are offered where the weights come from a model that knew them, nnInteractive's own.
    """
    started_there = any(o.family == FAMILY for one in model.weights for o in provenance_of(one))
    mask, box, point, scribble = (
        CHANNEL_NAMES[channel] not in model.capability.unsupported
        for channel in (MASK, BOX[0], POINT[0], SCRIBBLE[0])
    )
    thickness = max(1, round(2 * model.capability.scribble_radius))
    return {
        "inference_class": "nnInteractiveInferenceSession",
        "inference_class_min_version": TRIED_WITH,
        "supported_interactions": {
            "points": point,
            "bbox2d": box,
            "bbox3d": box,
            "scribble": started_there or (scribble and model.capability.mixture is not None),
            "lasso": started_there,
        },
        "supports_initial_label": mask,
        "supports_zero_shot_label_refinement": mask,
        "interaction_channels": N_PROMPT_CHANNELS - 1,  # it counts them without the mask
        "channel_mapping": {
            "prev_seg": MASK,
            "bbox2d": list(BOX),
            "bbox3d": list(BOX),
            "lasso": list(BOX),
            "points": list(POINT),
            "scribble": list(SCRIBBLE),
        },
        "point_radius": round(model.capability.point_radius),
        "preferred_scribble_thickness": [thickness] * 3,
        "interaction_decay": model.capability.interaction_decay,
        "pad_mode_image": model.capability.pad_mode_image,
    }


def _problems(model: LoadedModel, configuration: str) -> Iterator[str]:
    """Differences between nnInteractive and the training, and what to do, one line each."""
    if len(model.configuration.patch_size) != 3:
        yield f"configuration {configuration} is 2d, nnInteractive serves volumes; train and export 3d_fullres"
        return
    if model.n_image_channels != 1:
        yield (
            f"dataset.json: channel_names has {model.n_image_channels} image channels, nnInteractive gives one;"
            " train on one of them"
        )
    yield from _plan_problems(model, f"plans.json: configurations.{configuration}")
    yield from _prompt_problems(model)


def _plan_problems(model: LoadedModel, key: str) -> Iterator[str]:
    settings: dict[str, Any] = model.configuration.configuration
    forward = [int(axis) for axis in model.plans.transpose_forward]
    if forward != [0, 1, 2]:
        yield (
            f"plans.json: transpose_forward is {forward}, nnInteractive leaves the axes as they are; train with plans"
            " whose transpose_forward and transpose_backward are [0, 1, 2], spacing and patch size in that order"
        )
    for name in ("resampling_fn_data", "resampling_fn_probabilities"):
        if settings[name] != NO_RESAMPLING:
            yield (
                f"{key}.{name} is {settings[name]}, nnInteractive never resamples; train with plans of"
                " `nnUNetv2_plan_and_preprocess -pl nnUNetPlannerResEncL_noResampling`"
            )
    if settings["preprocessor_name"] != "DefaultPreprocessor":
        yield (
            f"{key}.preprocessor_name is {settings['preprocessor_name']}, nnInteractive knows DefaultPreprocessor only;"
            " train with plans that use it"
        )
    if settings["normalization_schemes"] != ["ZScoreNormalization"]:
        yield (
            f"{key}.normalization_schemes is {settings['normalization_schemes']}, nnInteractive takes the z-score of"
            " the image; train with ['ZScoreNormalization'], which nnU-Net plans for any channel name but CT"
        )
    if settings["use_mask_for_norm"] != [False]:
        yield (
            f"{key}.use_mask_for_norm is {settings['use_mask_for_norm']}, nnInteractive normalises without a mask;"
            " set it to [false] in the plans, preprocess and train again"
        )


def _prompt_problems(model: LoadedModel) -> Iterator[str]:
    capability = model.capability
    if capability.point_shape != "edt":
        yield (
            f"prompt_capability.json: point_shape is {capability.point_shape}, nnInteractive draws edt; train with a"
            " trainer whose point_shape is 'edt'"
        )
    radii = capability.style().radii
    if set(radii) != {float(round(capability.point_radius))}:
        yield (
            f"prompt_capability.json: points have radii of {' x '.join(f'{r:g}' for r in radii)} voxels, nnInteractive"
            " draws one whole number along every axis; train with nnUNetTrainerPromptVoxel, or another trainer whose"
            " point_metric is 'voxel' and whose point_radius is a whole number"
        )
    if capability.interaction_decay != 1:
        yield (
            f"prompt_capability.json: interaction_decay is {capability.interaction_decay:g}, expected 1, which is what"
            " nnunet_prompt trains with; train again from these weights with a trainer of nnunet_prompt"
        )


def _reorients(model: LoadedModel) -> bool:
    return model.reader.name in REORIENTING


def _notes(model: LoadedModel) -> Iterable[str]:
    patch = [int(n) for n in model.configuration.patch_size]
    if min(patch) < ROOMY:
        yield (
            f"patch {' x '.join(map(str, patch))}: switch nnInteractive's auto-zoom off and keep boxes within two"
            f" thirds of the patch; beyond that it refines in steps of the patch less {2 * MARGIN} voxels, which takes"
            f" long below {ROOMY} and fails up to {2 * MARGIN}"
        )
    if model.table.orientation == "canonical":
        yield (
            "the model was trained on images in canonical orientation, as `nnunet-prompt convert` writes them;"
            " nnInteractive takes the axes as the viewer holds them, so give it such images"
        )
    elif _reorients(model):
        yield (
            f"the model was trained on images that {model.reader.name} had brought to RAS; nnInteractive takes the axes"
            " as the viewer holds them, so give it such images"
        )
