"""Reads JSON files, with one line of error that states what to do, and writes them complete or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nnunet_prompt.common.errors import NNUNetPromptError, system_reason
from nnunet_prompt.io.atomic import replacing


def read_object(
    path: Path,
    error: type[NNUNetPromptError],
    *,
    missing: str = "",
    way_out: str = "",
    encoding: str = "utf-8",
) -> dict[str, Any]:
    """The JSON object in a file; raises like `read_json`, and also for JSON that is no object."""
    content = read_json(path, error, missing=missing, way_out=way_out, encoding=encoding)
    if not isinstance(content, dict):
        raise error(f"{path}: expected a JSON object, found {type(content).__name__}{way_out}")
    return content


def read_json(
    path: Path,
    error: type[NNUNetPromptError],
    *,
    missing: str = "",
    way_out: str = "",
    encoding: str = "utf-8",
) -> Any:
    """What a JSON file holds.

    Raises `error`, the caller's class, with one line: `missing` states what to do without a file, and `way_out`,
    which begins with its punctuation, where a file holds something else.
    """
    try:
        return json.loads(path.read_text(encoding=encoding))
    except (OSError, ValueError, RecursionError) as found:
        if missing and isinstance(found, FileNotFoundError):
            raise error(f"{path}: not found; {missing}") from None
        reason = system_reason(found)
        if reason is not None:
            raise error(f"{path}: cannot be read: {reason}") from None
        raise error(f"{path}: not readable as JSON ({found}){way_out}") from None


def write_json(path: Path, content: Any, *, indent: int = 2, allow_nan: bool = True) -> None:
    """Writes a JSON file. Raises `OutputError`, and `ValueError` for NaN or infinity unless `allow_nan`."""
    text = json.dumps(content, indent=indent, allow_nan=allow_nan) + "\n"
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
