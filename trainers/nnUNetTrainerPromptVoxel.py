from __future__ import annotations

from typing import ClassVar

from nnunet_prompt.networks.capability import PointMetric
from nnunet_prompt.training.trainer import PromptTrainer


class nnUNetTrainerPromptVoxel(PromptTrainer):
    """nnU-Net's schedule; points have one radius in voxels along every axis, as nnInteractive draws them."""

    point_metric: ClassVar[PointMetric] = "voxel"
