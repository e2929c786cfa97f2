from __future__ import annotations

from typing import ClassVar

from nnunet_prompt.training.schedule import CPU_SCHEDULE, Schedule
from nnunet_prompt.training.trainer import PromptTrainer


class nnUNetTrainerPromptCPU(PromptTrainer):
    """1,200 iterations with AdamW, for a reduced plan on a CPU."""

    schedule: ClassVar[Schedule] = CPU_SCHEDULE
    mirror_at_inference: ClassVar[bool] = False
