"""What is typed reaches one public function, and what goes wrong is one line on stderr."""

from __future__ import annotations

import importlib.util
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nnunet_prompt import __version__
from nnunet_prompt.cli import main as cli
from nnunet_prompt.common.errors import NNUNetPromptError
from tests.helpers.each import each

VERBS = (
    *(
        "convert",
        "phantom",
        "plan",
        "weights",
        "train",
        "learn",
        "atlas",
        "predict",
        "simulate",
        "submit",
        "evaluate",
        "leaderboard",
        "drift",
        "report",
        "interact",
        "federate",
        "view",
    ),
    *("env", "trainers-dir", "doctor", "completion", "demo"),
)


def run(line: str) -> int:
    return cli.main(line.split())


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        run("--help")
    text = capsys.readouterr().out
    assert tuple(cli.VERBS) == VERBS
    assert all(verb in text for verb in VERBS)


@each("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        run(f"{verb} --help")
    assert f"nnunet-prompt {verb}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        run("--version")
    assert capsys.readouterr().out == f"nnunet-prompt {__version__}\n"


def test_python_m_is_the_same_command() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "nnunet_prompt", "--version"], capture_output=True, text=True
    )
    assert (result.returncode, result.stdout) == (0, f"nnunet-prompt {__version__}\n")


@each(
    "line",
    [
        "",
        "fly",
        "predict -i a -o b",
        "predict -i a -o b -m c -device tpu",
        "predict -i a -o b -m c -f zero",
        "predict -i a -o b -m c -f -1",
        "predict -i a -o b -m c -step_size 0",
        "predict -i a -o b -m c -step_size 1.5",
        "predict -i a -o b -m c -step_size nan",
        "predict -i a -o b -m c --structures LV,,scar",
        "predict -i a -o b -m c --disable",  # abbreviations would make every new option a breaking change
        "simulate a -o b --max-points 0",
        "simulate a -o b --max-points many",
        "simulate a -o b --order zx",
        "simulate a -o b --base 2",
        "evaluate a b",
        "evaluate a b -o c --what",
        "convert dicom a -d 1",
        "convert myops a",
        "convert myops a -d 1 --inspect",
        "convert myops -d 1",
        "convert myops a -d one",
        "convert myops a -d 1 --stack",
        "phantom folder",
        "phantom heart",
        "phantom whs -o a -n 0",
        "phantom heart -o a --defects",
        "plan -d 0",
        "plan -d 1 --features 8,0",
        "env more",
        "doctor me",
        "completion",
        "completion tcsh",
    ],
)
def test_misuse_is_exit_code_2(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(line)
    assert stop.value.code == 2
    assert "usage: nnunet-prompt" in capsys.readouterr().err


@each(
    ("error", "message"),
    [
        (NNUNetPromptError("a.json: key 'x' is missing"), "a.json: key 'x' is missing"),
        (NNUNetPromptError("two\n  lines"), "two lines"),
        (
            PermissionError(13, "Permission denied", "/root/x"),
            "[Errno 13] Permission denied: '/root/x'",
        ),
        (NNUNetPromptError(), "NNUNetPromptError"),
    ],
)
def test_an_error_is_one_line(
    error: Exception, message: str, fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fake("nnunet_prompt.evaluation.folders.evaluate_folders").side_effect = error
    assert run("evaluate a b -o c") == 1
    captured = capsys.readouterr()
    assert captured.err == f"nnunet-prompt: error: {message}\n"
    assert captured.out == ""


@each("line", ["--debug evaluate a b -o c", "evaluate a b -o c --debug"])
def test_debug_shows_the_traceback(line: str, fake: Any) -> None:
    fake("nnunet_prompt.evaluation.folders.evaluate_folders").side_effect = NNUNetPromptError("no")
    with pytest.raises(NNUNetPromptError, match="no"):
        run(line)


def test_debug_by_the_environment(fake: Any) -> None:
    fake("nnunet_prompt.evaluation.folders.evaluate_folders").side_effect = NNUNetPromptError("no")
    os.environ["NNUNET_PROMPT_DEBUG"] = "0"
    assert run("evaluate a b -o c") == 1
    os.environ["NNUNET_PROMPT_DEBUG"] = "1"
    with pytest.raises(NNUNetPromptError, match="no"):
        run("evaluate a b -o c")


def test_our_own_mistakes_keep_their_traceback(fake: Any) -> None:
    fake("nnunet_prompt.evaluation.folders.evaluate_folders").side_effect = KeyError("bug")
    with pytest.raises(KeyError):
        run("evaluate a b -o c")


def test_ctrl_c_is_exit_code_130(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    fake("nnunet_prompt.evaluation.folders.evaluate_folders").side_effect = KeyboardInterrupt
    assert run("evaluate a b -o c") == 130
    assert capsys.readouterr().err == "\nnnunet-prompt: stopped\n"


@each("name, loads", [("torch.interrupted_part", True), ("interrupted_library", False)])
def test_ctrl_c_waits_for_the_end_of_an_import_of_torch(
    fake: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    loads: bool,
) -> None:
    """Compiled code that runs there, and meets an interrupt, aborts the process."""
    path = tmp_path / "part.py"
    path.write_text("import signal\nsignal.raise_signal(signal.SIGINT)\nseen.append(True)\n")
    seen: list[bool] = []

    def evaluated(*_: Any, **__: Any) -> None:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        vars(module)["seen"] = seen
        spec.loader.exec_module(module)
        time.sleep(60)

    fake("nnunet_prompt.evaluation.folders.evaluate_folders").side_effect = evaluated
    began = time.monotonic()
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert run("evaluate a b -o c") == 130
    finally:
        signal.signal(signal.SIGINT, kept)
    assert seen == [True] * loads and time.monotonic() - began < 30
    assert capsys.readouterr().err == "\nnnunet-prompt: stopped\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [(signal.default_int_handler, signal.SIG_DFL), (signal.SIG_IGN, signal.SIG_IGN)],
    ids=["from a terminal", "in the background"],
)
def test_ctrl_c_after_the_end_kills_without_a_traceback(
    fake: Any, monkeypatch: pytest.MonkeyPatch, before: Any, after: Any
) -> None:
    fake("nnunet_prompt.evaluation.folders.evaluate_folders").side_effect = NNUNetPromptError
    monkeypatch.setattr(sys, "argv", ["nnunet-prompt", *"evaluate a b -o c".split()])
    kept = signal.signal(signal.SIGINT, before)
    try:
        assert cli.program() == 1
        assert signal.getsignal(signal.SIGINT) is after
    finally:
        signal.signal(signal.SIGINT, kept)


def test_names_that_the_terminal_cannot_show_are_escaped(
    fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    fake(
        "nnunet_prompt.training.external_trainers.shell_exports"
    ).return_value = "M\u00fcller caf\udce9"
    assert run("env") == 0
    terminal.flush()
    assert terminal.buffer.getvalue() == b"M\\xfcller caf\\udce9\n"  # type: ignore[attr-defined]
