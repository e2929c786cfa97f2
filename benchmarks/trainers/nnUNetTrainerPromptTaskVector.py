from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from nnunet_prompt.training.mixture import PromptMixture
from nnunet_prompt.training.schedule import CPU_SCHEDULE, Schedule
from nnunet_prompt.training.show_support import SupportShares
from nnunet_prompt.training.supported import SupportTrainer


class nnUNetTrainerPromptTaskVector(SupportTrainer):
    """Supports in half of the samples; for benchmarks/task_vector.py."""

    schedule: ClassVar[Schedule] = replace(CPU_SCHEDULE, iterations=50, val_iterations=1)
    mixture: ClassVar[PromptMixture] = PromptMixture(promptless=0.67, few=0.4, mask=0.2, refine=0.0)
    support_shares: ClassVar[SupportShares] = SupportShares(support=0.5)
    mirror_at_inference: ClassVar[bool] = False
