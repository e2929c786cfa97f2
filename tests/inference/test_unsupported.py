"""A prompt channel that a model was never shown is stated, silent, and refused in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.inference.session import PromptSession
from nnunet_prompt.networks.capability import (
    Capability,
    filled_channels,
    read_capability,
    write_capability,
)
from nnunet_prompt.networks.network import heard_channels, silence_channels
from nnunet_prompt.prompts.channels import N_PROMPT_CHANNELS
from nnunet_prompt.prompts.types import Box, CasePrompts, Point, PromptSet, Scribble
from nnunet_prompt.training.mixture import PromptMixture
from tests.helpers.each import each
from tests.helpers.predictors import predictor, stored

BOX = Box((1, 1, 1), (4, 4, 3))
DEAF = Capability(unsupported=("scribble +", "scribble -", "mask"))


def test_every_prompt_has_its_channel() -> None:
    mask = np.ones((2, 2, 2), bool)
    line = Scribble(((0, 0, 0), (1, 1, 1)))
    assert filled_channels(PromptSet()) == []
    assert filled_channels(PromptSet(mask=mask)) == [0]
    assert filled_channels(PromptSet(mask=~mask)) == []
    assert filled_channels(PromptSet(boxes=(BOX, replace(BOX, positive=False)))) == [1, 2]
    assert filled_channels(PromptSet(negative_mask=mask)) == [2]
    assert filled_channels(PromptSet(points=(Point((0, 0, 0), False),))) == [4]
    assert filled_channels(PromptSet(scribbles=(line, replace(line, positive=False)))) == [5, 6]


def test_what_was_never_shown_is_refused_by_name() -> None:
    DEAF.check_supported(PromptSet(boxes=(BOX,), points=(Point((0, 0, 0)),)), 500)
    line = PromptSet(scribbles=(Scribble(((0, 0, 0),)),))
    with pytest.raises(
        NNUNetPromptError, match=r"label 500.*'scribble \+'.*it knows box \+, box -, point"
    ):
        DEAF.check_supported(line, 500)
    with pytest.raises(NNUNetPromptError, match="'mask'"):
        DEAF.check_supported(PromptSet(mask=np.ones((1, 1, 1), bool)), 500)


def test_predictor_and_session_refuse_it() -> None:
    model = replace(
        predictor().model,
        capability=replace(predictor().model.capability, unsupported=("point +",)),
    )
    volume = stored()
    refusing = PromptPredictor(model)
    prompts = CasePrompts({7: PromptSet(points=(Point((1, 1, 1)),))})
    with pytest.raises(NNUNetPromptError, match=r"label 7.*'point \+'"):
        refusing.predict_prompts([volume], prompts)
    session = PromptSession(refusing)
    session.set_image([volume])
    with pytest.raises(NNUNetPromptError, match=r"label 7.*'point \+'"):
        session.add(Point((1, 1, 1)), 7)
    session.add(BOX, 7)
    assert 7 in session.prompts.labels


def test_the_file_keeps_what_is_unsupported_and_the_mixture(tmp_path: Path) -> None:
    given = replace(DEAF, mixture=PromptMixture().as_dict())
    write_capability(tmp_path, given)
    assert read_capability(tmp_path) == given
    with pytest.raises(ValueError, match="unsupported"):
        Capability(unsupported=("lasso",))


@each("conv", [torch.nn.Conv2d, torch.nn.Conv3d])
def test_silent_channels_have_no_weight(conv: Any) -> None:
    network = torch.nn.Sequential(conv(2 + N_PROMPT_CHANNELS, 4, 3), conv(4, 1, 3))
    before = network[0].weight.detach().clone()
    shown = (True, False, True, True, False, True, True)
    silence_channels(network, 2, shown)
    after = network[0].weight.detach()
    assert heard_channels(network, 2) == shown
    kept = [0, 1, *(2 + k for k, s in enumerate(shown) if s)]
    assert torch.equal(after[:, kept], before[:, kept])
