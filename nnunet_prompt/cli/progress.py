"""Shows how far a training is, on stderr: a bar that is redrawn on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from nnunet_prompt.common.log import is_quiet
from nnunet_prompt.training import progress as training
from nnunet_prompt.training.progress import Progress

REDRAW_S = 0.5


@contextmanager
def training_progress() -> Iterator[None]:
    """Listens to the trainer of this process while the block runs."""
    before = training.listener
    try:
        with _nothing() if is_quiet() else _bar() if sys.stderr.isatty() else _lines():
            yield
    finally:
        training.listener = before


@contextmanager
def _nothing() -> Iterator[None]:
    training.listener = lambda progress, worth_a_line: None
    yield


@contextmanager
def _lines() -> Iterator[None]:
    def show(progress: Progress, worth_a_line: bool) -> None:
        if worth_a_line:
            print(progress, file=sys.stderr, flush=True)

    training.listener = show
    yield


@contextmanager
def _bar() -> Iterator[None]:
    """nnU-Net's lines scroll above the bar. No thread redraws it: nnU-Net forks, and a thread may hold a lock then."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), TextColumn("{task.description}", markup=False))
    bar = Bar(
        *columns,
        console=Console(stderr=True),
        auto_refresh=False,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
        redirect_stderr=False,
    )
    with bar:
        task, drawn = bar.add_task("", total=None), 0.0

        def show(progress: Progress, worth_a_line: bool) -> None:
            nonlocal drawn
            if not worth_a_line and time.monotonic() - drawn < REDRAW_S:
                return
            done = (progress.epoch - 1) * progress.steps + progress.step
            total = progress.epochs * progress.steps
            bar.update(task, completed=done, total=total, description=str(progress), refresh=True)
            drawn = time.monotonic()

        training.listener = show
        yield
