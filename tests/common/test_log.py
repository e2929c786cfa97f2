"""The library logs and prints nothing; what a command line makes of it on stderr."""

from __future__ import annotations

import ast
import io
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.cli import hints
from nnunet_prompt.cli import main as cli
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.common.log import is_quiet, log_on_stderr, progress, progress_bar
from nnunet_prompt.inference.case_runner import Run
from tests.helpers.each import each

ROOT = Path(__file__).parents[2]
LOGGER = logging.getLogger("nnunet_prompt.evaluation")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A stderr that is one, until the test ends."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    return screen


def calls_in(*folders: str) -> Iterator[tuple[str, ast.Call]]:
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield str(path.relative_to(ROOT)), node


def test_the_library_prints_nothing_and_configures_no_logging() -> None:
    """But for the folder that the script of a converter, which is a command line, prints as its result."""
    printed, configured = [], []
    for path, call in calls_in("nnunet_prompt", "dataset_conversion", "trainers"):
        function = ast.unparse(call.func)
        if function == "print" and not path.startswith(
            ("nnunet_prompt/cli/", "nnunet_prompt/cli/demo/")
        ):
            printed.append(f"{path}: {ast.unparse(call)}")
        if function.endswith(("addHandler", "basicConfig", "setLevel")):
            configured.append(path)
    assert printed == ["nnunet_prompt/data/conversion.py: print(folder)"]
    assert set(configured) == {"nnunet_prompt/common/log.py"}


def test_from_python_lines_reach_the_logging_of_the_user(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    run: Run[None] = Run()
    with caplog.at_level(logging.DEBUG):
        run.fail("a", "no room")
        run.succeed("b", None)
        run.succeed("c", None, verbose=True)
    where = "nnunet_prompt.inference.case_runner"
    assert caplog.record_tuples == [
        (where, logging.ERROR, "case a: no room"),
        (where, logging.DEBUG, "case b: done"),
        (where, logging.INFO, "case c: done"),
    ]
    assert capsys.readouterr() == ("", "")


# On stderr --------------------------------------------------------------------------------------------------------


def log_all() -> None:
    LOGGER.debug("much")
    LOGGER.info("note: plain")
    LOGGER.warning("100% odd")
    LOGGER.error("bad")


@pytest.mark.parametrize(
    ("level", "lines"),
    [
        (logging.DEBUG, ["much", "note: plain", "warning: 100% odd", "error: bad"]),
        (logging.INFO, ["note: plain", "warning: 100% odd", "error: bad"]),
        (logging.WARNING, ["warning: 100% odd", "error: bad"]),
    ],
)
def test_a_line_per_record(
    level: int, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with log_on_stderr(level):
        log_all()
        assert is_quiet() == (level == logging.WARNING)
    assert capsys.readouterr() == ("", "\n".join([*lines, ""]))
    log_all()
    assert capsys.readouterr().err == "" and not is_quiet()


def test_the_lines_of_a_script_are_shown_too(capsys: pytest.CaptureFixture[str]) -> None:
    with log_on_stderr(script=True):
        logging.getLogger("__main__").warning("odd")
    with log_on_stderr():
        logging.getLogger("__main__").warning("of somebody else")
    assert capsys.readouterr().err == "warning: odd\n"


# Progress bars ----------------------------------------------------------------------------------------------------


def test_a_bar_where_there_is_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch)
    assert list(progress("abc", "count", total=3)) == ["a", "b", "c"]
    assert "count: 100%" in screen.getvalue() and "3/3" in screen.getvalue()


def test_lines_leave_a_bar_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch)
    with log_on_stderr(), progress_bar("count", total=3):
        LOGGER.warning("odd")
    bar, line, again = screen.getvalue().partition("warning: odd\n")
    assert line and "count:   0%" in bar and bar.endswith("\r") and "count:   0%" in again


def test_no_bar_where_it_is_hidden_or_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch)
    assert list(progress("abc", "count", hidden=True)) == ["a", "b", "c"]
    with log_on_stderr(logging.WARNING):
        assert list(progress("abc", "count")) == ["a", "b", "c"]
    assert screen.getvalue() == ""


def test_no_bar_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress("abc", "count")) == ["a", "b", "c"]
    with progress_bar("count", total=3) as bar:
        bar.update()
    assert capsys.readouterr() == ("", "")


# The options ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("evaluate a b -o c", "note: plain|warning: 100% odd|error: bad|hint"),
        ("-q evaluate a b -o c", "warning: 100% odd|error: bad"),
        ("evaluate a b -o c --quiet", "warning: 100% odd|error: bad"),
        ("--verbose evaluate a b -o c", "much|note: plain|warning: 100% odd|error: bad|hint"),
        ("evaluate a b -o c -v", "much|note: plain|warning: 100% odd|error: bad|hint"),
    ],
)
def test_more_and_less(
    line: str, seen: str, fake: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    def work(*_: object, **__: object) -> None:
        log_all()
        hints.note("hint")
        hints.next_command("hint")
        raise NNUNetPromptError("the end")

    fake("nnunet_prompt.evaluation.folders.evaluate_folders").side_effect = work
    assert cli.main(line.split()) == 1
    shown = capsys.readouterr().err.splitlines()
    assert shown.pop() == "nnunet-prompt: error: the end"
    wanted = seen.replace("hint", "nnunet-prompt: hint|next: hint").split("|")
    assert shown == wanted


def test_a_note_that_matters_is_shown_although_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with log_on_stderr(logging.WARNING):
        hints.note("choice")
        hints.note("odd", important=True)
    assert capsys.readouterr().err == "nnunet-prompt: odd\n"


@pytest.mark.parametrize("line", ["-q -v env", "-q env -v", "env -vq"])
def test_not_both(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(line.split())
    assert stop.value.code == 2
    assert "argument -q/--quiet: not allowed with argument -v/--verbose" in capsys.readouterr().err


@each("option", ["-v", "-q", "--verbose", "--quiet", "--debug"])
@each("verb", ["weights list", "convert msd S -d 5", "phantom heart -o F"])
def test_every_verb_takes_them_at_its_end(verb: str, option: str) -> None:
    args = cli.build_parser().parse_args([*verb.split(), option])
    names = {"-v": "verbose", "-q": "quiet"}
    assert getattr(args, names.get(option, option.lstrip("-"))) is True
    assert sum((args.verbose, args.quiet, args.debug)) == 1


def test_the_command_in_a_process_of_its_own(tmp_path: Path) -> None:
    source = tmp_path / "source"
    image = nib.Nifti1Image(np.ones((4, 4, 4), np.int16), np.eye(4))
    for name in ("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz", "imagesTr/other.nii"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        nib.save(image, source / name)
    (source / "dataset.json").write_text(
        '{"channel_names": {"0": "MR"}, "labels": {"background": 0, "x": 1},'
        ' "numTraining": 1, "file_ending": ".nii.gz"}'
    )

    def run(number: int, *options: str) -> tuple[str, list[str]]:
        words = ["convert", "nnunet", str(source), "-d", str(number), *options]
        done = subprocess.run(
            [sys.executable, "-m", "nnunet_prompt", *words],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "nnUNet_raw": str(tmp_path / "raw")},
        )
        return done.stdout, done.stderr.splitlines()

    note = "note: "
    out, (left_out, following) = run(5)
    assert out.startswith("wrote ") and left_out.startswith(note) and following.startswith("next: ")
    assert run(6, "-q") == (out.replace("005", "006"), [])
    assert run(7, "-v")[1][0] == left_out
