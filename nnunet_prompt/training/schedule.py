"""The schedule of a trainer: how long and how fast it trains."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any, Literal

from nnunet_prompt.common.errors import RefusedError

ITERATIONS_VARIABLE = "nnUNet_prompt_iterations"
SEED_VARIABLE = "nnUNet_prompt_seed"
LARGEST_NUMBER = 2**32 - 1  # numpy's largest seed


@dataclass(frozen=True, slots=True)
class Schedule:
    """Epochs of `iterations` steps and `val_iterations` validation patches. None leaves what nnU-Net has.

    `optimizer` "sgd" is nnU-Net's own, "adamw" is AdamW with nnU-Net's polynomial decay.
    """

    epochs: int | None = None
    iterations: int | None = None
    val_iterations: int | None = None
    learning_rate: float | None = None
    optimizer: Literal["sgd", "adamw"] = "sgd"

    @property
    def save_every(self) -> int | None:
        """Epochs from one checkpoint_latest.pth to the next; nnU-Net's 50 would leave a short training without any."""
        return None if self.epochs is None else max(1, min(50, self.epochs // 5))

    def of_length(self, total: int) -> Schedule:
        """The same schedule with `total` iterations in all, in epochs of about the same length."""
        each = self.iterations or 250
        epochs = max(1, round(total / each))
        return replace(self, epochs=epochs, iterations=max(1, round(total / epochs)))


CPU_SCHEDULE = Schedule(
    epochs=24, iterations=50, val_iterations=4, learning_rate=3e-3, optimizer="adamw"
)
DEMO_SCHEDULE = Schedule(
    epochs=15, iterations=30, val_iterations=2, learning_rate=3e-3, optimizer="adamw"
)


def apply_schedule(trainer: Any, schedule: Schedule) -> None:
    """Sets nnU-Net's attributes from a schedule, and seeds the first epoch.

    The variables `nnUNet_prompt_iterations` (iterations in all) and `nnUNet_prompt_seed` (makes a single-process
    CPU training repeatable) override it; `nnunet-prompt train --iterations` and `--seed` set them.
    """
    total = _number(ITERATIONS_VARIABLE)
    if total is not None:
        schedule = schedule.of_length(total)
    for attribute, value in (
        ("num_epochs", schedule.epochs),
        ("num_iterations_per_epoch", schedule.iterations),
        ("num_val_iterations_per_epoch", schedule.val_iterations),
        ("initial_lr", schedule.learning_rate),
        ("save_every", schedule.save_every),
    ):
        if value is not None:
            setattr(trainer, attribute, value)
    apply_seed(rank=getattr(trainer, "local_rank", 0))


def apply_seed(*, epoch: int = 0, rank: int = 0) -> None:
    """Seeds numpy and torch from the variable `nnUNet_prompt_seed`, where it is set, for what begins with `epoch`.

    A resumed training (`--c`) must not draw the patches of its first epochs again, nor every device of several the same
    ones: their seeds are made from the number, the epoch and the rank. Processes that load patches are forked from
    this one, so it has to be called before they start.
    """
    seed = _number(SEED_VARIABLE)
    if seed is None:
        return
    import numpy as np
    import torch

    if epoch or rank:
        seed = int(np.random.SeedSequence((seed, epoch, rank)).generate_state(1)[0])
    np.random.seed(seed)  # noqa: NPY002 - nnU-Net's loaders draw from the global state
    torch.manual_seed(seed)


def check_device(device: Any, *, gpus: int = 1) -> None:
    """Raises `RefusedError` for a device (torch's, or its name) that this machine does not have, or not so often."""
    import torch

    kind = str(getattr(device, "type", device))
    if kind == "cuda" and not torch.cuda.is_available():
        raise RefusedError(
            "device cuda: this machine has no GPU that torch can use; give -device cpu, or look at"
            " `nvidia-smi` and at which torch is installed"
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise RefusedError("device mps: this machine has none; give -device cpu")
    if gpus > 1 and (kind != "cuda" or gpus > torch.cuda.device_count()):
        found = torch.cuda.device_count() if kind == "cuda" else 0
        raise RefusedError(f"-num_gpus {gpus}: expected at most the {found} GPU(s) of this machine")


def adamw(trainer: Any) -> tuple[Any, Any]:
    """AdamW with nnU-Net's learning rate, weight decay and polynomial schedule."""
    import torch
    from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler

    optimizer = torch.optim.AdamW(
        trainer.network.parameters(), trainer.initial_lr, weight_decay=trainer.weight_decay
    )
    return optimizer, PolyLRScheduler(optimizer, trainer.initial_lr, trainer.num_epochs)


def _number(variable: str) -> int | None:
    text = os.environ.get(variable)
    if text is None:
        return None
    lowest = 1 if variable == ITERATIONS_VARIABLE else 0
    if not (text.isascii() and text.isdigit() and lowest <= int(text) <= LARGEST_NUMBER):
        raise RefusedError(
            f"environment variable {variable}: expected a whole number from {lowest} to"
            f" {LARGEST_NUMBER}, found {text!r}"
        )
    return int(text)
