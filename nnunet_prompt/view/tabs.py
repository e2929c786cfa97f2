"""The open tabs, by their keys: a bounded number and size, of which the one used least recently goes first."""

from __future__ import annotations

import logging
import secrets
from collections import OrderedDict

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.view.tab import Tab

_LOG = logging.getLogger(__name__)


class GoneError(NNUNetPromptError):
    """A tab was closed to make room for others, or the server was started again."""


class Tabs:
    """Open tabs. A key is a secret of 128 bits, so that one page cannot reach the case of another."""

    def __init__(self, most: int, most_bytes: float) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._open: OrderedDict[str, Tab] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, tab: Tab, key: str | None = None) -> str:
        """Keeps a tab, in the place of the one that `key` names, and returns its key; closes others to make room."""
        if key is None or key not in self._open:
            key = secrets.token_urlsafe(16)
        self._open[key] = tab
        self._open.move_to_end(key)
        self.trim()
        return key

    def find(self, key: str) -> Tab:
        """The tab of a key, which then counts as used. Raises `GoneError` if it is not open (any more)."""
        tab = self._open.get(key)
        if tab is None:
            raise GoneError(
                "this case is not open any more, others needed its memory: open it again"
            )
        self._open.move_to_end(key)
        return tab

    def trim(self) -> None:
        """Closes tabs until number and size are within the bounds; the one used last stays."""
        while len(self._open) > 1 and (
            len(self._open) > self._most
            or sum(tab.nbytes for tab in self._open.values()) > self._most_bytes
        ):
            _, tab = self._open.popitem(last=False)
            _LOG.info("closed %s, which was used least recently", tab.name)
