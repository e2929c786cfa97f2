from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from nnunet_prompt.training.experts import ExpertsTrainer
from nnunet_prompt.training.mixture import PromptMixture
from nnunet_prompt.training.schedule import CPU_SCHEDULE, Schedule


class nnUNetTrainerPromptAggregateExperts(ExpertsTrainer):
    """nnUNetTrainerPromptAggregate with experts; for benchmarks/aggregate.py."""

    schedule: ClassVar[Schedule] = replace(CPU_SCHEDULE, iterations=10, val_iterations=1)
    mixture: ClassVar[PromptMixture] = PromptMixture(few=0.8, slices=0.1)
    mirror_at_inference: ClassVar[bool] = False
