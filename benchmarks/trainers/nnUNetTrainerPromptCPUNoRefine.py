from __future__ import annotations

from typing import ClassVar

from nnunet_prompt.trainers.nnUNetTrainerPromptCPU import nnUNetTrainerPromptCPU
from nnunet_prompt.training.mixture import PromptMixture


class nnUNetTrainerPromptCPUNoRefine(nnUNetTrainerPromptCPU):
    """Without rounds of correction."""

    mixture: ClassVar[PromptMixture] = PromptMixture(refine=0.0)
