from __future__ import annotations

from typing import ClassVar

from nnunet_prompt.prompts.encode import PointShape
from nnunet_prompt.trainers.nnUNetTrainerPromptCPU import nnUNetTrainerPromptCPU


class nnUNetTrainerPromptCPUGaussian(nnUNetTrainerPromptCPU):
    """Points are drawn as gaussian with the same peak."""

    point_shape: ClassVar[PointShape] = "gaussian"
