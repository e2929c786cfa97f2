"""What every test stands on: no nnU-Net folders from the outside, and an environment that it cannot spoil."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what is marked `gpu` where there is none; torch is only asked when something is marked."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
