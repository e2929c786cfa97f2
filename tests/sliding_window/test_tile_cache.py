"""The tiles that were run last."""

from __future__ import annotations

import numpy as np
import torch

from nnunet_prompt.prompts.encode import Window
from nnunet_prompt.sliding_window.tile_cache import TileCache


def test_a_full_cache_forgets_the_tile_not_used_for_longest() -> None:
    cache = TileCache(2)
    keys = [cache.key(Window((i, 0, 0), (1, 1, 1)), np.zeros(1, np.float32)) for i in range(3)]
    cache.put(keys[0], torch.zeros(1))
    cache.put(keys[1], torch.ones(1))
    assert cache.get(keys[0]) is not None
    cache.put(keys[2], torch.ones(1))
    assert cache.get(keys[1]) is None and cache.get(keys[0]) is not None and cache.misses == 1
    cache.clear()
    assert cache.get(keys[0]) is None


def test_the_key_is_the_place_and_what_is_shown() -> None:
    cache, window = TileCache(), Window((0, 0, 0), (1, 1, 2))
    one = np.array([0.0, 1.0], np.float32)
    assert cache.key(window, one) == cache.key(window, one.copy())
    assert cache.key(window, one) != cache.key(window, one[::-1])
    assert cache.key(window, one) != cache.key(Window((0, 0, 1), (1, 1, 2)), one)
