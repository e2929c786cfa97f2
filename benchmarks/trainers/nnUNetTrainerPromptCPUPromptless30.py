from __future__ import annotations

from typing import ClassVar

from nnunet_prompt.trainers.nnUNetTrainerPromptCPU import nnUNetTrainerPromptCPU
from nnunet_prompt.training.mixture import PromptMixture


class nnUNetTrainerPromptCPUPromptless30(nnUNetTrainerPromptCPU):
    """A third of the samples without prompts instead of half."""

    mixture: ClassVar[PromptMixture] = PromptMixture(promptless=1 / 3)
