from __future__ import annotations

from typing import ClassVar

from nnunet_prompt.training.experts import ExpertsTrainer
from nnunet_prompt.training.schedule import CPU_SCHEDULE, Schedule


class nnUNetTrainerPromptCPUExperts(ExpertsTrainer):
    """The schedule of nnUNetTrainerPromptCPU, with experts that are mixed by how the image looks."""

    schedule: ClassVar[Schedule] = CPU_SCHEDULE
    mirror_at_inference: ClassVar[bool] = False
