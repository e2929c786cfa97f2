"""Structure heads are read from passes without prompts only, the object head from passes with prompts only."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from nnunet_prompt.inference.session import PromptSession
from nnunet_prompt.prompts.channels import N_PROMPT_CHANNELS
from nnunet_prompt.prompts.types import CasePrompts, Point, PromptSet, Scribble
from tests.helpers.each import each
from tests.helpers.predictors import Answers, corner, predictor, stored


class Tempted(Answers):
    """Its structure heads answer with nothing but noise as soon as a prompt is shown, its object head without one."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        shown = x[:, -N_PROMPT_CHANNELS:].flatten(1).any(1)
        noise = torch.full_like(logits, float("nan"))
        heads = torch.arange(logits.shape[1])
        wrong = (heads > 0) == shown[:, None]  # which heads must not be read
        return torch.where(wrong[(...,) + (None,) * (logits.ndim - 2)], noise, logits)


def every_kind(volume: Any) -> list[PromptSet]:
    box = corner(volume)
    middle = tuple(float((a + b) // 2) for a, b in zip(box.lower, box.upper, strict=True))
    mask = np.zeros(volume.shape, bool)
    mask[tuple(int(v) for v in middle)] = True
    point: Any = middle
    return [
        PromptSet(boxes=(box,)),
        PromptSet(points=(Point(point), Point(box.lower, False))),
        PromptSet(scribbles=(Scribble((point, box.lower)),)),
        PromptSet(mask=mask, negative_mask=~mask),
    ]


@each("window", ["prompted", "full"])
def test_automatic_masks_do_not_depend_on_what_is_pointed_at(window: Any) -> None:
    from nnunet_prompt.inference.options import PredictOptions
    from nnunet_prompt.inference.predictor import PromptPredictor

    volume = stored()
    loaded = PromptPredictor(predictor(Tempted()).model, PredictOptions(window=window))
    automatic = loaded.predict_structures([volume])
    assert automatic.any() and np.array_equal(automatic, predictor().predict_structures([volume]))
    for prompts in every_kind(volume):
        answer = loaded.predict_prompts([volume], CasePrompts({7: prompts}))
        assert set(np.unique(answer)) <= {0, 7}  # comparisons with noise are False
        assert np.array_equal(loaded.predict_structures([volume]), automatic)


def test_nor_in_a_session() -> None:
    volume = stored()
    session = PromptSession(predictor(Tempted()))
    session.set_image([volume])
    automatic = session.predictor.predict_structures([volume])
    plain = PromptSession(predictor())
    plain.set_image([volume])
    for prompts in every_kind(volume)[:3]:
        for one in (*prompts.points, *prompts.boxes, *prompts.scribbles):
            session.add(one, 7)
            plain.add(one, 7)
        assert np.array_equal(session.predict(), plain.predict())
        assert np.array_equal(session.predictor.predict_structures([volume]), automatic)
