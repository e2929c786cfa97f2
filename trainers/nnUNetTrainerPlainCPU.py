from __future__ import annotations

from typing import ClassVar

from nnunet_prompt.training.plain import PlainTrainer
from nnunet_prompt.training.schedule import CPU_SCHEDULE, Schedule


class nnUNetTrainerPlainCPU(PlainTrainer):
    """Stock loss and network with the schedule of nnUNetTrainerPromptCPU: the baseline to compare with."""

    schedule: ClassVar[Schedule] = CPU_SCHEDULE
