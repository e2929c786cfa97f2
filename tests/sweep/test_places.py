"""Every verb beside all that can be wrong with its places: no traceback, no changed input, the exit code says it.

What it says is one line, `nnunet-prompt: error: ...`. A verb that runs in this process would show a traceback as an
exception of its test. Permissions and Ctrl-C are in `test_programs.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nnunet_prompt.cli.main import main
from tests.helpers.each import each
from tests.sweep.attempts import ATTEMPTS
from tests.sweep.world import Inputs, Typed, World, unchanged

VERBS = sorted(ATTEMPTS)
WRITERS = [name for name in VERBS if ATTEMPTS[name].output != "none"]
INPUTS = [(name, one) for name in VERBS for one in ATTEMPTS[name].inputs]


def refuse(
    typed: Typed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """Runs a command that must fail; returns its line."""
    for name, value in typed.variables.items():
        monkeypatch.setenv(name, value)
    argv = typed.argv
    assert main(argv) == 1
    said = capsys.readouterr()
    lines = [x for x in said.err.splitlines() if x.startswith("nnunet-prompt: error: ")]
    assert "Traceback" not in said.err + said.out
    if argv[:2] != ["submit", "-i"] or "--check" not in argv:
        assert len(lines) == 1, said
    return lines[0] if lines else said.out


def wrong_input(kind: str, right: Path, at: Path) -> Path:
    """Something in place of an input that exists: nothing, an empty one, or one of the other kind."""
    folder = right.is_dir()
    if kind == "empty":
        at.mkdir() if folder else at.touch()
    elif kind == "other":
        at.write_bytes(b"no folder") if folder else at.mkdir()
    return at


def of_each_verb(attempts: list[Any]) -> list[Any]:
    """One attempt of every verb, for the fast tests; the n-th verb has the n-th of its own, so that kinds change."""
    of_verb: dict[str, list[Any]] = {}
    for attempt in attempts:
        of_verb.setdefault(attempt[0], []).append(attempt)
    return [few[n % len(few)] for n, few in enumerate(of_verb.values())]


def try_input(
    world: World,
    attempt: tuple[str, str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A verb with something wrong in place of one of its inputs."""
    verb, name, kind = attempt
    output = world.outputs / "out"
    wrong = wrong_input(kind, world.have[name], world.outputs / world.have[name].name)
    refuse(world.typed(ATTEMPTS[verb], output, **{name: wrong}), monkeypatch, capsys)
    assert not output.is_file() and not list(world.outputs.rglob(".partial-*"))


WRONG = [(verb, name, kind) for verb, name in INPUTS for kind in ("missing", "empty", "other")]


@each("attempt", of_each_verb(WRONG), ids=" ".join)
def test_an_input_that_is_not_what_it_should_be(
    inputs: Inputs,
    attempt: tuple[str, str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with unchanged(inputs) as world:
        try_input(world, attempt, monkeypatch, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("attempt", WRONG, ids=" ".join)
def test_inputs_that_are_not_what_they_should_be(
    world: World,
    attempt: tuple[str, str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    try_input(world, attempt, monkeypatch, capsys)


@each("verb", WRITERS)
def test_outputs_of_the_other_kind(
    inputs: Inputs,
    verb: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with unchanged(inputs) as world:
        attempt, output = ATTEMPTS[verb], world.outputs / "out"
        output.mkdir() if attempt.output == "file" else output.write_bytes(b"a file of the user")
        refuse(world.typed(attempt, output), monkeypatch, capsys)
        assert output.is_dir() or output.read_bytes() == b"a file of the user"


def try_output(
    world: World,
    attempt: tuple[str, str, bool],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A verb that is to write to one of its inputs, or to a link to it."""
    verb, name, link = attempt
    output = world.have[name]
    if ATTEMPTS[verb].output == "file" and output.is_dir():
        output = next(p for p in sorted(output.rglob("*")) if p.is_file() and p.name != "x")
    if link:
        output = world.outputs / "link"
        output.symlink_to(world.have[name])
    refuse(world.typed(ATTEMPTS[verb], output), monkeypatch, capsys)


SELF = [(verb, name, link) for verb, name in INPUTS if verb in WRITERS for link in (False, True)]


@each("attempt", of_each_verb(SELF))
def test_an_output_that_is_an_input(
    inputs: Inputs,
    attempt: tuple[str, str, bool],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with unchanged(inputs) as world:
        try_output(world, attempt, monkeypatch, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("attempt", SELF)
def test_outputs_that_are_inputs(
    world: World,
    attempt: tuple[str, str, bool],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    try_output(world, attempt, monkeypatch, capsys)
