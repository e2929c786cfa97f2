"""The ways to store three axes: all 48, and the eight that stand for them.

All 48 are tried in `tests/prompts/test_frames.py`, which holds the arithmetic, and once from an image file to its mask,
in `tests/inference/test_predictor.py`. Everywhere else the eight do: a test that fails for another one fails there.
"""

from __future__ import annotations

from itertools import permutations, product

Orientation = tuple[
    tuple[int, ...], tuple[int, ...]
]  # axis i runs along world axis axes[i], forwards or backwards

ALL: list[Orientation] = list(product(permutations(range(3)), product((1, -1), repeat=3)))
EIGHT: list[Orientation] = [
    ((0, 1, 2), (1, 1, 1)),  # nothing changes
    ((0, 1, 2), (-1, -1, 1)),  # two flips, as between nibabel and ITK
    ((0, 1, 2), (1, -1, 1)),  # one flip, which mirrors
    ((1, 0, 2), (1, 1, 1)),  # two axes change places, which mirrors
    ((2, 1, 0), (1, -1, -1)),
    ((0, 2, 1), (-1, 1, 1)),  # a flip of the axis that stays
    ((1, 2, 0), (1, 1, 1)),  # a cycle is not its own inverse
    ((2, 0, 1), (-1, 1, 1)),  # the other cycle, mirrored
]


def with_flips(some: list[Orientation]) -> list[tuple[tuple[int, ...], tuple[bool, ...]]]:
    """The same with True where an axis runs backwards."""
    return [(axes, tuple(sign < 0 for sign in signs)) for axes, signs in some]


def codes(some: list[Orientation]) -> list[str]:
    """The same as nibabel's letters: RAS, LPS, ..."""
    pairs = ("LR", "PA", "SI"[::-1])
    return ["".join(pairs[a][s > 0] for a, s in zip(*one, strict=True)) for one in some]
