"""What a verb finds: inputs that nobody may change, and an empty place for its output."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.sweep.attempts import Attempt, hashes

Inputs = tuple[dict[str, Path], Path]  # by name, and the folder of all


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


@contextmanager
def unchanged(inputs: Inputs) -> Iterator[World]:
    """A world with an empty place for outputs, whose inputs are afterwards what they were."""
    have, root = inputs
    before = hashes(root)
    with tempfile.TemporaryDirectory() as folder:
        yield World(have, root, Path(folder))
    assert hashes(root) == before
