from __future__ import annotations

from typing import ClassVar

from nnunet_prompt.trainers.nnUNetTrainerPromptCPU import nnUNetTrainerPromptCPU


class nnUNetTrainerPromptCPURadius2(nnUNetTrainerPromptCPU):
    """Points of half the radius."""

    point_radius: ClassVar[float] = 2.0
