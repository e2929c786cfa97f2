"""Compares names that people and file systems write: macOS stores "ü" as two code points, keyboards type one."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

Value = TypeVar("Value")


def composed(name: str) -> str:
    """The name in Unicode's composed form (NFC): two names that look alike are then equal. Use it to compare only."""
    return unicodedata.normalize("NFC", name)


def entry_of(entries: Mapping[str, Value], name: str) -> Value | None:
    """The entry of a name, whichever form its key has; None if there is none."""
    if name in entries or name.isascii():
        return entries.get(name)
    return next((v for key, v in entries.items() if composed(key) == composed(name)), None)


def as_stored(path: Path) -> Path:
    """A path that a text file names, as the file system spells it; unchanged where there is no such file."""
    if path.name.isascii() or path.exists() or not path.parent.is_dir():
        return path
    alike = (p for p in sorted(path.parent.iterdir()) if composed(p.name) == composed(path.name))
    return next(alike, path)
