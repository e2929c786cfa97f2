from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from nnunet_prompt.training.mixture import PromptMixture
from nnunet_prompt.training.schedule import CPU_SCHEDULE, Schedule
from nnunet_prompt.training.trainer import PromptTrainer


class nnUNetTrainerPromptAggregate(PromptTrainer):
    """Short epochs, so that short trainings decay their learning rate evenly; for benchmarks/aggregate.py."""

    schedule: ClassVar[Schedule] = replace(CPU_SCHEDULE, iterations=10, val_iterations=1)
    mixture: ClassVar[PromptMixture] = PromptMixture(few=0.8, slices=0.1)
    mirror_at_inference: ClassVar[bool] = False
