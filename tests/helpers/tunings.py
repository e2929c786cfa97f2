"""Small networks of every kind that a tuning may meet, and prompts for them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from nnunet_prompt.networks.network import build_network

KINDS = ("plain", "residual", "2d", "batchnorm")


def network_of(kind: str = "plain", *, seed: int = 0) -> nn.Module:
    """An untrained promptable network for one image channel and two structures, with random prompt columns."""
    axes = 2 if kind == "2d" else 3
    residual = kind == "residual"
    norm = "batchnorm.BatchNorm" if kind == "batchnorm" else "instancenorm.InstanceNorm"
    blocks = {"n_blocks_per_stage" if residual else "n_conv_per_stage": [1, 1, 1]}
    architecture = {
        "network_class_name": "dynamic_network_architectures.architectures.unet."
        + ("ResidualEncoderUNet" if residual else "PlainConvUNet"),
        "arch_kwargs": {
            "n_stages": 3,
            "features_per_stage": [4, 6, 8],
            "conv_op": f"torch.nn.modules.conv.Conv{axes}d",
            "kernel_sizes": [[1, 3, 3][-axes:], [3] * axes, [3] * axes],
            "strides": [[1] * axes, [1, 2, 2][-axes:], [2] * axes],
            **blocks,
            "n_conv_per_stage_decoder": [1, 1],
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.{norm}{axes}d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
    torch.manual_seed(seed)
    network = build_network(architecture, 1, 3, deep_supervision=True)
    stem = next(m for m in network.modules() if isinstance(m, _ConvNd) and m.in_channels == 8)
    nn.init.normal_(stem.weight, 0, 0.2)
    return network


def patch(kind: str = "plain", *, seed: int = 5) -> Tensor:
    """A batch of two patches with image and prompts, (2, 8, *spatial)."""
    generator = torch.Generator().manual_seed(seed)
    shape = (8, 12) if kind == "2d" else (4, 8, 12)
    return torch.rand(2, 8, *shape, generator=generator)


def logits(network: nn.Module, x: Tensor) -> list[Tensor]:
    """The output of every scale, in evaluation mode."""
    network.eval()
    with torch.no_grad():
        outputs = network(x)
    return list(outputs)


def train_briefly(network: nn.Module, x: Tensor, *, steps: int = 3) -> None:
    """A few steps of AdamW on what is trainable; statistics stay where they are frozen."""
    from nnunet_prompt.networks.tunable import keep_statistics

    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, 1e-1)
    network.train()
    keep_statistics(network)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = torch.stack([((o - 1) ** 2).mean() for o in network(x)]).sum()
        loss.backward()
        optimizer.step()
