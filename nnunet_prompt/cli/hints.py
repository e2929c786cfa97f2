"""Lines beside the results, on stderr: choices that were made for the user, and the command that comes next."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from nnunet_prompt.common.log import is_quiet


def note(text: str, *, important: bool = False) -> None:
    """One line on what was decided for the user, at once; with -q only if it is `important`, such as a warning."""
    if important or not is_quiet():
        print(f"nnunet-prompt: {text}", file=sys.stderr, flush=True)


def next_command(*words: str | Path) -> None:
    """The command that usually follows. Words in capitals stand for what only the user knows."""
    if not is_quiet():
        print(f"next: {shlex.join(map(str, words))}", file=sys.stderr, flush=True)


def count(number: int, noun: str) -> str:
    """A number and its noun: "1 mask", "2 masks"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
