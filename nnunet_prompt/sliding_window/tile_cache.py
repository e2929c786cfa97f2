"""The tiles that were run last, for sessions in which one prompt follows another."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import numpy as np
import numpy.typing as npt
from torch import Tensor

from nnunet_prompt.prompts.encode import Window

Key = tuple[Window, bytes]


class TileCache:
    """Logits of the object head, found again by where a tile lies and what its prompt channels show.

    So a tile is run again only if a prompt that reaches it has changed. Of more than `size` tiles the one that was used
    least recently is forgotten. It belongs to one image: `clear` it for the next.
    """

    def __init__(self, size: int = 64) -> None:
        self.size = size
        self.misses = 0
        self._kept: OrderedDict[Key, Tensor] = OrderedDict()

    def key(self, window: Window, channels: npt.NDArray[np.float32]) -> Key:
        """The key of a tile that is shown these prompt channels."""
        return window, hashlib.blake2b(np.ascontiguousarray(channels).data, digest_size=16).digest()

    def get(self, key: Key) -> Tensor | None:
        """The logits of a tile, or None where it must be run; that is counted in `misses`."""
        found = self._kept.get(key)
        if found is None:
            self.misses += 1
        else:
            self._kept.move_to_end(key)
        return found

    def put(self, key: Key, logits: Tensor) -> None:
        """Keeps the logits of a tile."""
        self._kept[key] = logits
        if len(self._kept) > self.size:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forgets all tiles."""
        self._kept.clear()
