"""Iterations after rounds of correction: the network is shown its own mask and clicks on its errors."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, autocast, nn

from nnunet_prompt.prompts.channels import N_PROMPT_CHANNELS
from nnunet_prompt.training.loss import UNKNOWN
from nnunet_prompt.training.measured import MeasuredTrainer
from nnunet_prompt.training.mixture import PromptMixture
from nnunet_prompt.training.refine import Rounds, refine
from nnunet_prompt.training.transform import Progress, Targets, seeded_generator


class CorrectedTrainer(MeasuredTrainer):
    """Corrects the object's mask by prompts in the mixture's share of the iterations."""

    mixture: ClassVar[PromptMixture]

    def __init__(self, *args: Any, **kw: Any) -> None:
        super().__init__(*args, **kw)
        self.training_progress = Progress()  # of the training alone
        self._rounds: Rounds | None = None  # known when the weights are loaded

    @abstractmethod
    def targets(self) -> Targets:
        """The settings of the prompt transform."""

    def plain_network(self) -> nn.Module:
        """The network without what DDP and torch.compile put around it."""
        network: nn.Module = self.network.module if self.is_ddp else self.network
        return getattr(network, "_orig_mod", network)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """nnU-Net's step, in a share of the iterations after rounds of correction (see `training.refine`)."""
        share = self.mixture.refine_share(self.training_progress.iteration)
        if np.random.random() < share:  # noqa: NPY002 - the state that a seed sets
            rng = seeded_generator()
            targets = batch["target"] if isinstance(batch["target"], list) else [batch["target"]]
            rounds = self._correction()
            channels = self.num_input_channels + N_PROMPT_CHANNELS  # a support may follow
            data = batch["data"][:, :channels]
            shown = refine(data, targets[0][:, 0], self._object_logits, rng, rounds)
            if self.mixture.hide and shown:  # corrections may point at any structure
                for target in targets:
                    target[shown, 1:] = UNKNOWN
        result: dict[str, Any] = super().train_step(batch)
        return result

    def _correction(self) -> Rounds:
        """How corrections are drawn: the same in all iterations, and asking the weights for it makes a device wait."""
        if self._rounds is None:
            setup = self.targets()
            strokes = self.mixture.scribbles > 0
            self._rounds = Rounds(
                self.mixture.max_rounds, setup.style, setup.slice_axis, scribbles=strokes
            )
        return self._rounds

    @torch.no_grad()
    def _object_logits(self, data: Tensor) -> Tensor:
        network = self.network.module if self.is_ddp else self.network
        with autocast("cuda", enabled=self.device.type == "cuda"):
            output = network(data.to(self.device, non_blocking=True))
        logits: Tensor = (output[0] if isinstance(output, (list, tuple)) else output)[:, 0]
        return logits
