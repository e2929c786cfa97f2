"""One site: its cases, nnU-Net's trainer on them, and the training of one part at a time."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nnunet_prompt.common.errors import RefusedError
from nnunet_prompt.common.log import progress
from nnunet_prompt.data.planned import open_planned
from nnunet_prompt.data.splits import fold_of
from nnunet_prompt.federated.part import Part, add, layout_of
from nnunet_prompt.federated.plan import Phase
from nnunet_prompt.federated.site_config import NodeConfig
from nnunet_prompt.federated.state import TunedState
from nnunet_prompt.networks.adapter_file import ADAPTER_FILE, write_adapter
from nnunet_prompt.networks.tunable import keep_statistics
from nnunet_prompt.training.external_trainers import register_trainers
from nnunet_prompt.training.request import check_trainer
from nnunet_prompt.training.resume import check_start
from nnunet_prompt.training.tune import TuneTrainer
from nnunet_prompt.training.validation import score_cases


class Site:
    """Trains parts on the cases of one site. What it returns depends on its arguments alone, not on earlier rounds."""

    def __init__(self, config: NodeConfig, *, seed: int = 0) -> None:
        """Opens the data and the base; `seed` is that of the whole federation.

        Raises `RefusedError` for a trainer that does not tune few parameters.
        """
        self.config, self.seed = config, seed
        self.trainer = _started(config)
        self.cases = len(self.trainer.do_split()[0])  # that train, by which a site is weighed
        network = self.trainer.plain_network()
        self.state = TunedState(network, self.trainer.tuning)
        self.weight_bytes = sum(p.numel() * p.element_size() for p in network.parameters())
        self.weight_bytes -= sum(f.up.nbytes + f.down.nbytes for f in self.start().low.values())

    @property
    def base_sha256(self) -> str:
        """The hash of the base, the same at all sites of a federation."""
        return str(self.trainer.base_sha256)

    @property
    def agreement(self) -> str:
        """A hash of what must be alike at all sites: base, names and shapes of a part, structures in order."""
        names = [s.name for s in self.trainer.table.structures]
        about = (self.base_sha256, layout_of(self.start()).digest, names)
        return hashlib.sha256(repr(about).encode()).hexdigest()

    def start(self) -> Part:
        """The shared part before the first round: the same at all sites."""
        return self.state.start(self.seed)

    def private_start(self) -> Part:
        """The private part before its first training; with other numbers than the shared one."""
        return self.state.start(self.seed + 1)

    def train(self, trains: Part, held: Part | None, phase: Phase) -> Part:
        """Trains one part on top of another that is held; returns the trained one."""
        trainer = self.trainer
        self.state.set(trains, held)
        self._seed(phase.round)
        trainer.optimizer.state.clear()
        trainer.network.train()
        keep_statistics(trainer.plain_network())
        title = f"site {self.config.site}"
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
        entropy = (self.seed, number, zlib.crc32(self.config.site.encode()))
        one = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        np.random.seed(one)  # noqa: NPY002 - nnU-Net's loaders draw from the global state
        torch.manual_seed(one)


def check_site(config: NodeConfig) -> None:
    """Raises `NNUNetPromptError` for data, plans, a trainer or a base that the site cannot use."""
    register_trainers()
    check_trainer(config.trainer)
    planned = open_planned(config.dataset, config.plans, config.configuration)
    fold_of(planned.folder, config.fold, planned.cases())
    check_start(config.base, planned)


def _started(config: NodeConfig) -> Any:
    """The trainer of a site at its first iteration, with the weights of the base."""
    from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
    from nnunetv2.run.run_training import get_trainer_from_args

    check_site(config)
    trainer = get_trainer_from_args(
        config.dataset,
        config.configuration,
        config.fold,
        config.trainer,
        config.plans,
        device=torch.device(config.device),
    )
    if not isinstance(trainer, TuneTrainer) or trainer.tuning.method in ("full", "spatial"):
        raise RefusedError(
            f"{config.trainer}: expected a trainer that tunes few parameters in place; give nnUNetTrainerPromptAffine,"
            " nnUNetTrainerPromptLoRA, nnUNetTrainerPromptBias or nnUNetTrainerPromptDecoder"
        )
    trainer.initialize()
    load_pretrained_weights(trainer.network, str(config.base))
    trainer.on_train_start()
    return trainer
