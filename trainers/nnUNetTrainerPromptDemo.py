from __future__ import annotations

from typing import ClassVar

from nnunet_prompt.training.mixture import PromptMixture
from nnunet_prompt.training.schedule import DEMO_SCHEDULE, Schedule
from nnunet_prompt.training.trainer import PromptTrainer


class nnUNetTrainerPromptDemo(PromptTrainer):
    """450 iterations with AdamW, on clean boxes and points, most of them in every slice: enough to see it work."""

    schedule: ClassVar[Schedule] = DEMO_SCHEDULE
    mixture: ClassVar[PromptMixture] = PromptMixture(
        few=0.15,
        slices=0.85,
        scribbles=0.0,
        mask=0.0,
        continued=0.0,
        p_box_only=0.1,
        p_points_only=0.1,
        p_jitter=0.0,
        p_sparse=0.0,
        p_wrong=0.0,
        p_negatives=1.0,
        p_negative_area=0.0,
        refine=0.0,
    )
    mirror_at_inference: ClassVar[bool] = False
