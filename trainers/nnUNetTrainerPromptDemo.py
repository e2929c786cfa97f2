from __future__ import annotations

from typing import ClassVar

from nnunet_prompt.training.mixture import PromptMixture
from nnunet_prompt.training.schedule import DEMO_SCHEDULE, Schedule
from nnunet_prompt.training.trainer import PromptTrainer


class nnUNetTrainerPromptDemo(PromptTrainer):
    """300 iterations with AdamW, on clean boxes and points per slice only: enough to see it work."""

    schedule: ClassVar[Schedule] = DEMO_SCHEDULE
    mixture: ClassVar[PromptMixture] = PromptMixture(
        slices=0.65,
        volume=0.0,
        mask=0.0,
        continued=0.0,
        none=0.35,
        p_box_only=0.1,
        p_points_only=0.1,
        p_jitter=0.0,
        p_sparse=0.0,
        p_wrong=0.0,
        p_negatives=1.0,
    )
    mirror_at_inference: ClassVar[bool] = False
