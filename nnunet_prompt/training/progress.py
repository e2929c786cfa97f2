"""Progress of a training and the time that is left, neither of which nnU-Net reports.

`watch` makes a trainer report them after each epoch: in nnU-Net's log, and on the terminal or to the `listener`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

WARM_UP = 2  # steps that do not count: torch compiles, files are read for the first time
EARLY = 10  # after so many steps of a run there is a first estimate
LINE = re.compile(r"epoch \d+ of \d+.*")


@dataclass(frozen=True, slots=True)
class Progress:
    """Epoch `epoch` of `epochs`, from 1, of which `step` of `steps` are done; seconds to go, None where unknown."""

    epoch: int
    epochs: int
    step: int
    steps: int
    seconds_left: float | None = None

    def __str__(self) -> str:
        within = "" if self.step == self.steps else f", step {self.step} of {self.steps}"
        done = self.seconds_left is None or (self.epoch, self.step) == (self.epochs, self.steps)
        left = "" if done else f", about {spelled(self.seconds_left or 0)} left"
        return f"epoch {self.epoch} of {self.epochs}{within}{left}"


# Whether the second argument is true, the progress is worth a line where nothing can be redrawn.
Listener = Callable[[Progress, bool], None]
listener: Listener | None = None


def watch(trainer: Any, *, now: Callable[[], float] = time.monotonic) -> None:
    """Makes a trainer report its progress. Wraps methods of this one trainer, so its class keeps those of nnU-Net."""
    if "on_epoch_end" in vars(trainer):  # it is watched already
        return
    clock = _Clock(now)
    step, end = trainer.train_step, trainer.on_epoch_end

    def train_step(batch: Any) -> Any:
        result = step(batch)
        clock.step_done(trainer)
        return result

    def on_epoch_end() -> None:
        end()
        clock.epoch_done(trainer)

    trainer.train_step, trainer.on_epoch_end = train_step, on_epoch_end


@contextmanager
def every_trainer_watched() -> Iterator[None]:
    """Watches nnU-Net's own trainers, too, as long as the block runs."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    start = nnUNetTrainer.on_train_start

    def on_train_start(trainer: Any) -> None:
        start(trainer)
        watch(trainer)

    nnUNetTrainer.on_train_start = on_train_start
    try:
        yield
    finally:
        nnUNetTrainer.on_train_start = start


class _Clock:
    """Counts the steps of one run of a trainer."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._steps = 0  # of this run
        self._in_epoch = 0
        self._since = now()

    def step_done(self, trainer: Any) -> None:
        self._steps += 1
        self._in_epoch += 1
        if self._steps == WARM_UP:
            self._since = self._now()
        worth_a_line = self._steps == EARLY and self._in_epoch < trainer.num_iterations_per_epoch
        if worth_a_line or listener is not None:
            _report(trainer, self._progress(trainer, trainer.current_epoch), worth_a_line)

    def epoch_done(self, trainer: Any) -> None:
        """nnU-Net has counted the epoch already."""
        self._in_epoch = trainer.num_iterations_per_epoch
        _report(trainer, self._progress(trainer, trainer.current_epoch - 1), True)
        self._in_epoch = 0

    def _progress(self, trainer: Any, epoch: int) -> Progress:
        steps = trainer.num_iterations_per_epoch
        to_go = (trainer.num_epochs - epoch) * steps - self._in_epoch
        counted = self._steps - WARM_UP
        left = to_go * (self._now() - self._since) / counted if counted > 0 else None
        return Progress(epoch + 1, trainer.num_epochs, self._in_epoch, steps, left)


def spelled(seconds: float) -> str:
    """A time in its largest unit and the next: "45 s", "12 min", "3 h 20 min", "2 d 4 h"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def _report(trainer: Any, progress: Progress, worth_a_line: bool) -> None:
    if trainer.local_rank != 0:
        return
    if worth_a_line:
        trainer.print_to_log_file(str(progress), also_print_to_console=listener is None)
    if listener is not None:
        listener(progress, worth_a_line)
