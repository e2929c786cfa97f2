"""How far a training is, and how long it will take, with a clock that is set by hand."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_prompt.training import progress
from nnunet_prompt.training.progress import (
    LINE,
    Progress,
    every_trainer_watched,
    spelled,
    watch,
)
from tests.helpers.each import each


class Trainer(SimpleNamespace):
    """Three epochs of twelve steps, of ten seconds each."""

    def __init__(self, **more: Any) -> None:
        self.lines: list[tuple[str, bool]] = []
        self.clock = 0.0
        values = {
            "num_epochs": 3,
            "num_iterations_per_epoch": 12,
            "current_epoch": 0,
            "local_rank": 0,
        }
        super().__init__(**(values | more))

    def train_step(self, batch: Any) -> Any:
        self.clock += 10
        return batch

    def on_epoch_end(self) -> None:
        self.current_epoch += 1

    def print_to_log_file(self, text: str, also_print_to_console: bool = True) -> None:
        self.lines.append((text, also_print_to_console))


def run(trainer: Trainer) -> Trainer:
    watch(trainer, now=lambda: trainer.clock)
    for _ in range(trainer.current_epoch, trainer.num_epochs):
        for number in range(trainer.num_iterations_per_epoch):
            assert trainer.train_step(number) == number
        trainer.on_epoch_end()
    return trainer


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Progress, bool]]]:
    seen: list[tuple[Progress, bool]] = []
    monkeypatch.setattr(progress, "listener", lambda *what: seen.append(what))
    yield seen


def test_a_line_early_and_after_each_epoch() -> None:
    assert run(Trainer()).lines == [
        ("epoch 1 of 3, step 10 of 12, about 4 min left", True),
        ("epoch 1 of 3, about 4 min left", True),
        ("epoch 2 of 3, about 2 min left", True),
        ("epoch 3 of 3", True),
    ]
    assert all(LINE.search(f"2026-11-28 17:00:00: {text}") for text, _ in run(Trainer()).lines)


def test_a_resumed_training_counts_on_and_takes_the_time_of_this_run() -> None:
    trainer = Trainer(current_epoch=1)
    trainer.clock = 1e6
    assert [text for text, _ in run(trainer).lines] == [
        "epoch 2 of 3, step 10 of 12, about 2 min left",
        "epoch 2 of 3, about 2 min left",
        "epoch 3 of 3",
    ]


def test_who_listens_hears_each_step_and_the_console_is_theirs(heard: Any) -> None:
    trainer = run(Trainer(num_epochs=1))
    assert [str(p) for p, _ in heard][:2] == [
        "epoch 1 of 1, step 1 of 12",
        "epoch 1 of 1, step 2 of 12",
    ]
    assert [worth for _, worth in heard] == [n in (9, 12) for n in range(13)]
    assert all(not console for _, console in trainer.lines)
    assert heard[-1][0] == Progress(1, 1, 12, 12, 0.0)


def test_one_device_of_several_tells(heard: Any) -> None:
    assert run(Trainer(local_rank=1)).lines == heard == []


def test_nnunets_own_trainers_are_watched_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    monkeypatch.setattr(nnUNetTrainer, "on_train_start", lambda self: None)

    class Stock(Trainer, nnUNetTrainer):  # type: ignore[misc]
        pass

    with every_trainer_watched():
        trainer = Stock()
        trainer.on_train_start()
        first = trainer.on_epoch_end
        watch(trainer)
        assert trainer.on_epoch_end is first
    trainer.on_epoch_end()
    assert [text for text, _ in trainer.lines] == ["epoch 1 of 3"]
    other = Stock()
    other.on_train_start()
    assert "on_epoch_end" not in vars(other)


@each(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (3570, "1 h 0 min"),
        (12_000, "3 h 20 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_times_are_short(seconds: float, text: str) -> None:
    assert spelled(seconds) == text
