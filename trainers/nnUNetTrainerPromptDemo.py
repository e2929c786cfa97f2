from __future__ import annotations

from typing import ClassVar

from nnunet_prompt.training.schedule import DEMO_SCHEDULE, Schedule
from nnunet_prompt.training.trainer import PromptTrainer


class nnUNetTrainerPromptDemo(PromptTrainer):
    """300 iterations with AdamW: enough to see it work."""

    schedule: ClassVar[Schedule] = DEMO_SCHEDULE
    mirror_at_inference: ClassVar[bool] = False
