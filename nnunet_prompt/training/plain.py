"""Stock nnU-Net on a trainer's schedule: the baseline that prompted training is compared with."""

from __future__ import annotations

from typing import Any

from nnunet_prompt.training.checked import CheckedTrainer


class PlainTrainer(CheckedTrainer):
    """nnU-Net's network, loss, loader and validation; only the schedule differs, and inference does not mirror."""

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> Any:
        settings = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        self.inference_allowed_mirroring_axes = None
        return settings
