"""A network without prompt channels answers what the network answers to empty ones."""

from __future__ import annotations

from typing import Any

import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef

from nnunet_prompt.prompts.channels import N_PROMPT_CHANNELS
from nnunet_prompt.sliding_window.promptless import without_prompts
from tests.helpers.each import each
from tests.helpers.models import hand_made_plans


def network(configuration: str, channels: int) -> Any:
    from nnunet_prompt.training.trainer import PromptTrainer

    manager = PlansManager(hand_made_plans())
    settings = manager.get_configuration(configuration)
    return PromptTrainer.build_network_architecture(manager, settings, channels, 3, False).eval()


@each("configuration", ["3d_fullres", "2d"])
@each("channels", [1, 3])
@torch.inference_mode()
def test_the_same_answer(configuration: str, channels: int) -> None:
    full = network(configuration, channels)
    narrow = without_prompts(full, channels)
    assert narrow is not None
    shape = (8, 16, 16)[-2 if configuration == "2d" else -3 :]
    image = torch.randn((2, channels, *shape))
    empty = torch.zeros((2, N_PROMPT_CHANNELS, *shape))
    assert torch.allclose(narrow(image), full(torch.cat([image, empty], 1)), atol=1e-5)


def test_the_weights_are_the_networks_own() -> None:
    full = network("3d_fullres", 1)
    narrow = without_prompts(full, 1)
    assert narrow is not None
    own, others = list(full.parameters()), list(narrow.parameters())
    there = {p.data_ptr() for p in own}
    assert len(own) == len(others) and {p.data_ptr() for p in others} == there
    assert sum(a.shape != b.shape for a, b in zip(own, others, strict=True)) == 1
    assert own[0].shape[1] == 1 + N_PROMPT_CHANNELS  # which is left as it was


def test_other_networks_get_the_zeros() -> None:
    assert without_prompts(nn.Conv3d(8, 2, 1), 1) is None
    assert without_prompts(network("3d_fullres", 1), 2) is None


@torch.inference_mode()
def test_skips_are_dropped_when_they_are_used() -> None:
    """While the last stage of the decoder runs, what came over the skip connections is no longer in memory."""
    narrow = without_prompts(network("3d_fullres", 1), 1)
    assert narrow is not None
    kept: list[StorageWeakRef] = []
    found: list[bool] = []
    for stage in narrow.encoder.stages[:-1]:  # type: ignore[union-attr, index]
        stage.register_forward_hook(
            lambda _, __, out: kept.append(StorageWeakRef(out.untyped_storage()))
        )
    last = narrow.decoder.stages[-1]  # type: ignore[union-attr, index]
    last.register_forward_pre_hook(lambda *_: found.extend(one.expired() for one in kept))
    narrow(torch.randn(1, 1, 8, 16, 16))
    assert found and all(found)
