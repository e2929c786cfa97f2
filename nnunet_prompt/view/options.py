"""The options of the live page, and which addresses count as this machine alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nnunet_prompt.common.errors import NNUNetPromptError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SHORTEST_TOKEN = 16


@dataclass(frozen=True, slots=True)
class ViewOptions:
    """Settings of the server. Raises `NNUNetPromptError` for values out of range.

    images      image files, and folders of image files; the page opens these and uploads, nothing else
    output      the folder that "save" writes to; None for downloads alone
    host        the address to listen on; any but a loopback address demands a token
    port        0 for a free one
    token       the word that opens the page, at least 16 characters; None for none
    sessions    the number of open tabs that are kept; of more, the one used least recently is closed
    memory_gib  the size of all open images together, likewise
    upload_mib  the largest upload
    """

    images: tuple[Path, ...] = ()
    output: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    token: str | None = None
    sessions: int = 4
    memory_gib: float = 4.0
    upload_mib: int = 512

    def __post_init__(self) -> None:
        if self.token is None and self.host not in LOOPBACK:
            raise NNUNetPromptError(
                f"--host {self.host}: other machines can reach this address, so a token is needed: give --token, at"
                f" least {SHORTEST_TOKEN} characters, or leave --host out"
            )
        if self.token is not None and not (
            len(self.token) >= SHORTEST_TOKEN and self.token.isascii() and self.token.isalnum()
        ):
            raise NNUNetPromptError(
                f"--token: expected at least {SHORTEST_TOKEN} letters and digits, found {len(self.token)} characters"
            )
        for name, value in (("--port", self.port), ("--sessions", self.sessions - 1)):
            if not 0 <= value <= 65535:
                raise NNUNetPromptError(f"{name}: out of range")
        if not (self.memory_gib > 0 and self.upload_mib > 0):
            raise NNUNetPromptError("--memory and --upload: expected numbers above 0")
