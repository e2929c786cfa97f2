from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from nnunet_prompt.networks.tunable import Tuning
from nnunet_prompt.training.schedule import Schedule
from nnunet_prompt.training.tune import TUNE_SCHEDULE, TuneTrainer


class nnUNetTrainerPromptBias(TuneTrainer):
    """Tunes every bias, and the output layers. Needs `-pretrained_weights`."""

    tuning: ClassVar[Tuning] = Tuning("bias")
    schedule: ClassVar[Schedule] = replace(TUNE_SCHEDULE, learning_rate=1e-2)
