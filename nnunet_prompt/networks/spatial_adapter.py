"""A spatial adapter: two convolutions on the features that the finest output layer reads.

Its residual starts at zero, as in Houlsby et al. 2019, "Parameter-Efficient Transfer Learning for NLP" (arXiv
1902.00751), section 2.1. At this place, between a frozen decoder and its classifier, it stands in Silva-Rodriguez et
al., "Towards Foundation Models and Few-Shot Parameter-Efficient Fine-Tuning for Volumetric Organ Segmentation" (arXiv
2303.17051). It is not linear, so it cannot be folded into other weights.

In a checkpoint it is called `spatial_adapter.*`, the finest output layer included: that layer without its adapter is
wrong, and under its usual name another loader would take it and drop the adapter in silence.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from nnunet_prompt.networks.tensor_names import HEADS, SPATIAL_ADAPTER, rename_start

_HEAD: Final = f"{SPATIAL_ADAPTER}head."


class SpatialAdapter(nn.Module):
    """x + last(leaky(first(x))) for features (B, C, *spatial); `last` is zero at first, so nothing changes."""

    def __init__(self, like: _ConvNd, channels: int) -> None:
        super().__init__()
        convolution: Any = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[len(like.kernel_size)]
        self.first = convolution(channels, channels, like.kernel_size, padding="same")
        self.last = convolution(channels, channels, like.kernel_size, padding="same")
        self.nonlin = nn.LeakyReLU()
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.last(self.nonlin(self.first(x)))
        return x + change


def add_spatial_adapter(network: nn.Module) -> None:
    """Puts the adapter behind the last stage of the decoder, with that stage's kernels. No logit changes."""
    stage = _decoder(network).stages[-1]
    head = _decoder(network).seg_layers[-1]
    like = next(m for m in stage.modules() if isinstance(m, _ConvNd))
    stage.adapter = SpatialAdapter(like, head.in_channels).to(head.weight)
    stage.register_forward_hook(_through_adapter)


def has_spatial_adapter(network: nn.Module) -> bool:
    stages: Any = getattr(getattr(network, "decoder", None), "stages", None)
    return bool(stages) and hasattr(stages[-1], "adapter")


def write_saved(network: nn.Module, weights: dict[str, Tensor], prefix: str) -> None:
    """Gives the adapter and its output layer their names in a checkpoint; in place. Nothing without an adapter."""
    if has_spatial_adapter(network):
        rename_start(weights, prefix + _place(network), prefix + SPATIAL_ADAPTER)
        rename_start(weights, prefix + _head(network), prefix + _HEAD)


def hide_saved(network: nn.Module, weights: dict[str, Tensor], prefix: str) -> None:
    """Undoes `write_saved` and leaves the adapter out: the state dict of the network without it; in place."""
    rename_start(weights, prefix + _HEAD, prefix + _head(network))
    for name in [n for n in weights if n.startswith(prefix + SPATIAL_ADAPTER)]:
        del weights[name]


def read_saved(network: nn.Module, weights: dict[str, Tensor], prefix: str) -> None:
    """Prepares a state dict for loading, in place; a network gets the adapter that the state dict brings.

    A state dict without one makes the adapter of the network do nothing.
    """
    if any(n.startswith(prefix + SPATIAL_ADAPTER) for n in weights):
        if not has_spatial_adapter(network):
            add_spatial_adapter(network)
        rename_start(weights, prefix + _HEAD, prefix + _head(network))
        rename_start(weights, prefix + SPATIAL_ADAPTER, prefix + _place(network))
    elif has_spatial_adapter(network):
        for name, tensor in _decoder(network).stages[-1].adapter.state_dict().items():
            idle = torch.zeros_like(tensor) if name.startswith("last.") else tensor
            weights[prefix + _place(network) + name] = idle


def _through_adapter(stage: Any, inputs: Any, output: Tensor) -> Tensor:
    del inputs
    adapted: Tensor = stage.adapter(output)
    return adapted


def _decoder(network: nn.Module) -> Any:
    return network.decoder


def _place(network: nn.Module) -> str:
    """Where the adapter is in the network."""
    return f"decoder.stages.{len(_decoder(network).stages) - 1}.adapter."


def _head(network: nn.Module) -> str:
    """The name of the finest output layer in a checkpoint."""
    return f"{HEADS}{len(_decoder(network).seg_layers) - 1}."
