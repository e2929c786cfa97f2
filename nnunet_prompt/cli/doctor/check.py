"""One result of `nnunet-prompt doctor`, and how any check becomes one: whatever is raised is a line, no traceback."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Status = Literal["ok", "warning", "broken"]
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_SECRET = re.compile(r"(?i)\b(\w*(?:token|secret|password|passwd|api_?key)\w*\s*[=:]\s*)\S+")


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, what was found in one line, and what to do where that is not as it should be."""

    name: str
    status: Status
    found: str
    advice: str = ""


Look = Callable[[], list[Check]]


def looked(name: str, look: Look) -> list[Check]:
    """The results of `look`, shortened for posting; an error becomes one that is broken."""
    try:
        results = look()
    except (Exception, SystemExit) as error:  # a broken package can raise anything
        reason = " ".join(str(error).split())
        text = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
        results = [Check(name, "broken", text, "see the error; install the package again")]
    return [Check(c.name, c.status, shortened(c.found), shortened(c.advice)) for c in results]


def shortened(text: str) -> str:
    """The text in one line without the home folder, credentials in addresses and values called token or password."""
    text = " ".join(text.split())
    for home in {str(_home()), str(_home().resolve())} - {"/", "."}:
        text = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text)
    return _SECRET.sub(r"\1***", _CREDENTIALS.sub("***@", text))


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a container's user without a home
        return Path("/")
