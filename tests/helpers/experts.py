"""A model folder with experts that do something."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from nnunet_prompt.networks.checkpoint import read_checkpoint
from nnunet_prompt.networks.experts import ExpertOptions, add_experts, is_of_experts
from nnunet_prompt.networks.network import network_of


def wake(network: nn.Module, *, seed: int = 7) -> None:
    """Random values for experts and router, so that the experts do something, and another thing for another image."""
    torch.manual_seed(seed)
    for name, parameter in network.named_parameters():
        if is_of_experts(name):
            nn.init.normal_(parameter, 0, 0.5)


def open_heads(model: Path) -> Path:
    """Lets an untrained model answer something: its output layers begin at one half; returns its folder."""
    path = model / "fold_0" / "checkpoint_final.pth"
    content = read_checkpoint(path)
    for name, tensor in content["network_weights"].items():
        if name.startswith("heads.") and name.endswith(".bias"):
            tensor.zero_()
    torch.save(content, path)
    return model


def give_experts(model: Path) -> Path:
    """Puts three experts of rank 2 into the first fold of a model folder; returns its checkpoint."""
    path = model / "fold_0" / "checkpoint_final.pth"
    content = read_checkpoint(path)
    described = content["init_args"]
    network = network_of(described["plans"], described["configuration"], described["dataset_json"])
    network.load_state_dict(content["network_weights"])
    add_experts(network, ExpertOptions(3, 2))
    wake(network)
    torch.save({**content, "network_weights": network.state_dict()}, path)
    return path
