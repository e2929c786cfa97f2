from __future__ import annotations

from typing import ClassVar

from nnunet_prompt.training.schedule import CPU_SCHEDULE, Schedule
from nnunet_prompt.training.supported import SupportTrainer


class nnUNetTrainerPromptCPUSupport(SupportTrainer):
    """The schedule of nnUNetTrainerPromptCPU, and samples that are shown another case instead of prompts."""

    schedule: ClassVar[Schedule] = CPU_SCHEDULE
    mirror_at_inference: ClassVar[bool] = False
