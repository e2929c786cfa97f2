"""Low-rank adaptation (LoRA) of convolutions: 2D and 3D, plain and transposed.

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685), section 4.1: a frozen weight W
becomes W + alpha / r * B A, where B starts at zero. The weight of a convolution is taken as the matrix of its first
axis times all others; so one convolution still runs per layer, and folding the product into W changes no logit by more
than its rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from nnunet_prompt.networks.tensor_names import SEG_LAYERS

_LIST: Final = ".parametrizations.weight"
ORIGINAL: Final = f"{_LIST}.original"
DOWN, UP = f"{_LIST}.0.down", f"{_LIST}.0.up"


class LowRank(nn.Module):
    """W + alpha / rank * up @ down, for a weight of any shape; `up` is zero at first.

    A rank above what the weight can have is cut to that; the scale stays the one that was asked for.
    """

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        rows, columns = weight.shape[0], weight[0].numel()
        fitting = min(rank, rows, columns)
        self.scale = alpha / rank
        self.down = nn.Parameter(weight.new_empty(fitting, columns))
        self.up = nn.Parameter(weight.new_zeros(rows, fitting))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.scale * (self.up @ self.down).view_as(weight)


def add_lora(network: nn.Module, *, rank: int, alpha: float) -> None:
    """Puts a low-rank term on every convolution of a network but its output layers. No logit changes."""
    for name, module in list(network.named_modules()):
        if isinstance(module, _ConvNd) and not name.startswith(SEG_LAYERS):
            parametrize.register_parametrization(
                module, "weight", LowRank(module.weight.detach(), rank, alpha)
            )


def lora_state(network: nn.Module) -> dict[str, dict[str, Tensor]]:
    """For each layer its frozen `weight`, `up` and `down`: what the folded weights alone no longer show."""
    return {
        name: {
            "weight": term.original.detach(),
            "up": term[0].up.detach(),
            "down": term[0].down.detach(),
        }
        for name, layer in _layers(network)
        for term in (layer.parametrizations.weight,)
    }


def restore_lora(network: nn.Module, state: dict[str, dict[str, Tensor]]) -> None:
    """Sets what `lora_state` gave, bit for bit. Raises `KeyError` where a layer is missing."""
    own = lora_state(network)
    with torch.no_grad():
        for name, tensors in own.items():
            for key, tensor in tensors.items():
                tensor.copy_(state[name][key])


def write_plain(
    network: nn.Module, weights: dict[str, Tensor], prefix: str, *, folded: bool
) -> None:
    """Renames the layers in a state dict to what they are called without LoRA; in place.

    Their weights are the frozen ones, or with `folded` the sums; a layer with several names is summed once.
    """
    sums: dict[nn.Module, Tensor] = {}
    for name in [n.removesuffix(ORIGINAL) for n in weights if n.endswith(ORIGINAL)]:
        weight = weights.pop(name + ORIGINAL)
        del weights[name + DOWN], weights[name + UP]
        if folded:
            layer: Any = network.get_submodule(name.removeprefix(prefix))
            if layer not in sums:
                sums[layer] = layer.weight.detach()
            weight = sums[layer]
        weights[f"{name}.weight"] = weight


def read_plain(network: nn.Module, weights: dict[str, Tensor], prefix: str) -> None:
    """The inverse: plain weights become the frozen ones and the terms become zero; in place."""
    for name, layer in _layers(network, aliases=True):
        plain = f"{prefix}{name}.weight"
        if plain in weights:
            term: Any = layer.parametrizations.weight[0]
            weights[prefix + name + ORIGINAL] = weights.pop(plain)
            weights[prefix + name + DOWN] = term.down.detach()
            weights[prefix + name + UP] = torch.zeros_like(term.up)


def _layers(network: nn.Module, *, aliases: bool = False) -> Iterator[tuple[str, Any]]:
    modules = list(network.named_modules(remove_duplicate=not aliases))
    return ((n, m) for n, m in modules if parametrize.is_parametrized(m, "weight"))
