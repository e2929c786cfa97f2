from __future__ import annotations

from typing import ClassVar

from nnunet_prompt.training.schedule import Schedule
from nnunet_prompt.training.trainer import PromptTrainer


class nnUNetTrainerPrompt_250epochs(PromptTrainer):
    """nnU-Net's schedule, a quarter as long."""

    schedule: ClassVar[Schedule] = Schedule(epochs=250)
