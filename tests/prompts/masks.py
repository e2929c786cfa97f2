"""Masks to draw prompts from."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.helpers import properties

modest = properties.modest()
seeds = st.integers(0, 2**32)


@st.composite
def masks(draw: st.DrawFn) -> Any:
    """One to seven voxels along each axis, at least one of them set."""
    shape = draw(st.tuples(*[st.integers(1, 7)] * 3))
    rng = np.random.default_rng(draw(seeds))
    mask = rng.random(shape) < draw(st.sampled_from([0.05, 0.5, 1.0]))
    mask.flat[rng.integers(mask.size)] = True
    return mask


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def ball(shape: Any, radius: float) -> Any:
    grid = np.ogrid[tuple(slice(0, n) for n in shape)]
    centre = [(n - 1) / 2 for n in shape]
    return sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) <= radius**2
