"""Prompt files that other packages read: entry points of the group `nnunet_prompt.prompt_readers`.

The name of an entry point is a file ending, such as .abc. Its function is given the path and returns an object of our
own form (`own_form`), {"space": "RAS", "labels": {"500": {"points": [[-12.5, 40.0, 103.2]]}}} for one case or with
"cases" for several; "format" and "version" may be left out. The endings that we know stay ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunet_prompt.common.errors import NNUNetPromptError, PromptFileError
from nnunet_prompt.common.plugins import Plugin, plugins
from nnunet_prompt.prompt_files import own_form
from nnunet_prompt.prompt_files.prompts_json import shorten


def added_ending(name: str) -> str | None:
    """The ending of a file name that another package reads, the longest; None if there is none."""
    found = _reader(name)
    return None if found is None else _ending(found)


def is_added(path: Path) -> bool:
    """Whether another package reads a file, by its ending; a .json is ours."""
    return not path.name.lower().endswith(".json") and _reader(path.name) is not None


def read_added(path: Path) -> dict[str, Any]:
    """Reads a file with the reader of another package, as our own form has it. Raises `PromptFileError`."""
    reader = _reader(path.name)
    if reader is None or not path.is_file():
        raise PromptFileError(f"{path}: cannot be read: no such file")
    try:
        content = reader.call(path)
    except PromptFileError:
        raise
    except NNUNetPromptError as error:
        raise PromptFileError(f"{path}: {error}") from error
    if not isinstance(content, Mapping) or not {"cases", "labels"} & content.keys():
        raise PromptFileError(
            f"{path}: {reader.title}: expected an object with labels or cases, such as {own_form.SAMPLE}, found"
            f" {shorten(content)}"
        )
    return {"format": own_form.FORMAT, "version": 1, **content}


def _reader(name: str) -> Plugin | None:
    fitting = [
        plugin
        for plugin in plugins("prompt_readers")
        if name.lower().endswith(_ending(plugin)) and len(name) > len(_ending(plugin))
    ]
    return max(fitting, key=lambda plugin: len(plugin.name), default=None)


def _ending(plugin: Plugin) -> str:
    return "." + plugin.name.strip().lstrip(".").lower()
