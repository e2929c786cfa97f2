"""Progress of a training on stderr."""

from __future__ import annotations

import io
import sys

import pytest

from nnunet_prompt.cli.progress import training_progress
from nnunet_prompt.training import progress
from nnunet_prompt.training.progress import Progress

STEPS = [Progress(1, 2, 1, 2), Progress(1, 2, 2, 2, 90.0), Progress(2, 2, 2, 2, 0.0)]


def show() -> None:
    with training_progress():
        for step in STEPS:
            assert progress.listener is not None
            progress.listener(step, step.step == 2)


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show()
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err.splitlines() == ["epoch 1 of 2, about 2 min left", "epoch 2 of 2"]
    assert progress.listener is None


def test_a_bar_on_a_terminal_that_goes_when_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    show()
    assert "epoch 1 of 2, about 2 min left" in screen.getvalue()
    assert progress.listener is None


def test_an_error_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), training_progress():
        raise KeyError
    assert progress.listener is None
