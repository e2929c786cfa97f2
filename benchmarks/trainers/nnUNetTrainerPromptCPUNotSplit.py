from __future__ import annotations

from typing import ClassVar

from nnunet_prompt.trainers.nnUNetTrainerPromptCPU import nnUNetTrainerPromptCPU
from nnunet_prompt.training.mixture import PromptMixture


class nnUNetTrainerPromptCPUNotSplit(nnUNetTrainerPromptCPU):
    """Structure heads also learn from samples that point at their structure."""

    mixture: ClassVar[PromptMixture] = PromptMixture(hide=False)
