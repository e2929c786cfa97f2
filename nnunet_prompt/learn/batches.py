"""Batches of augmented patches with prompts, drawn from a support set in memory by nnU-Net's own loader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunet_prompt.inference.model_folder import LoadedModel
from nnunet_prompt.learn.support import Support, SupportCase
from nnunet_prompt.training.mixture import PromptMixture
from nnunet_prompt.training.transform import CaseNote, NotedDataset, SimulatePrompts, Targets

# structures without prompts are what a support is for; the rest keeps the answer to prompts
MIXTURE = PromptMixture(promptless=0.75)
FOREGROUND = (
    0.67  # share of the patches that hold foreground; nnU-Net's .33 is for hundreds of cases
)


class MemoryDataset:
    """What nnU-Net's loader asks of a data set, with all cases in memory."""

    def __init__(self, cases: Sequence[SupportCase]) -> None:
        self.cases = {str(i): case for i, case in enumerate(cases)}
        self.identifiers = list(self.cases)

    def load_case(self, identifier: str) -> Any:
        """Image (C, Z, Y, X), labels (1, Z, Y, X), nothing of an earlier stage, and where the labels are."""
        case = self.cases[identifier]
        return case.image.numpy(), case.labels[None], None, {"class_locations": case.locations}


def batches(
    support: Support, cases: Sequence[SupportCase], model: LoadedModel
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless batches: images and prompts (B, C + 7, *patch), targets (B, 1 + K, *patch), of these `cases`.

    Chance comes from numpy's and torch's global generators, as in nnU-Net.
    """
    configuration = model.configuration
    manager = model.plans.get_label_manager(support.dataset_json)
    rotation, dummy, initial, mirror = _augmentation(configuration)
    note = CaseNote()
    inner = nnUNetTrainer.get_training_transforms(
        configuration.patch_size,
        rotation,
        None,
        mirror if model.mirror_axes else None,
        dummy,
        use_mask_for_norm=configuration.use_mask_for_norm,
        is_cascaded=False,
        foreground_labels=manager.foreground_labels,
        regions=None,
        ignore_label=manager.ignore_label,
    )
    simulate = SimulatePrompts(targets(support, model), note)
    loader = nnUNetDataLoader(
        NotedDataset(MemoryDataset(cases), note),
        configuration.batch_size,
        initial,
        configuration.patch_size,
        manager,
        oversample_foreground_percent=FOREGROUND,
        transforms=ComposeTransforms([inner, simulate]),
    )
    while True:
        batch = next(loader)
        yield batch["data"], batch["target"]


def targets(support: Support, model: LoadedModel) -> Targets:
    """The settings of the prompt transform."""
    two_d = len(model.configuration.patch_size) == 2
    manager = model.plans.get_label_manager(support.dataset_json)
    return Targets(
        table=support.table,
        style=model.capability.style(),
        mixture=MIXTURE,
        slice_axis=0 if two_d else model.capability.slice_axis,
        ignore_label=manager.ignore_label,
        batch_size=model.configuration.batch_size,
    )


def _augmentation(configuration: Any) -> tuple[Any, bool, Any, tuple[int, ...]]:
    """nnU-Net's rotation, 2d augmentation, patch to cut out, and axes to mirror along.

    Its trainer works them out from the patch size; the rest of the trainer is not needed for that.
    """
    asked = SimpleNamespace(configuration_manager=configuration, print_to_log_file=lambda *_: None)
    own = nnUNetTrainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size(asked)
    rotation, dummy, initial, mirror = own
    return rotation, bool(dummy), np.asarray(initial), tuple(mirror)
