"""The layout of the channels is nnInteractive's, so that its weights and its viewers fit."""

from __future__ import annotations

from nnunet_prompt.prompts.channels import (
    BOX,
    CHANNEL_NAMES,
    MASK,
    N_PROMPT_CHANNELS,
    POINT,
    SCRIBBLE,
    signed,
)
from tests.helpers.each import each


def test_the_order_is_nninteractives() -> None:
    assert N_PROMPT_CHANNELS == 7
    assert (MASK, *BOX, *POINT, *SCRIBBLE) == (0, 1, 2, 3, 4, 5, 6)
    assert CHANNEL_NAMES == (
        "mask",
        "box +",
        "box -",
        "point +",
        "point -",
        "scribble +",
        "scribble -",
    )


@each(("pair", "name"), [(BOX, "box"), (POINT, "point"), (SCRIBBLE, "scribble")])
def test_a_sign_picks_one_of_a_pair(pair: tuple[int, int], name: str) -> None:
    assert CHANNEL_NAMES[signed(pair, True)] == f"{name} +"
    assert CHANNEL_NAMES[signed(pair, False)] == f"{name} -"
