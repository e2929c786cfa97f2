from __future__ import annotations

from typing import ClassVar

from nnunet_prompt.networks.tunable import Tuning
from nnunet_prompt.training.tune import TuneTrainer


class nnUNetTrainerPromptDecoder(TuneTrainer):
    """Tunes the decoder, the output layers included. Needs `-pretrained_weights`."""

    tuning: ClassVar[Tuning] = Tuning("decoder")
