"""The inputs of all verbs, written once per file of tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sweep.attempts import build
from tests.sweep.world import Inputs, World, unchanged


@pytest.fixture(scope="module")
def inputs() -> Iterator[Inputs]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        yield build(root / "inputs"), root / "inputs"


@pytest.fixture
def world(inputs: Inputs) -> Iterator[World]:
    with unchanged(inputs) as made:
        yield made
