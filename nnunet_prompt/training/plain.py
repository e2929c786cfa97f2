"""Stock nnU-Net on a recipe's schedule: the baseline that prompted training is compared with."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunet_prompt.data.structures import without_cases
from nnunet_prompt.training.schedule import Schedule, adamw, apply_schedule


class PlainTrainer(nnUNetTrainer):
    """nnU-Net's network, loss, loader and validation; only the schedule differs, and inference does not mirror."""

    schedule: ClassVar[Schedule] = Schedule()

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 - nnU-Net's signature
    ) -> None:
        super().__init__(plans, configuration, fold, without_cases(dataset_json), device)
        apply_schedule(self, self.schedule)

    def configure_optimizers(self) -> Any:
        return adamw(self) if self.schedule.optimizer == "adamw" else super().configure_optimizers()

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> Any:
        settings = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        self.inference_allowed_mirroring_axes = None
        return settings
