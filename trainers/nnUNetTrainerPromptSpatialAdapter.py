from __future__ import annotations

from typing import ClassVar

from nnunet_prompt.networks.tunable import Tuning
from nnunet_prompt.training.tune import TuneTrainer


class nnUNetTrainerPromptSpatialAdapter(TuneTrainer):
    """Tunes two new convolutions behind the decoder, and the output layers. Needs `-pretrained_weights`."""

    tuning: ClassVar[Tuning] = Tuning("spatial")
