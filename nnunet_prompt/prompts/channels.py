"""The seven prompt channels that follow the image channels, in nnInteractive's order.

Values are in [0, 1] with a peak of exactly 1; they are never normalised, resampled or augmented. No other module
knows the order.
"""

from __future__ import annotations

from typing import Final

MASK: Final = 0
BOX: Final = (1, 2)  # positive, negative; lassos share them
POINT: Final = (3, 4)
SCRIBBLE: Final = (5, 6)
N_PROMPT_CHANNELS: Final = 7

CHANNEL_NAMES: Final = (
    "mask",
    "box +",
    "box -",
    "point +",
    "point -",
    "scribble +",
    "scribble -",
)


def signed(channels: tuple[int, int], positive: bool) -> int:
    """The channel of a positive or a negative prompt among a pair such as `POINT`."""
    return channels[0] if positive else channels[1]
