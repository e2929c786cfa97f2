from __future__ import annotations

from typing import ClassVar

from nnunet_prompt.networks.tunable import Tuning
from nnunet_prompt.training.tune import TuneTrainer


class nnUNetTrainerPromptLoRA(TuneTrainer):
    """Tunes a term of rank 4 on every convolution, and the output layers. Needs `-pretrained_weights`."""

    tuning: ClassVar[Tuning] = Tuning("lora", rank=4, alpha=4.0)
