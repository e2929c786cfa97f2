"""From what people write to prompts: tuples, lists and arrays become `Point`, `Box`, `Scribble` and masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnunet_prompt.common.arguments import items, shown
from nnunet_prompt.common.errors import PromptError
from nnunet_prompt.prompts.checks import BoolArray, as_mask
from nnunet_prompt.prompts.types import Box, Point, PromptSet, Scribble

Prompt = Point | Box | Scribble | BoolArray

_SAMPLES = (
    "Point((15, 33, 11)), (15, 33, 11), Box((10, 20, 5), (30, 40, 6)), Scribble([(1, 2, 3), (4, 5, 6)])"
    " or a boolean mask of the image's shape"
)


def as_prompt(prompt: Any) -> Prompt:
    """A prompt as it is, three numbers as a point, an array of three axes as a mask.

    Two corners and the vertices of a line look alike, so they are not guessed. Raises `PromptError` for anything else.
    """
    if isinstance(prompt, (Point, Box, Scribble)):
        return prompt
    if isinstance(prompt, np.ndarray) and prompt.ndim > 1:
        return as_mask(prompt)
    parts = items(prompt)
    if parts is not None and parts and not any(items(part) is not None for part in parts):
        return Point(prompt)
    raise PromptError(f"prompt: expected {_SAMPLES}, found {shown(prompt)}")


def as_prompt_set(prompts: Any) -> PromptSet:
    """A set as it is, one prompt, or a list of prompts; of several masks the last. Raises `PromptError`."""
    if isinstance(prompts, PromptSet):
        return prompts
    parts = items(prompts) if isinstance(prompts, (list, tuple)) else None
    several = parts and all(
        isinstance(p, (Point, Box, Scribble, np.ndarray)) or items(p) is not None for p in parts
    )
    found = [as_prompt(p) for p in (parts or ())] if several else [as_prompt(prompts)]
    masks = [p for p in found if isinstance(p, np.ndarray)]
    return PromptSet(
        tuple(p for p in found if isinstance(p, Point)),
        tuple(p for p in found if isinstance(p, Box)),
        tuple(p for p in found if isinstance(p, Scribble)),
        masks[-1] if masks else None,
    )
