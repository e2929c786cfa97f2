"""A model folder whose task vectors do something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from nnunet_prompt.networks.checkpoint import read_checkpoint
from nnunet_prompt.networks.network import network_of
from nnunet_prompt.networks.task_vector import Modulation, add_task_vectors
from tests.helpers.experts import open_heads
from tests.helpers.models import write_model_folder


def model_with_supports(folder: Path, **options: Any) -> Path:
    """A model that was never trained, answers something, and takes a support set."""
    model = open_heads(write_model_folder(folder, **options))
    path = model / "fold_0" / "checkpoint_final.pth"
    content = read_checkpoint(path)
    described = content["init_args"]
    network: Any = network_of(
        described["plans"], described["configuration"], described["dataset_json"]
    )
    network.load_state_dict(content["network_weights"])
    add_task_vectors(network)
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, Modulation):
            torch.nn.init.normal_(module.linear.weight, std=0.5)
    torch.save({**content, "network_weights": network.state_dict()}, path)
    return model
