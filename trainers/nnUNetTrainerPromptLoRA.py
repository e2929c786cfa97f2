from __future__ import annotations

from typing import ClassVar

from nnunet_prompt.training.tune import TuneTrainer
from nnunet_prompt.tuning.tunable import Tuning


class nnUNetTrainerPromptLoRA(TuneTrainer):
    """Tunes a term of rank 4 on every convolution, and the output layers. Needs `-pretrained_weights`."""

    tuning: ClassVar[Tuning] = Tuning("lora", rank=4, alpha=4.0)
