"""What every test stands on: no nnU-Net folders from the outside, and an environment that it cannot spoil."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.helpers import properties
from tests.helpers.each import Fakes

PARALLEL = "PYTEST_XDIST_WORKER" in os.environ
if PARALLEL:  # the workers fill the cores: one thread each, also for what they start; before torch is imported
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"

# Begin first, so that nobody waits for them at the end. The first takes longest; meanwhile the others, which share what
# they train, meet on another worker.
TRAININGS = (
    "tests/test_care_page.py",
    "tests/docs/test_tutorials.py",
    "tests/training/test_run_training.py",
    "tests/training/test_tune.py",
    "tests/training/test_pipeline.py",
    "tests/inference/test_trained_model.py",
    "tests/training/test_model_travels.py",
)


@pytest.fixture(autouse=True)
def clean_environment() -> Iterator[None]:
    """Hides the `nnUNet_*` variables of the shell from the test, and afterwards restores the whole environment."""
    saved = dict(os.environ)
    for name in saved:
        if name.startswith("nnUNet_") or name == "NNUNET_PROMPT_DEBUG":
            del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(saved)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    """Replaces a public function by one that only remembers its call, and accepts only what the real one accepts."""
    return Fakes(monkeypatch)


def pytest_configure(config: pytest.Config) -> None:
    """Properties are tried on all their examples where the slow tests run, too."""
    properties.EVERY = config.option.markexpr != "not slow"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts trainings first where workers share the tests, and skips what is marked `gpu` where there is none."""
    if PARALLEL:
        items.sort(key=place_in_line)
    skip_gpu(items)


def place_in_line(item: pytest.Item) -> int:
    path = item.nodeid.split("::")[0]
    return TRAININGS.index(path) if path in TRAININGS else len(TRAININGS)


def skip_gpu(items: list[pytest.Item]) -> None:
    """Torch is only asked when something is marked."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
