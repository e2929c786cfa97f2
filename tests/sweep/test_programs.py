"""Permissions and Ctrl-C, which need a process of their own: one line and no traceback, and nothing half written."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.sweep.attempts import ATTEMPTS
from tests.sweep.world import Typed, World

ROOT = Path(__file__).parents[2]
WRITERS = [name for name in sorted(ATTEMPTS) if ATTEMPTS[name].output != "none"]
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


# each starts a program: one of a kind is tried in the fast tests
PLACES = [pytest.param(n, marks=[] if n == "simulate" else [pytest.mark.slow]) for n in WRITERS]


@modes_bind
@pytest.mark.parametrize("verb", PLACES)
def test_places_that_cannot_be_written(world: World, verb: str) -> None:
    attempt, place = ATTEMPTS[verb], world.outputs / "read_only"
    place.mkdir(mode=0o555)
    output = place / "out"
    said = said_by(start(world, world.typed(attempt, output), bound=True))
    assert verb == "weights merge" or "Permission denied" in said
    assert list(place.iterdir()) == []


@modes_bind
@pytest.mark.slow
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
