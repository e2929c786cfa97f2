"""Prompted tiles, run in groups.

On a device of its own a group takes one copy there and one back, and nothing waits between. The image is sent once per
case and resampled there. Prompts are rasterised on the CPU, by the one rasteriser that there is, and sent as what they
leave: the voxels that are not zero and their values. Logits come back tile by tile, but together: tiles around prompts
overlap little, so that sums would be no smaller.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nnunet_prompt.prompts.channels import N_PROMPT_CHANNELS
from nnunet_prompt.prompts.checks import Shape
from nnunet_prompt.prompts.encode import Window
from nnunet_prompt.sliding_window.device_memory import USABLE, free_bytes, send
from nnunet_prompt.sliding_window.lazy_image import GridImage, image_bytes
from nnunet_prompt.sliding_window.torch_resampling import DeviceImage, device_image

_LOG = logging.getLogger(__name__)
Array = npt.NDArray[np.float32]
Ask = Callable[[Tensor], Tensor]
GROUP = 64_000_000  # voxels of the tiles of a group
_SENT: WeakKeyDictionary[GridImage, dict[str, DeviceImage | None]] = WeakKeyDictionary()


def sent_image(image: GridImage, device: torch.device) -> DeviceImage | None:
    """The image on a device, sent the first time that it is asked for; None where there is no room for it."""
    sent = _SENT.setdefault(image, {})
    if str(device) not in sent:
        need, free = image_bytes(image), free_bytes(device)
        fits = free is None or need <= USABLE * free
        if not fits:
            _LOG.info("the image takes %.1f GiB: its tiles are cut on the CPU", need / 2**30)
        sent[str(device)] = device_image(image, device) if fits else None
    return sent[str(device)]


class Group(Protocol):
    """Tiles (C + 7, *tile) that are run together, some at a time."""

    @property
    def full(self) -> bool:
        """Whether it is time to run them."""

    def room(self) -> Array:
        """Where the prompt channels (7, *tile) of the next tile are drawn."""

    def add(self, window: Window) -> None:
        """Adds the tile that was drawn."""

    def run(self, ask: Ask) -> Sequence[Tensor]:
        """What `ask` answers, of batches (B, C + 7, *tile) on its device, to each tile, on the CPU; none are left."""


class NearGroup:
    """A batch on the CPU, into which prompts are drawn."""

    def __init__(self, image: GridImage, tile: Shape, batch: int, device: torch.device) -> None:
        self.image, self.count = image, 0
        self.batch = torch.empty((batch, image.channels + N_PROMPT_CHANNELS, *tile), device=device)
        self.cut: tuple[Window, Tensor] | None = None

    @property
    def full(self) -> bool:
        return self.count == len(self.batch)

    def room(self) -> Array:
        return self.batch[self.count, self.image.channels :].numpy()

    def add(self, window: Window) -> None:
        if self.cut is None or self.cut[0] != window:  # tiles of several labels follow each other
            self.cut = window, self.image.tile(window)
        self.batch[self.count, : self.image.channels] = self.cut[1]
        self.count += 1

    def run(self, ask: Ask) -> Sequence[Tensor]:
        count, self.count = self.count, 0
        return list(ask(self.batch[:count])) if count else []


class FarGroup:
    """Tiles for another device, kept until they are worth a copy."""

    def __init__(self, image: GridImage, tile: Shape, batch: int, device: torch.device) -> None:
        self.image, self.tile, self.batch, self.device = image, tile, batch, device
        self.size = math.prod(tile)
        self.shown = np.empty((N_PROMPT_CHANNELS, *tile), np.float32)
        self._empty()

    def _empty(self) -> None:
        self.windows: list[Window] = []
        self.voxels: list[npt.NDArray[np.int32]] = []  # in their batch
        self.values: list[Array] = []

    @property
    def full(self) -> bool:
        return len(self.windows) * self.size >= GROUP

    def room(self) -> Array:
        return self.shown

    def add(self, window: Window) -> None:
        flat = self.shown.reshape(-1)
        voxels = np.flatnonzero(flat)
        channels = self.image.channels
        slot = len(self.windows) % self.batch
        first = (slot * (channels + N_PROMPT_CHANNELS) + channels) * self.size
        self.windows.append(window)
        self.values.append(flat[voxels])
        self.voxels.append((voxels + first).astype(np.int32))

    def run(self, ask: Ask) -> Sequence[Tensor]:
        if not self.windows:
            return []
        there = sent_image(self.image, self.device)
        found = torch.cat([ask(batch) for batch in self._batches(there)]).cpu()
        self._empty()
        return list(found)

    def _batches(self, there: DeviceImage | None) -> Iterator[Tensor]:
        channels = self.image.channels
        voxels, values, images = self._sent(there)
        ends = np.cumsum([0, *(len(v) for v in self.voxels)]).tolist()
        for start in range(0, len(self.windows), self.batch):
            some = self.windows[start : start + self.batch]
            size = (len(some), channels + N_PROMPT_CHANNELS, *self.tile)
            batch = torch.zeros(size, device=self.device)
            here = slice(ends[start], ends[start + len(some)])
            batch.view(-1).index_copy_(0, voxels[here].long(), values[here])
            for number, window in enumerate(some):
                own = images[start + number] if there is None else there.tile(window)
                batch[number, :channels] = own
            yield batch

    def _sent(self, there: DeviceImage | None) -> tuple[Tensor, Tensor, Tensor]:
        """Voxels, values and, where the image is not there, its tiles (N, C, *tile), in one copy."""
        parts = [*self.voxels, *(v.view(np.int32) for v in self.values)]
        if there is None:
            tiles = [self.image.tile(w).numpy() for w in self.windows]
            parts += [np.ascontiguousarray(t).reshape(-1).view(np.int32) for t in tiles]
        packed = send(torch.from_numpy(np.concatenate(parts)), self.device)
        count = sum(len(v) for v in self.voxels)
        images = packed[2 * count :].view(torch.float32)
        return (
            packed[:count],
            packed[count : 2 * count].view(torch.float32),
            images.reshape(-1, self.image.channels, *self.tile),
        )
