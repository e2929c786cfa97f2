"""The memory of a device, and what of it may be planned with."""

from __future__ import annotations

import torch

USABLE = 0.8  # of the free memory of a device; the network's activations and torch's own rounding take the rest


def free_bytes(device: torch.device) -> int | None:
    """The memory of a device that is free for this process; None where that is not known."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
