from __future__ import annotations

from typing import ClassVar

from nnunet_prompt.trainers.nnUNetTrainerPromptCPU import nnUNetTrainerPromptCPU
from nnunet_prompt.training.mixture import PromptMixture


class nnUNetTrainerPromptCPUNoFew(nnUNetTrainerPromptCPU):
    """Without few prompts, such as clicks, one box or a scribble in 3D."""

    mixture: ClassVar[PromptMixture] = PromptMixture(few=0.0)
