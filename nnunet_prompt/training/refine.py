"""Refinement rounds in training: the network's own mask as mask prompt, and clicks where it is wrong.

What a user does: look at the mask, click on the largest error, look again. The rounds run without gradient, on the
samples of a batch that are shown prompts, before the step that learns from the last of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nnunet_prompt.prompts.channels import MASK, N_PROMPT_CHANNELS
from nnunet_prompt.prompts.checks import BoolArray
from nnunet_prompt.prompts.clicks import corrective_clicks, error_components
from nnunet_prompt.prompts.draw import scribble_in
from nnunet_prompt.prompts.encode import PromptStyle, Window, stamp
from nnunet_prompt.prompts.types import PromptSet
from nnunet_prompt.prompts.voxels import Layers
from nnunet_prompt.training.loss import UNKNOWN

P_SCRIBBLE = 0.15  # of the corrections are strokes instead of clicks
P_FORGET = 0.4  # of the samples are shown the corrections without the mask, as a viewer without feedback does it
LEAST = 0.6  # as deep in an error, at least, as its deepest voxel


@dataclass(frozen=True, slots=True)
class Rounds:
    """How corrections are drawn: `most` rounds, prompts in `style`, strokes across `slice_axis` of the patch."""

    most: int
    style: PromptStyle
    slice_axis: int = 0
    scribbles: bool = True


def refine(
    data: Tensor,
    target: Tensor,
    object_logits: Callable[[Tensor], Tensor],
    rng: np.random.Generator,
    rounds: Rounds,
) -> list[int]:
    """Plays rounds of correction on a batch; changes the prompt channels of `data` in place. Returns the samples.

    `data` is (B, C + 7, *patch) on the CPU, `target` (B, *patch) the object's target with -1 for unknown;
    `object_logits` gives the logits (n, *patch) of some samples of `data`. Samples that are shown no prompt stay as
    they are. The number of rounds is one, or more with falling probability.
    """
    chosen = [b for b in range(len(data)) if bool((target[b] != UNKNOWN).any())]
    if not chosen:
        return []
    played = min(int(rng.geometric(0.5)), rounds.most)
    forgets = rng.random(len(chosen)) < P_FORGET
    for _ in range(played):
        found = (object_logits(data[chosen]) > 0).cpu().numpy()
        for b, mask, forget in zip(chosen, found, forgets, strict=True):
            truth = target[b].numpy()
            shown = data[b, -N_PROMPT_CHANNELS:]
            _correct(shown, truth, mask, rng, rounds)
            if not forget:
                shown[MASK] = torch.from_numpy(mask)
    return chosen


def _correct(
    shown: Tensor,
    truth: npt.NDArray[np.int8],
    mask: BoolArray,
    rng: np.random.Generator,
    rounds: Rounds,
) -> None:
    """Stamps corrections into the prompt channels (7, *patch) of one sample, in place."""
    deep = truth.reshape((1,) * (3 - truth.ndim) + truth.shape)  # a patch of two axes is one slice
    known = deep != UNKNOWN
    goal, found = (deep == 1), mask.reshape(deep.shape) & known
    count = 1 if rng.random() < 0.6 else int(rng.integers(2, 4))
    if rounds.scribbles and rng.random() < P_SCRIBBLE:
        prompts = _strokes(goal, found, rng, rounds.slice_axis, count)
    else:
        clicks = corrective_clicks(goal, found, rng, count=count, least=LEAST)
        prompts = PromptSet(points=clicks)
    if not prompts.empty:
        fresh = np.zeros((N_PROMPT_CHANNELS, *deep.shape), np.float32)
        stamp(prompts, Window((0, 0, 0), _three(deep.shape)), rounds.style, fresh)
        added = torch.from_numpy(fresh).reshape(shown.shape)
        torch.maximum(shown, added.to(shown.dtype), out=shown)


def _strokes(
    goal: BoolArray, found: BoolArray, rng: np.random.Generator, axis: int, count: int
) -> PromptSet:
    """A stroke in the slice of each of the largest errors that shows most of it."""
    strokes = []
    for error, positive in error_components(goal, found, count):
        layers = Layers(error, axis)
        strokes += scribble_in(layers, int(layers.areas.argmax()), rng, positive=positive)
    return PromptSet(scribbles=tuple(strokes))


def _three(shape: tuple[int, ...]) -> tuple[int, int, int]:
    a, b, c = shape
    return a, b, c
