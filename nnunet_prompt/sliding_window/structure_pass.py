"""The automatic pass: all tiles of a volume without prompts, given away slab by slab.

Where sums are kept is the caller's choice. On the network's own device nothing waits for it: the rows of the image that
a row of tiles sees are sent in one copy, if they are not there yet, and tiles are cut, answered and added up there.

A tile of which every voxel has the same value, as outside the body where a volume is padded, has the answer of every
other such tile: it is asked for once. So what is skipped changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nnunet_prompt.common.log import progress
from nnunet_prompt.prompts.channels import N_PROMPT_CHANNELS
from nnunet_prompt.prompts.encode import Window
from nnunet_prompt.sliding_window.batch_size import fastest_batch
from nnunet_prompt.sliding_window.device_memory import send
from nnunet_prompt.sliding_window.forward import mean_logits
from nnunet_prompt.sliding_window.lazy_image import DenseImage
from nnunet_prompt.sliding_window.promptless import without_prompts
from nnunet_prompt.sliding_window.rolling import Slab, rolling
from nnunet_prompt.sliding_window.tiles import Tiling

SAME = (
    1e-5  # the range of a tile that counts as one value; images are normalised, and rounded at 1e-7
)


@dataclass(slots=True)
class TileCount:
    """The tiles of a pass, and how many were not run because another with the same single value had been."""

    tiles: int = 0
    skipped: int = 0

    @property
    def skipped_of(self) -> tuple[int, int]:
        """How many were skipped, and of how many."""
        return self.skipped, self.tiles


@dataclass(frozen=True, slots=True, eq=False)
class StructurePass:
    """The networks of a model (one per fold) and how they are slid over a volume; fields as in `Engine`.

    `importance` (*tile) weighs the voxels of a tile and lies where means are kept, in `dtype`. `skip` leaves out tiles
    of one value.
    With a `max_batch` of 1 tiles are run one by one, else as many at a time as is fastest on the device (`batch_size`).
    """

    networks: tuple[nn.Module, ...]
    patch_size: tuple[int, ...]
    device: torch.device
    importance: Tensor
    mirror_axes: tuple[int, ...] = ()
    step_size: float = 0.5
    max_batch: int = 1
    bfloat16: bool = False
    skip: bool = True
    dtype: torch.dtype = torch.float32

    @torch.inference_mode()
    def run(self, image: DenseImage, count: TileCount) -> Iterator[Slab]:
        """Mean logits (K, n, Y, X) of the structure heads, slab by slab; `count` is added to.

        The image may lie on the CPU or on the network's device.
        """
        z, y, x = (int(n) for n in self.importance.shape)
        windows = Tiling(image.shape, (z, y, x), self.step_size).lattice()
        single = _single_values(image, windows) if self.skip else {}
        bar = progress(windows, "tiles", unit="it", leave=False, hidden=len(windows) < 16)
        asked = _Asked(self, image.channels)
        count.tiles += len(windows)
        batch = asked.fastest((image.channels, z, y, x))

        def answers(row: Sequence[Window]) -> Iterator[tuple[Window, Tensor]]:
            here = _Row(image, row[0], self.device)
            todo = [w for w in row if w not in single]
            for start in range(0, len(todo), batch):
                some = todo[start : start + batch]
                logits = asked.logits(torch.stack([here.tile(w) for w in some]))
                yield from zip(some, logits, strict=True)
                _advance(bar, len(some))
            for window in (w for w in row if w in single):
                value = single[window]
                known = asked.alike.get(value)
                if known is None:
                    known = asked.alike[value] = asked.logits(here.tile(window)[None])[0]
                else:
                    count.skipped += 1
                yield window, known
                _advance(bar, 1)

        yield from rolling(image.shape, windows, answers, self.importance, self.dtype)


class _Asked:
    """The networks, narrowed to image channels where they can be, and the answers to tiles of a single value."""

    def __init__(self, one: StructurePass, channels: int) -> None:
        self.one, self.channels = one, channels
        narrow = [without_prompts(network, channels) for network in one.networks]
        self.networks = [n for n in narrow if n is not None]
        self.zeros = len(self.networks) < len(narrow)
        if self.zeros:
            self.networks = list(one.networks)
        self.alike: dict[tuple[float, ...], Tensor] = {}

    def fastest(self, shape: Sequence[int]) -> int:
        """How many tiles to run at a time; one where no more are allowed."""
        if self.one.max_batch == 1:
            return 1
        return fastest_batch(self.one.networks[0], shape, self.one.device, self.logits)

    def logits(self, batch: Tensor) -> Tensor:
        """Logits (B, K, *tile) where sums are kept, of tiles (B, C, *tile) on the network's device."""
        if self.zeros:
            empty = batch.new_zeros((len(batch), N_PROMPT_CHANNELS, *batch.shape[2:]))
            batch = torch.cat([batch, empty], 1)
        flat = len(self.one.patch_size) == 2
        found = mean_logits(
            self.networks,
            batch[:, :, 0] if flat else batch,
            self.one.mirror_axes,
            bfloat16=self.one.bfloat16,
        )[:, 1:]
        return (found[:, :, None] if flat else found).to(self.one.importance.device)


class _Row:
    """The slices of an image that one row of tiles sees, on the network's device."""

    def __init__(self, image: DenseImage, window: Window, device: torch.device) -> None:
        low = max(window.origin[0], 0)
        part = image.array[:, low : window.origin[0] + window.shape[0]]
        self.low, self.part = low, DenseImage(send(part, device))

    def tile(self, window: Window) -> Tensor:
        z, y, x = window.origin
        return self.part.tile(Window((z - self.low, y, x), window.shape))


def _single_values(image: DenseImage, windows: Sequence[Window]) -> dict[Window, tuple[float, ...]]:
    """The value of each channel in every tile that has one value only, its padding counted; read in one copy."""
    if not windows:
        return {}
    ranges = torch.empty((len(windows), 2, image.channels), device=image.array.device)
    for window, (low, high) in zip(windows, ranges, strict=True):
        part, padding = image.inside(window)
        torch.amin(part, (1, 2, 3), out=low)
        torch.amax(part, (1, 2, 3), out=high)
        if any(padding):
            low.clamp_(max=0)
            high.clamp_(min=0)
    found = {}
    for window, (low, high) in zip(windows, ranges.cpu().tolist(), strict=True):
        if all(b - a <= SAME for a, b in zip(low, high, strict=True)):
            found[window] = tuple(round(a, 4) for a in low)
    return found


def _advance(bar: Iterator[Window], steps: int) -> None:
    for _ in range(steps):
        next(bar, None)
