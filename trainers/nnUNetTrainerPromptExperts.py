from __future__ import annotations

from nnunet_prompt.training.experts import ExpertsTrainer


class nnUNetTrainerPromptExperts(ExpertsTrainer):
    """nnU-Net's schedule, with experts that are mixed by how the image looks."""
