from __future__ import annotations

from typing import ClassVar

from nnunet_prompt.networks.tunable import Tuning
from nnunet_prompt.training.tune import TuneTrainer


class nnUNetTrainerPromptFinetune(TuneTrainer):
    """Tunes everything on the schedule of the other tuning trainers. Needs `-pretrained_weights`."""

    tuning: ClassVar[Tuning] = Tuning("full")
