from __future__ import annotations

from typing import ClassVar

from nnunet_prompt.training.tune import TuneTrainer
from nnunet_prompt.tuning.tunable import Tuning


class nnUNetTrainerPromptFinetune(TuneTrainer):
    """Tunes everything on the schedule of the other tuning recipes. Needs `-pretrained_weights`."""

    tuning: ClassVar[Tuning] = Tuning("full")
