"""Experts: low-rank terms on the convolutions of a network, mixed anew for every image by how the image looks.

Wu et al. 2024, "Mixture of LoRA Experts" (arXiv 2404.13628), with one router that sees the image alone: no name of a
task or a centre, which a test case need not have. A convolution with the weight W becomes, for each image of a batch,
one with W + sum over experts of share * up @ down. `up` is zero at first, so that training begins as that of the plain
network. What the weight is depends on the image, so that experts cannot be folded into one convolution.

The first convolution has none: its prompt input channels are what the prompts are read by.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from nnunet_prompt.common.errors import RefusedError
from nnunet_prompt.networks.tensor_names import EXPERTS, ROUTER

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SAMPLES = 4096  # voxels of a channel that the quantiles are taken of
PLAIN = (nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True, slots=True)
class ExpertOptions:
    """`number` of experts per convolution, each a term of `rank`."""

    number: int = 4
    rank: int = 4


class Router(nn.Module):
    """The shares of the experts in each stage, from statistics of the image channels: one linear layer and softmax."""

    def __init__(self, channels: int, axes: int, stages: int, number: int) -> None:
        super().__init__()
        self.channels, self.stages, self.number = channels, stages, number
        self.linear = nn.Linear(channels * (2 + len(QUANTILES) + axes), stages * number)

    def forward(self, images: Tensor) -> Tensor:
        """Shares (B, stages, experts), of sum 1 over the experts, of images (B, C, *spatial)."""
        with torch.no_grad():
            seen = image_statistics(images)
        shares: Tensor = self.linear(seen.to(self.linear.weight.dtype))
        return shares.reshape(-1, self.stages, self.number).softmax(-1)


class Term(nn.Module):
    """The experts of one convolution. A rank above what its weight can have is cut to that."""

    def __init__(self, weight: Tensor, options: ExpertOptions) -> None:
        super().__init__()
        rows, columns = weight.shape[0], weight[0].numel()
        rank = min(options.rank, rows, columns)
        self.up = nn.Parameter(weight.new_zeros(options.number, rows, rank))
        self.down = nn.Parameter(weight.new_empty(options.number, rank, columns))
        for one in self.down:
            nn.init.kaiming_uniform_(one, a=math.sqrt(5))

    def forward(self, shares: Tensor) -> Tensor:
        """The sums (B, rows, columns) for the shares (B, experts)."""
        scaled = (shares[:, :, None, None] * self.up).permute(0, 2, 1, 3).flatten(2)
        return scaled @ self.down.flatten(0, 1)


class Shares:
    """The shares of the batch that the network works on; its convolutions look them up here."""

    def __init__(self) -> None:
        self.now: Tensor | None = None

    def of(self, stage: int) -> Tensor:
        """Those of a stage, (B, experts)."""
        if self.now is None:  # a part of the network was called by itself
            raise RefusedError(
                "experts: a part of this network was run without the router, expected the whole network; use a model"
                " without experts here"
            )
        return self.now[:, stage]


def image_statistics(images: Tensor) -> Tensor:
    """What a router sees of images (B, C, *spatial): (B, C * (7 + axes)).

    Of each channel the mean, the standard deviation, the quantiles, and the roughness along each axis: the mean
    absolute difference of neighbours as a share of the standard deviation. It shows noise and sharpness, what is
    left of a case's spacing where all patches have that of the plans.
    """
    images = images.float()
    flat = images.flatten(2)
    spread = flat.std(2, correction=0)
    levels = torch.tensor(QUANTILES, device=images.device)
    quantiles = torch.quantile(flat[:, :, :: _step(images)], levels, dim=2).permute(1, 2, 0)
    rough = [
        images.diff(dim=axis).abs().flatten(2).mean(2) / (spread + 1e-6)
        for axis in range(2, images.ndim)
        if images.shape[axis] > 1
    ]
    rough += [torch.zeros_like(spread)] * (images.ndim - 2 - len(rough))
    parts = (flat.mean(2)[..., None], spread[..., None], quantiles, torch.stack(rough, 2))
    return torch.cat(parts, 2).flatten(1)


def _step(images: Tensor) -> int:
    """From one sampled voxel to the next, so that every column of the last axis is met."""
    step = max(1, math.prod(images.shape[2:]) // SAMPLES)
    while math.gcd(step, images.shape[-1]) > 1:
        step += 1
    return step


def add_experts(network: nn.Module, options: ExpertOptions = ExpertOptions()) -> None:
    """Puts experts on every convolution of the stages but the first one, and a router before them. No logit changes."""
    first = next(m for m in network.modules() if isinstance(m, PLAIN))
    shares, stages = Shares(), _stages(network)
    for number, stage in enumerate(stages):
        for layer in [m for m in stage.modules() if isinstance(m, PLAIN) and m is not first]:
            layer.experts = Term(layer.weight.detach(), options)
            layer.shares, layer.stage = shares, number  # type: ignore[assignment] # no modules
            layer.__class__ = _expert_class(type(layer))  # type: ignore[assignment, arg-type]
    axes = len(first.kernel_size)
    channels = int(network.n_image_channels)  # type: ignore[arg-type]
    network.router = Router(channels, axes, len(stages), options.number).to(first.weight)
    network.shares = shares  # type: ignore[assignment]
    network.register_forward_pre_hook(_route)
    network.register_forward_hook(_forget, always_call=True)


def has_experts(network: nn.Module) -> bool:
    return hasattr(network, "router")


def expert_options(weights: Mapping[str, Any]) -> ExpertOptions | None:
    """The experts in a state dict; None where there are none."""
    downs = [t for n, t in weights.items() if n.endswith(f"{EXPERTS}down")]
    if not downs:
        return None
    return ExpertOptions(int(downs[0].shape[0]), max(int(t.shape[1]) for t in downs))


def read_experts(network: nn.Module, weights: dict[str, Tensor], prefix: str) -> None:
    """Prepares a state dict for loading, in place; a network gets the experts that the state dict brings.

    A state dict without them makes the experts of the network do nothing.
    """
    found = expert_options(weights)
    if found is not None:
        if not has_experts(network):
            add_experts(network, found)
    elif has_experts(network):
        for name, tensor in network.named_parameters(remove_duplicate=False):
            if is_of_experts(name):
                idle = torch.zeros_like(tensor) if name.endswith(".up") else tensor.detach()
                weights[prefix + name] = idle


def is_of_experts(name: str) -> bool:
    """Whether a tensor of that name belongs to experts or their router."""
    return EXPERTS in name or name.startswith(ROUTER)


def _stages(network: Any) -> list[nn.Module]:
    """The stages of the encoder, then those of the decoder. A residual stem is none of them."""
    return [*network.encoder.stages, *network.decoder.stages]


def _route(network: Any, inputs: tuple[Any, ...]) -> None:
    network.shares.now = network.router(inputs[0][:, : network.router.channels])


def _forget(network: Any, inputs: Any, output: Any) -> None:
    del inputs, output
    network.shares.now = None


@cache
def _expert_class(base: type[nn.Module]) -> type[nn.Module]:
    class Expert(base):  # type: ignore[misc, valid-type]
        experts: Term
        shares: Shares
        stage: int

        def forward(self, x: Tensor) -> Tensor:
            """One convolution with a group for each image; of one image at a time the CPU takes three times as long."""
            count, weight = x.shape[0], self.weight
            mixed = weight + self.experts(self.shares.of(self.stage)).view(count, *weight.shape)
            bias = None if self.bias is None else self.bias.repeat(count)
            convolution = nn.functional.conv3d if weight.ndim == 5 else nn.functional.conv2d
            answer = convolution(
                x.reshape(1, -1, *x.shape[2:]),
                mixed.flatten(0, 1),
                bias,
                self.stride,
                self.padding,
                self.dilation,
                count * self.groups,
            )
            return answer.reshape(count, -1, *answer.shape[2:])

    Expert.__name__ = Expert.__qualname__ = f"Expert{base.__name__}"
    return Expert
