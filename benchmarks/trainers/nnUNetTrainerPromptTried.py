from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import ClassVar

from nnunet_prompt.trainers.nnUNetTrainerPromptCPU import nnUNetTrainerPromptCPU
from nnunet_prompt.training.mixture import PromptMixture
from nnunet_prompt.training.trainer import PromptTrainer

TRIED = json.loads(os.environ.get("nnUNet_prompt_tried", "{}"))


class nnUNetTrainerPromptTried(nnUNetTrainerPromptCPU):
    """The mixture that the variable nnUNet_prompt_tried describes, as JSON; for benchmarks/mixtures.py."""

    mixture: ClassVar[PromptMixture] = replace(PromptTrainer.mixture, **TRIED)
