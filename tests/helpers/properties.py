"""How many examples a property is tried on: all with the slow tests, a third in the fast ones."""

from __future__ import annotations

from hypothesis import settings

EVERY = False  # set by tests/conftest.py where the slow tests run, too


def examples(all_of_them: int) -> int:
    return all_of_them if EVERY else all_of_them // 3


def modest() -> settings:
    """Sixty examples, the same in every run."""
    return settings(max_examples=examples(60), deadline=None, derandomize=True)
