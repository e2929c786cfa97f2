from __future__ import annotations

from nnunet_prompt.training.supported import SupportTrainer


class nnUNetTrainerPromptSupport(SupportTrainer):
    """nnU-Net's schedule, and samples that are shown another case instead of prompts."""
