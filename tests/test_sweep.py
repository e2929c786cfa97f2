"""Every verb beside all that can be wrong with its places: no traceback, no changed input, the exit code says it.

What it says is one line, `nnunet-prompt: error: ...`. A verb that runs in this process would show a traceback as an
exception of its test. Permissions and Ctrl-C need a process of their own.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nnunet_prompt.cli.main import main
from tests.helpers.attempts import ATTEMPTS, Attempt, build, hashes

ROOT = Path(__file__).parents[1]
VERBS = sorted(ATTEMPTS)
WRITERS = [name for name in VERBS if ATTEMPTS[name].output != "none"]
INPUTS = [(name, one) for name in VERBS for one in ATTEMPTS[name].inputs]
# Modes do not bind root; without its capabilities they do, and it still owns the environment that runs the tests.
BOUND = "setpriv --inh-caps=-all --ambient-caps=-all --bounding-set=-all".split()
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def _modes_can_bind() -> bool:
    if not IS_ROOT:
        return os.name == "posix"
    able = shutil.which(BOUND[0]) is not None
    return (
        able and subprocess.run([*BOUND, "true"], capture_output=True, check=False).returncode == 0
    )


modes_bind = pytest.mark.skipif(
    not _modes_can_bind(), reason="needs a user whom modes bind: not root, or root with setpriv"
)


@dataclass(frozen=True)
class Typed:
    """What a user types, and what stands in the environment."""

    argv: list[str]
    variables: dict[str, str]


@dataclass(frozen=True)
class World:
    """The inputs, which must not change, and a place for outputs."""

    have: dict[str, Path]
    inputs: Path
    outputs: Path

    def typed(self, attempt: Attempt, output: Path, **other: Path) -> Typed:
        """A command line with these inputs in place of the right ones."""
        chosen = {name: (self.have | other)[name] for name in attempt.inputs}
        argv = [str(word) for word in attempt.words(chosen, output)]
        return Typed(argv, attempt.variables(chosen, output))


@pytest.fixture(scope="module")
def inputs() -> Iterator[tuple[dict[str, Path], Path]]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        yield build(root / "inputs"), root / "inputs"


@pytest.fixture
def world(inputs: tuple[dict[str, Path], Path]) -> Iterator[World]:
    have, root = inputs
    before = hashes(root)
    with tempfile.TemporaryDirectory() as folder:
        yield World(have, root, Path(folder))
    assert hashes(root) == before


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


@pytest.mark.parametrize("kind", ["missing", "empty", "other"])
@pytest.mark.parametrize(("verb", "name"), INPUTS)
def test_inputs_that_are_not_what_they_should_be(
    world: World,
    verb: str,
    name: str,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    attempt, output = ATTEMPTS[verb], world.outputs / "out"
    wrong = wrong_input(kind, world.have[name], world.outputs / world.have[name].name)
    refuse(world.typed(attempt, output, **{name: wrong}), monkeypatch, capsys)
    assert not output.is_file() and not list(world.outputs.rglob(".partial-*"))


@pytest.mark.parametrize("verb", WRITERS)
def test_outputs_of_the_other_kind(
    world: World, verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    attempt, output = ATTEMPTS[verb], world.outputs / "out"
    output.mkdir() if attempt.output == "file" else output.write_bytes(b"a file of the user")
    refuse(world.typed(attempt, output), monkeypatch, capsys)
    assert output.is_dir() or output.read_bytes() == b"a file of the user"


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize(("verb", "name"), [(v, n) for v, n in INPUTS if v in WRITERS])
def test_outputs_that_are_inputs(
    world: World,
    verb: str,
    name: str,
    link: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    attempt, output = ATTEMPTS[verb], world.have[name]
    if attempt.output == "file" and output.is_dir():
        output = next(p for p in sorted(output.rglob("*")) if p.is_file() and p.name != "x")
    if link:
        output = world.outputs / "link"
        output.symlink_to(world.have[name])
    refuse(world.typed(attempt, output), monkeypatch, capsys)


def start(world: World, typed: Typed, *, bound: bool) -> subprocess.Popen[str]:
    """Starts the program; `bound` by modes, although root may run the tests."""
    prefix = BOUND if bound and IS_ROOT else []
    command = [*prefix, sys.executable, "-m", "nnunet_prompt", *typed.argv]
    variables = {
        **typed.variables,
        "HOME": str(world.outputs),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        command,
        env=os.environ | variables,
        cwd=world.outputs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )


def said_by(running: subprocess.Popen[str]) -> str:
    """The error of a program that must fail with exit code 1 and without a traceback."""
    out, err = running.communicate(timeout=300)
    assert running.returncode == 1 and "Traceback" not in out + err, err
    return out + err


LIGHT = [pytest.param(n, marks=[pytest.mark.slow] if ATTEMPTS[n].torch else []) for n in WRITERS]


@modes_bind
@pytest.mark.parametrize("verb", LIGHT)
def test_places_that_cannot_be_written(world: World, verb: str) -> None:
    attempt, place = ATTEMPTS[verb], world.outputs / "read_only"
    place.mkdir(mode=0o555)
    output = place / "out"
    said = said_by(start(world, world.typed(attempt, output), bound=True))
    assert verb == "weights merge" or "Permission denied" in said
    assert list(place.iterdir()) == []


@modes_bind
@pytest.mark.parametrize("verb", ["simulate", "evaluate", "convert nnunet", "convert whs"])
def test_files_that_cannot_be_read(world: World, verb: str) -> None:
    attempt = ATTEMPTS[verb]
    name = attempt.inputs[0]
    place = Path(shutil.copytree(world.have[name], world.outputs / name))
    for path in place.rglob("*.nii.gz"):
        path.chmod(0o000)
    free = world.outputs / "free"
    free.mkdir()
    typed = world.typed(attempt, free / "out", **{name: place})
    said = said_by(start(world, typed, bound=True))
    assert "Permission denied" in said and "NIfTI" not in said


@modes_bind
@pytest.mark.parametrize(
    ("verb", "name"),
    [
        ("convert msd", "msd"),
        ("evaluate --names", "names"),
        ("plan", "preprocessed"),
        ("weights plan", "preprocessed"),
        ("train", "preprocessed"),
        ("weights adapt", "checkpoint"),
        ("submit --check", "challenge"),
    ],
)
def test_files_of_any_kind_that_cannot_be_read(world: World, verb: str, name: str) -> None:
    right, place = world.have[name], world.outputs / world.have[name].name
    shutil.copytree(right, place) if right.is_dir() else shutil.copy(right, place)
    for path in (place, *place.rglob("*")):
        path.chmod(0o000) if path.is_file() else None
    typed = world.typed(ATTEMPTS[verb], world.outputs / "out", **{name: place})
    said = said_by(start(world, typed, bound=True))
    assert "Permission denied" in said and "JSON" not in said


@modes_bind
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["plans.json", "prompt_capability.json", "fold_0/checkpoint_final.pth"]
)
def test_a_model_that_cannot_be_read(world: World, name: str) -> None:
    attempt = ATTEMPTS["weights export"]
    model = Path(shutil.copytree(world.have["model"], world.outputs / "model"))
    (model / name).chmod(0o000)
    output = world.outputs / "out"
    said = said_by(start(world, world.typed(attempt, output, model=model), bound=True))
    assert f"{model / name}: cannot be read: Permission denied" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    "verb",
    [
        *("predict", "submit", "simulate", "convert whs", "weights export"),
        *("interact", "predict --upload", "convert msd", "demo"),
    ],
)
@pytest.mark.parametrize("seconds", [0.8, 2.5, 5.0])
def test_ctrl_c(world: World, verb: str, seconds: float) -> None:
    attempt, output = ATTEMPTS[verb], world.outputs / "out"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    running = start(world, world.typed(attempt, output), bound=False)
    signal.signal(signal.SIGINT, before)
    time.sleep(seconds)
    os.killpg(running.pid, signal.SIGINT) if running.poll() is None else None
    out, err = running.communicate(timeout=300)
    # the last: it was done, and the interpreter no longer listens; a shell says 130 for that, too
    assert running.returncode in (0, 130, -signal.SIGINT), err
    assert "Traceback" not in out + err
    assert not list(world.outputs.rglob(".partial-*"))
