"""Where the automatic pass keeps what it needs, decided by what is free before it begins."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from nnunet_prompt.prompts.checks import Shape
from nnunet_prompt.sliding_window.device_memory import USABLE, free_bytes

_LOG = logging.getLogger(__name__)
FLOAT, HALF = 4, 2


@dataclass(frozen=True, slots=True)
class Place:
    """The devices of the image on the network's grid and of the sums of logits, which is where they are resampled."""

    description: str
    image: torch.device
    sums: torch.device


@dataclass(frozen=True, slots=True)
class Need:
    """The size of a case: channels, the grid, the slices of the crop before resampling, heads, slices of a tile."""

    channels: int
    grid: Shape
    slices: int
    heads: int
    height: int

    def image(self) -> int:
        """Bytes of the image on its grid, and of what resampling it needs beside that."""
        z, y, x = self.grid
        return FLOAT * y * x * (self.channels * z + z + self.slices)

    def sums(self) -> int:
        """Bytes of the means of one row of tiles, their finished slab and its halo, and the slices being decoded."""
        _, y, x = self.grid
        return (HALF + 2 * FLOAT) * self.heads * min(self.height, self.grid[0]) * y * x


def places(device: torch.device, need: Need) -> list[Place]:
    """Where to try it, the fastest first: all on the device, the image slab by slab, all but the network on the CPU.

    What does not fit in the device's free memory is not tried.
    """
    cpu = torch.device("cpu")
    if device.type == "cpu":
        return [Place("on the CPU", cpu, cpu)]
    found = [
        (need.image() + need.sums(), Place(f"on {device.type}", device, device)),
        (need.sums(), Place(f"on {device.type}, image slab by slab", cpu, device)),
        (0, Place(f"network on {device.type}, sums on the CPU", cpu, cpu)),
    ]
    free = free_bytes(device)
    fits = [place for size, place in found if free is None or size <= USABLE * free]
    if len(fits) < len(found):
        _log_choice(fits, need, free)
    return fits


def _log_choice(fits: Sequence[Place], need: Need, free: int | None) -> None:
    wanted = (need.image() + need.sums()) / 2**30
    _LOG.info(
        "the automatic pass would take %.1f GiB on the device, which has %.1f GiB free: it runs %s",
        *(wanted, (free or 0) / 2**30, fits[0].description),
    )
