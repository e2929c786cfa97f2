"""How long and how fast a recipe trains."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any, Literal

from nnunet_prompt.errors import RefusedError

ITERATIONS_VARIABLE = "nnUNet_prompt_iterations"
SEED_VARIABLE = "nnUNet_prompt_seed"


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

    def of_length(self, total: int) -> Schedule:
        """The same schedule with `total` iterations in all, in epochs of about the same length."""
        each = self.iterations or 250
        epochs = max(1, round(total / each))
        return replace(self, epochs=epochs, iterations=max(1, round(total / epochs)))


CPU_SCHEDULE = Schedule(
    epochs=24, iterations=50, val_iterations=4, learning_rate=3e-3, optimizer="adamw"
)
DEMO_SCHEDULE = Schedule(
    epochs=10, iterations=30, val_iterations=2, learning_rate=3e-3, optimizer="adamw"
)


def apply_schedule(trainer: Any, schedule: Schedule) -> None:
    """Sets nnU-Net's attributes from a schedule.

    The variables `nnUNet_prompt_iterations` (iterations in all) and `nnUNet_prompt_seed` (makes a single-process
    CPU training repeatable) override it for benchmarks.
    """
    total, seed = _number(ITERATIONS_VARIABLE), _number(SEED_VARIABLE)
    if total is not None:
        schedule = schedule.of_length(total)
    for attribute, value in (
        ("num_epochs", schedule.epochs),
        ("num_iterations_per_epoch", schedule.iterations),
        ("num_val_iterations_per_epoch", schedule.val_iterations),
        ("initial_lr", schedule.learning_rate),
    ):
        if value is not None:
            setattr(trainer, attribute, value)
    if seed is not None:
        import numpy as np
        import torch

        np.random.seed(seed)  # noqa: NPY002 - nnU-Net's loaders draw from the global state
        torch.manual_seed(seed)


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
    if not (text.isascii() and text.isdigit()) or (
        variable == ITERATIONS_VARIABLE and int(text) == 0
    ):
        raise RefusedError(
            f"environment variable {variable}: expected a whole number, found {text!r}"
        )
    return int(text)
