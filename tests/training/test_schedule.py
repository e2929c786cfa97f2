"""Recipes change nnU-Net's schedule and nothing else."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nnunet_prompt.common.errors import RefusedError
from nnunet_prompt.training.schedule import (
    CPU_SCHEDULE,
    DEMO_SCHEDULE,
    Schedule,
    adamw,
    apply_schedule,
    apply_seed,
)
from tests.helpers.each import each


def nnunet_trainer() -> Any:
    """nnU-Net's own attributes and values."""
    return SimpleNamespace(
        num_epochs=1000,
        num_iterations_per_epoch=250,
        num_val_iterations_per_epoch=50,
        initial_lr=1e-2,
        weight_decay=3e-5,
    )


def settings(trainer: Any) -> tuple[Any, ...]:
    return (
        trainer.num_epochs,
        trainer.num_iterations_per_epoch,
        trainer.num_val_iterations_per_epoch,
        trainer.initial_lr,
    )


def test_an_empty_schedule_leaves_nnunets_own() -> None:
    trainer = nnunet_trainer()
    apply_schedule(trainer, Schedule())
    assert trainer == nnunet_trainer()


def test_the_recipes_are_as_long_as_they_say() -> None:
    trainer = nnunet_trainer()
    apply_schedule(trainer, CPU_SCHEDULE)
    assert settings(trainer) == (24, 50, 4, 3e-3)
    assert trainer.num_epochs * trainer.num_iterations_per_epoch == 1200
    apply_schedule(trainer, DEMO_SCHEDULE)
    assert trainer.num_epochs * trainer.num_iterations_per_epoch == 450


@each(
    ("total", "epochs", "iterations"),
    [(1, 1, 1), (2, 1, 2), (50, 1, 50), (75, 2, 38), (700, 14, 50), (1200, 24, 50)],
)
def test_of_length_keeps_epochs_of_about_the_same_length(
    total: int, epochs: int, iterations: int
) -> None:
    schedule = CPU_SCHEDULE.of_length(total)
    assert (schedule.epochs, schedule.iterations) == (epochs, iterations)
    assert (schedule.learning_rate, schedule.optimizer) == (3e-3, "adamw")


def test_of_length_starts_from_nnunets_epochs_where_the_recipe_has_none() -> None:
    schedule = Schedule().of_length(1000)
    assert (schedule.epochs, schedule.iterations) == (4, 250)


def test_the_variables_override_the_recipe() -> None:
    os.environ.update(nnUNet_prompt_iterations="100", nnUNet_prompt_seed="7")
    trainer = nnunet_trainer()
    apply_schedule(trainer, CPU_SCHEDULE)
    drawn = np.random.randint(1000), torch.rand(())  # noqa: NPY002 - the state that nnU-Net draws from
    assert settings(trainer)[:2] == (2, 50)
    apply_schedule(trainer, CPU_SCHEDULE)
    assert (np.random.randint(1000), torch.rand(())) == drawn  # noqa: NPY002


def drawn(**when: int) -> tuple[int, float]:
    apply_seed(**when)
    return int(np.random.randint(2**31)), float(torch.rand(()))  # noqa: NPY002


def test_a_resumed_training_draws_anew_and_always_the_same() -> None:
    os.environ["nnUNet_prompt_seed"] = "7"
    first = drawn()
    later = [drawn(epoch=epoch) for epoch in (1, 2, 3)]
    ranks = [drawn(rank=rank) for rank in (1, 2)]
    every = [first, *later, *ranks]
    assert len({n for n, _ in every}) == len({x for _, x in every}) == 6
    assert [drawn(epoch=epoch) for epoch in (1, 2, 3)] == later
    assert drawn() == first
    os.environ["nnUNet_prompt_seed"] = "8"
    assert drawn(epoch=1) not in later


def test_without_a_seed_chance_is_left_alone() -> None:
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.randint(2**31)  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    assert drawn(epoch=3)[0] == expected


def test_short_trainings_leave_checkpoints_to_resume_from() -> None:
    assert Schedule().save_every is None  # nnU-Net's own
    every = [Schedule(epochs=n).save_every for n in (1, 10, 24, 250, 1000)]
    assert every == [1, 2, 4, 50, 50]
    trainer = nnunet_trainer()
    apply_schedule(trainer, CPU_SCHEDULE)
    assert trainer.save_every == 4


@each("variable", ["nnUNet_prompt_iterations", "nnUNet_prompt_seed"])
@each("text", ["many", "-5", "1.5", "", "²"])
def test_a_wrong_number_is_refused_by_name(variable: str, text: str) -> None:
    os.environ[variable] = text
    with pytest.raises(RefusedError, match=variable) as caught:
        apply_schedule(nnunet_trainer(), CPU_SCHEDULE)
    assert "\n" not in str(caught.value)


def test_no_iterations_are_refused_and_seed_zero_is_not() -> None:
    os.environ["nnUNet_prompt_seed"] = "0"
    apply_schedule(nnunet_trainer(), CPU_SCHEDULE)
    os.environ["nnUNet_prompt_iterations"] = "0"
    with pytest.raises(RefusedError, match="nnUNet_prompt_iterations"):
        apply_schedule(nnunet_trainer(), CPU_SCHEDULE)


def test_adamw_decays_as_nnunet_does() -> None:
    trainer = nnunet_trainer()
    trainer.network = nn.Linear(2, 1)
    apply_schedule(trainer, CPU_SCHEDULE)
    optimizer, scheduler = adamw(trainer)
    assert isinstance(optimizer, torch.optim.AdamW)
    group = optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (3e-3, 3e-5)
    scheduler.step(12)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(3e-3 * (1 - 12 / 24) ** 0.9)


def test_a_refusal_ends_stock_nnunet_with_exit_code_1() -> None:
    """`nnUNetv2_train` catches nothing: the interpreter prints the code of a SystemExit that is no number."""
    refusal = RefusedError("one line")
    assert isinstance(refusal, SystemExit)
    assert refusal.code == "one line"
    assert str(refusal) == "one line"
