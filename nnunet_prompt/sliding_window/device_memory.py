"""The memory of a device, what of it may be planned with, and how it is filled."""

from __future__ import annotations

import torch
from torch import Tensor

USABLE = 0.8  # of the free memory of a device; the network's activations and torch's own rounding take the rest


def free_bytes(device: torch.device) -> int | None:
    """The memory of a device that is free for this process; None where that is not known."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))


def send(block: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device, in one copy that does not wait: to a GPU from pinned memory."""
    if device.type == "cuda" and block.device.type == "cpu":
        return block.contiguous().pin_memory().to(device, non_blocking=True)
    return block.to(device)
