"""How many tiles a device runs fastest at a time, measured once for a network and a size of tiles."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

MOST = 16
GAIN = 0.97  # of the time of a tile: more tiles take more memory, and are worth it only if they are faster
SHARE = 0.5  # of the free memory that a batch may take
Key = tuple[str, tuple[int, ...]]
_KNOWN: WeakKeyDictionary[nn.Module, dict[Key, int]] = WeakKeyDictionary()


def fastest_batch(
    network: nn.Module, shape: Sequence[int], device: torch.device, ask: Callable[[Tensor], Tensor]
) -> int:
    """The number of tiles (C, *tile) of `shape` that `ask` answers fastest at a time; for the CPU always 1.

    It is measured the first time that a network meets this shape on this device.
    """
    if device.type == "cpu":  # more tiles gain nothing there, and take memory
        return 1
    known = _KNOWN.setdefault(network, {})
    key = (str(device), tuple(shape))
    if key not in known:
        known[key] = _measured(shape, device, ask)
    return known[key]


def _measured(shape: Sequence[int], device: torch.device, ask: Callable[[Tensor], Tensor]) -> int:
    best, fastest, size = 1, _seconds(1, shape, device, ask), 2
    one = _taken(device)
    while size <= MOST and _fits(size * one, device):
        try:
            seconds = _seconds(size, shape, device, ask) / size
        except (RuntimeError, MemoryError):  # out of memory: a smaller one will do
            break
        if seconds > GAIN * fastest:
            break
        best, fastest, size = size, seconds, 2 * size
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return best


def _seconds(
    size: int, shape: Sequence[int], device: torch.device, ask: Callable[[Tensor], Tensor]
) -> float:
    """The time of one batch, the second one: the first chooses its algorithms."""
    batch = torch.randn((size, *shape), device=device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    ask(batch)
    _wait(device)
    began = time.perf_counter()
    ask(batch)
    _wait(device)
    return time.perf_counter() - began


def _taken(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def _fits(size: int, device: torch.device) -> bool:
    return device.type != "cuda" or size <= SHARE * torch.cuda.mem_get_info(device)[0]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
