"""A network without its prompt channels, for passes in which they are empty."""

from __future__ import annotations

import copy
from typing import Any

import torch
from dynamic_network_architectures.building_blocks.unet_decoder import UNetDecoder
from torch import nn

from nnunet_prompt.prompts.channels import N_PROMPT_CHANNELS

ARCHITECTURES = "dynamic_network_architectures."  # the package of nnU-Net's networks
NO_NUMBER: Any = -1  # of channels, which no batch has


def without_prompts(network: nn.Module, channels: int) -> nn.Module | None:
    """The network for batches of its image channels alone; it answers what the network answers to empty prompts.

    Empty prompts are zeros, of which a convolution makes nothing, so that the columns of the first convolution that
    read them can go. All other parameters, and those columns that stay, are the network's own memory. None for a
    network that is not nnU-Net's, or a first convolution that is not plain: give these the zeros.
    """
    if not any(kind.__module__.startswith(ARCHITECTURES) for kind in type(network).__mro__):
        return None
    stem = _first_convolution(network)
    if stem is None or stem.in_channels != channels + N_PROMPT_CHANNELS or stem.groups != 1:
        return None
    shared: dict[int, Any] = {id(p): p for p in (*network.parameters(), *network.buffers())}
    alone = copy.deepcopy(network, shared)
    narrow = _first_convolution(alone)
    assert narrow is not None  # a copy has what it is a copy of
    with torch.inference_mode(False):
        weight = stem.weight.detach()[:, :channels]
        narrow.weight = nn.Parameter(weight, requires_grad=False)
    narrow.in_channels = channels
    _drop_used_skips(alone)
    if hasattr(alone, "n_image_channels"):  # else it would add the empty prompts itself
        alone.n_image_channels = NO_NUMBER
    return alone


def _drop_used_skips(network: nn.Module) -> None:
    """Lets nnU-Net's decoder forget what came over a skip connection as soon as it is part of a stage's input.

    Its caller's list keeps it until the end, and that of the finest stage is as large as the stage's answer.
    """
    decoder = getattr(network, "decoder", None)
    stages = getattr(decoder, "stages", None)
    if not (isinstance(decoder, UNetDecoder) and isinstance(stages, nn.ModuleList)):
        return
    skips: list[Any] = []

    def begin(_: nn.Module, given: tuple[Any, ...]) -> None:
        skips[:] = given[:1]

    decoder.register_forward_pre_hook(begin)
    for number, stage in enumerate(stages):

        def used(_: nn.Module, __: Any, place: int = -(number + 2)) -> None:
            if isinstance(skips[0], list):
                skips[0][place] = None

        stage.register_forward_pre_hook(used)


def _first_convolution(network: nn.Module) -> Any:
    """The convolution that reads the input of a network of nnU-Net, None if it is not a plain one."""
    encoder = getattr(network, "encoder", None)
    if not isinstance(encoder, nn.Module):
        return None
    for module in encoder.modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d)):
            return module if type(module) in (nn.Conv2d, nn.Conv3d) else None
    return None
