from __future__ import annotations

from nnunet_prompt.training.trainer import PromptTrainer


class nnUNetTrainerPrompt(PromptTrainer):
    """nnU-Net's own schedule: 1000 epochs of 250 iterations, SGD."""
