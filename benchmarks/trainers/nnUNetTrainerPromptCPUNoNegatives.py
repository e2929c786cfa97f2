from __future__ import annotations

from typing import ClassVar

from nnunet_prompt.trainers.nnUNetTrainerPromptCPU import nnUNetTrainerPromptCPU
from nnunet_prompt.training.mixture import PromptMixture


class nnUNetTrainerPromptCPUNoNegatives(nnUNetTrainerPromptCPU):
    """Other structures never serve as negatives."""

    mixture: ClassVar[PromptMixture] = PromptMixture(p_negatives=0.0, p_negative_area=0.0)
