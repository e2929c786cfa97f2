"""One site: its cases, nnU-Net's trainer on them, and the training of one part at a time."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from nnunet_prompt.common.errors import RefusedError
from nnunet_prompt.common.log import progress
from nnunet_prompt.federated.part import Part, add
from nnunet_prompt.federated.state import TunedState
from nnunet_prompt.networks.adapter_file import ADAPTER_FILE, write_adapter
from nnunet_prompt.networks.tunable import keep_statistics
from nnunet_prompt.training.tune import TuneTrainer
from nnunet_prompt.training.validation import score_cases

PRIVATE_ROUND = 1_000_000  # the round number that the private part's seed is made from
Trains = Literal["shared", "private"]


@dataclass(frozen=True, slots=True)
class SiteRequest:
    """The data and the base of a site, in nnU-Net's words.

    * name: of the site, part of its seed and of its messages
    * dataset, configuration, fold, plans, trainer: as `nnunet-prompt train` takes them; the trainer tunes few
      parameters
    * base: the checkpoint that all sites start from
    * seed: of the whole federation
    """

    name: str
    dataset: str
    base: Path
    configuration: str = "3d_fullres"
    fold: int = 0
    plans: str = "nnUNetPlans"
    trainer: str = "nnUNetTrainerPromptLoRA"
    device: str = "cpu"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Phase:
    """One training of one part: its steps, the learning rate from its first to behind its last, and its round.

    The round's number is part of the seed.
    """

    iterations: int
    learning_rates: tuple[float, float]
    round: int

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step, from 0."""
        first, end = self.learning_rates
        return first + (end - first) * step / self.iterations


class Site:
    """Trains parts on the cases of one site. What it returns depends on its arguments alone, not on earlier rounds."""

    def __init__(self, request: SiteRequest) -> None:
        """Opens the data and the base. Raises `RefusedError` for a trainer that does not tune few parameters."""
        self.request = request
        self.trainer = _started(request)
        network = self.trainer.plain_network()
        self.state = TunedState(network, self.trainer.tuning)
        self.weight_bytes = sum(p.numel() * p.element_size() for p in network.parameters())
        self.weight_bytes -= sum(f.up.nbytes + f.down.nbytes for f in self.start().low.values())

    @property
    def cases(self) -> int:
        """The training cases, by which the server weighs the site."""
        return len(self.trainer.do_split()[0])

    @property
    def base_sha256(self) -> str:
        """The hash of the base, the same at all sites of a federation."""
        return str(self.trainer.base_sha256)

    def start(self) -> Part:
        """The shared part before the first round: the same at all sites."""
        return self.state.start(self.request.seed)

    def private_start(self) -> Part:
        """The private part before its first training; with other numbers than the shared one."""
        return self.state.start(self.request.seed + 1)

    def train(self, trains: Part, held: Part | None, phase: Phase) -> Part:
        """Trains one part on top of another that is held; returns the trained one."""
        trainer = self.trainer
        self.state.set(trains, held)
        self._seed(phase.round)
        trainer.optimizer.state.clear()
        trainer.network.train()
        keep_statistics(trainer.plain_network())
        title = f"{self.request.name}, round {phase.round}"
        for step in progress(range(phase.iterations), title, unit="iteration"):
            for group in trainer.optimizer.param_groups:
                group["lr"] = phase.learning_rate(step)
            trainer.train_step(next(trainer.dataloader_train))
        return self.state.read()

    def patch_dice(self, part: Part, held: Part | None = None, *, patches: int = 4) -> float:
        """The Dice of the structures on validation patches, always the same ones; nan where they show none."""
        trainer = self.trainer
        self.state.set(part, held)
        self._seed(0)
        trainer.network.eval()
        with torch.no_grad():
            steps = [trainer.validation_step(next(trainer.dataloader_val)) for _ in range(patches)]
        tp, fp, fn = (
            np.sum([s[k] for s in steps], axis=0) for k in ("tp_hard", "fp_hard", "fn_hard")
        )
        seen = (2 * tp + fp + fn) > 0
        return (
            float(np.mean(2 * tp[seen] / (2 * tp + fp + fn)[seen])) if seen.any() else float("nan")
        )

    def case_dice(
        self, part: Part, held: Part | None, kinds: Sequence[str]
    ) -> dict[str, dict[str, list[float]]]:
        """The Dice of each validation case (the mean of its structures), by kind of prompt and case."""
        self.state.set(part, held)
        found: dict[str, dict[str, list[float]]] = {kind: {} for kind in kinds}
        for row in score_cases(self.trainer, kinds):
            if row["metrics"]["Dice"] is not None:
                found[row["kind"]].setdefault(row["case"], []).append(row["metrics"]["Dice"])
        return found

    def write(self, part: Part, private: Part | None = None) -> Path:
        """Writes the model of this site into nnU-Net's results: checkpoint_final.pth and adapter.pth; returns that."""
        trainer = self.trainer
        whole = part if private is None else add(part, private)
        self.state.set(part if private is None else private, None if private is None else part)
        folder = Path(trainer.output_folder)
        trainer.save_checkpoint(str(folder / "checkpoint_final.pth"))
        write_adapter(folder / ADAPTER_FILE, self.state.adapter(whole, trainer.adapter()))
        return folder / ADAPTER_FILE

    def _seed(self, number: int) -> None:
        entropy = (self.request.seed, number, zlib.crc32(self.request.name.encode()))
        one = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        np.random.seed(one)  # noqa: NPY002 - nnU-Net's loaders draw from the global state
        torch.manual_seed(one)


def _started(request: SiteRequest) -> Any:
    """The trainer of a site at its first iteration, with the weights of the base."""
    from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
    from nnunetv2.run.run_training import get_trainer_from_args

    trainer = get_trainer_from_args(
        request.dataset,
        request.configuration,
        request.fold,
        request.trainer,
        request.plans,
        device=torch.device(request.device),
    )
    if not isinstance(trainer, TuneTrainer) or trainer.tuning.method in ("full", "spatial"):
        raise RefusedError(
            f"{request.trainer}: expected a trainer that tunes few parameters in place; give nnUNetTrainerPromptAffine,"
            " nnUNetTrainerPromptLoRA, nnUNetTrainerPromptBias or nnUNetTrainerPromptDecoder"
        )
    trainer.initialize()
    load_pretrained_weights(trainer.network, str(request.base))
    trainer.on_train_start()
    return trainer
