"""A model with all it knows, for others to open without a pickle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from nnunet_prompt.data.word_bank import NAME as BANK_NAME
from nnunet_prompt.networks.capability import CAPABILITY_FILE, capability_to_json
from nnunet_prompt.weights.export_files import ModelFiles

if TYPE_CHECKING:
    from nnunet_prompt.inference.model_folder import LoadedModel

TRAINER: Final = "nnUNetTrainerPrompt"


def own_files(model: LoadedModel, configuration: str, folds: Sequence[str]) -> ModelFiles:
    """Our model folder with its weights as safetensors; `folds` are the names of the folds' folders, in the model's
    order.
    """
    return ModelFiles(
        trainer_name=TRAINER,
        configuration=configuration,
        plans=model.plans.plans,
        dataset_json=model.dataset_json,
        weights=dict(zip(folds, model.weights, strict=True)),
        mirror_axes=model.mirror_axes,
        extra={CAPABILITY_FILE: capability_to_json(model.capability)},
        safetensors=True,
        copied=tuple(path for path in [model.folder / BANK_NAME] if path.is_file()),
    )
