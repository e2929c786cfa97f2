"""Permissions and Ctrl-C, which need a process of their own: one line and no traceback, and nothing half written."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sweep.attempts import ATTEMPTS
from tests.sweep.bound import Bound, modes_can_bind
from tests.sweep.world import Typed, World

ROOT = Path(__file__).parents[2]
WRITERS = [name for name in sorted(ATTEMPTS) if ATTEMPTS[name].output != "none"]

modes_bind = pytest.mark.skipif(
    not modes_can_bind(), reason="needs a user whom modes bind: not root, or root with setpriv"
)


def variables_of(world: World, typed: Typed) -> dict[str, str]:
    return {
        **typed.variables,
        "HOME": str(world.outputs),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture(scope="module")
def bound() -> Iterator[Bound]:
    with Bound() as process:
        yield process


def said_by(bound: Bound, world: World, typed: Typed) -> str:
    """All that a command prints that must fail with exit code 1 and without a traceback."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "printed"
        code, text = bound.run(typed.argv, variables_of(world, typed), world.outputs, output)
    assert code == 1 and "Traceback" not in text, text
    return text


# each runs a program: one of a kind is tried in the fast tests
PLACES = [pytest.param(n, marks=[] if n == "simulate" else [pytest.mark.slow]) for n in WRITERS]


@modes_bind
@pytest.mark.parametrize("verb", PLACES)
def test_places_that_cannot_be_written(bound: Bound, world: World, verb: str) -> None:
    attempt, place = ATTEMPTS[verb], world.outputs / "read_only"
    place.mkdir(mode=0o555)
    output = place / "out"
    said = said_by(bound, world, world.typed(attempt, output))
    assert verb == "weights merge" or "Permission denied" in said
    assert list(place.iterdir()) == []


@modes_bind
@pytest.mark.slow
@pytest.mark.parametrize("verb", ["simulate", "evaluate", "convert nnunet", "convert whs"])
def test_files_that_cannot_be_read(bound: Bound, world: World, verb: str) -> None:
    attempt = ATTEMPTS[verb]
    name = attempt.inputs[0]
    place = Path(shutil.copytree(world.have[name], world.outputs / name))
    for path in place.rglob("*.nii.gz"):
        path.chmod(0o000)
    free = world.outputs / "free"
    free.mkdir()
    typed = world.typed(attempt, free / "out", **{name: place})
    said = said_by(bound, world, typed)
    assert "Permission denied" in said and "NIfTI" not in said


UNREADABLE = [
    ("evaluate --names", "names"),
    ("plan", "preprocessed"),
    ("weights plan", "preprocessed"),
    ("train", "preprocessed"),
    ("weights adapt", "checkpoint"),
    ("submit --check", "challenge"),
]


@modes_bind
@pytest.mark.parametrize(
    ("verb", "name"),
    [("convert msd", "msd"), *(pytest.param(*one, marks=pytest.mark.slow) for one in UNREADABLE)],
)
def test_files_of_any_kind_that_cannot_be_read(
    bound: Bound, world: World, verb: str, name: str
) -> None:
    right, place = world.have[name], world.outputs / world.have[name].name
    shutil.copytree(right, place) if right.is_dir() else shutil.copy(right, place)
    for path in (place, *place.rglob("*")):
        path.chmod(0o000) if path.is_file() else None
    typed = world.typed(ATTEMPTS[verb], world.outputs / "out", **{name: place})
    said = said_by(bound, world, typed)
    assert "Permission denied" in said and "JSON" not in said


@modes_bind
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["plans.json", "prompt_capability.json", "fold_0/checkpoint_final.pth"]
)
def test_a_model_that_cannot_be_read(bound: Bound, world: World, name: str) -> None:
    attempt = ATTEMPTS["weights export"]
    model = Path(shutil.copytree(world.have["model"], world.outputs / "model"))
    (model / name).chmod(0o000)
    output = world.outputs / "out"
    said = said_by(bound, world, world.typed(attempt, output, model=model))
    assert f"{model / name}: cannot be read: Permission denied" in said


def start(world: World, typed: Typed) -> subprocess.Popen[str]:
    """Starts the program in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "nnunet_prompt", *typed.argv],
        env=os.environ | variables_of(world, typed),
        cwd=world.outputs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )


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
    running = start(world, world.typed(attempt, output))
    signal.signal(signal.SIGINT, before)
    try:
        out, err = running.communicate(timeout=seconds)  # done before, or stopped then
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=300)
    # the last: it was done, and the interpreter no longer listens; a shell says 130 for that, too
    assert running.returncode in (0, 130, -signal.SIGINT), err
    assert "Traceback" not in out + err
    assert not list(world.outputs.rglob(".partial-*"))
