from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any, ClassVar

from nnunet_prompt.trainers.nnUNetTrainerPromptCPU import nnUNetTrainerPromptCPU
from nnunet_prompt.training.mixture import PromptMixture
from nnunet_prompt.training.trainer import PromptTrainer
from nnunet_prompt.training.transform import SimulatePrompts

TRIED = json.loads(os.environ.get("nnUNet_prompt_tried", "{}"))
FIRST = TRIED.pop(
    "first_promptless", 0.0
)  # share of the epochs without any prompt; needs nnUNet_n_proc_DA=0
_AS_MIXED = SimulatePrompts._is_promptless


class nnUNetTrainerPromptTried(nnUNetTrainerPromptCPU):
    """The mixture that the variable nnUNet_prompt_tried describes, as JSON; for benchmarks/mixtures.py."""

    mixture: ClassVar[PromptMixture] = replace(PromptTrainer.mixture, **TRIED)

    def on_epoch_start(self) -> None:
        super().on_epoch_start()
        early = self.current_epoch < FIRST * self.num_epochs

        def is_promptless(transform: Any) -> bool:
            return _AS_MIXED(transform) or early

        SimulatePrompts._is_promptless = is_promptless  # type: ignore[method-assign]
