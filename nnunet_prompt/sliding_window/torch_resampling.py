"""The matrices of `resampling` as products of tensors, on any device.

A product in 32 bits differs from nnU-Net's 64 bits by less than a millionth of the range of the values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nnunet_prompt.prompts.checks import Shape
from nnunet_prompt.prompts.encode import Window
from nnunet_prompt.sliding_window.device_memory import send
from nnunet_prompt.sliding_window.lazy_image import DenseImage, GridImage, LazyImage, inside_of
from nnunet_prompt.sliding_window.resampling import Matrix, Resampler, Span

SEND = 32_000_000  # voxels that are on their way to the device at a time


def rows_of(matrix: Matrix, device: torch.device) -> Tensor:
    """A matrix, or some of its rows and columns, float32 on a device."""
    return torch.from_numpy(np.array(matrix, np.float32)).to(device)


def along(block: Tensor, rows: Tensor, axis: int) -> Tensor:
    """Multiplies one of the three axes of a block by a matrix (new length, length)."""
    if axis == 0:
        flat = rows @ block.reshape(len(block), -1)
        return flat.reshape(len(rows), *block.shape[1:])
    return torch.matmul(rows, block) if axis == 1 else block @ rows.T


class Matrices:
    """The three matrices of a resampling on a device, sent once."""

    def __init__(self, how: Resampler, device: torch.device) -> None:
        self.how = how
        self.rows = [rows_of(m, device) for m in how.matrices]

    def part(self, block: Tensor, origin: Sequence[int], box: Sequence[Span]) -> Tensor:
        """The voxels `box` of the new volume from a block at `origin` of the old one that holds all they depend on.

        For resampling that does not clip.
        """
        return self._product(block, self._rows(block, origin, box), range(3))

    def clipped(
        self, block: Tensor, origin: Sequence[int], box: Sequence[Span], limits: Tensor | None
    ) -> Tensor:
        """The same, clipped to lowest and highest values, (2, ...), as `Resampler.limits`; not without."""
        if limits is None:
            return self.part(block, origin, box)
        rows, slices = self._rows(block, origin, box), self.how.slices
        in_plane = self._product(block, rows, [a for a in range(3) if a != slices])
        if slices is not None:
            limits = limits.narrow(slices + 1, origin[slices], int(block.shape[slices]))
        low, high = limits
        found = torch.minimum(torch.maximum(in_plane, low), high)
        return found if slices is None else along(found, rows[slices], slices)

    def _rows(self, block: Tensor, origin: Sequence[int], box: Sequence[Span]) -> list[Tensor]:
        return [
            r[low:high, o : o + n]
            for r, (low, high), o, n in zip(self.rows, box, origin, block.shape, strict=True)
        ]

    def _product(self, block: Tensor, rows: Sequence[Tensor], axes: Iterable[int]) -> Tensor:
        for axis in sorted(axes, key=lambda a: rows[a].shape[0] / max(rows[a].shape[1], 1)):
            block = along(block, rows[axis], axis)
        return block


@dataclass(frozen=True, slots=True, eq=False)
class FarImage:
    """A normalised volume (C, *crop) on a device, that is resampled there tile by tile."""

    volume: Tensor
    matrices: Matrices
    limits: tuple[Tensor | None, ...]

    @property
    def shape(self) -> Shape:
        return self.matrices.how.new_shape

    @property
    def channels(self) -> int:
        return int(self.volume.shape[0])

    def tile(self, window: Window) -> Tensor:
        """As that of `LazyImage`, on the device, and without waiting for it."""
        inside, padding = inside_of(window, self.shape)
        source = self.matrices.how.source(inside)
        origin = [low for low, _ in source]
        block = self.volume[(slice(None), *(slice(low, high) for low, high in source))]
        part = torch.stack(
            [
                self.matrices.clipped(channel, origin, inside, limits)
                for channel, limits in zip(block, self.limits, strict=True)
            ]
        )
        return nn.functional.pad(part, padding)


DeviceImage = FarImage | DenseImage


def device_image(image: GridImage, device: torch.device) -> DeviceImage:
    """An image on a device, in one copy; what is resampled for a tile is resampled there."""
    if isinstance(image, LazyImage):
        if image.resampler.shape == image.shape:
            return DenseImage(send(torch.from_numpy(np.asarray(image.volume)), device))
        limits = [None if one is None else rows_of(one, device) for one in image.limits]
        volume = send(torch.from_numpy(np.asarray(image.volume)), device)
        return FarImage(volume, Matrices(image.resampler, device), tuple(limits))
    assert isinstance(image, DenseImage)  # there is no third kind
    return image.on(device)


@torch.inference_mode()
def resample_image(image: LazyImage, device: torch.device) -> DenseImage:
    """The whole image on its grid, on a device, which is sent the volume some slices at a time."""
    channels = [
        _resampled(torch.from_numpy(np.asarray(volume)), image.resampler, limits, device)
        for volume, limits in zip(image.volume, image.limits, strict=True)
    ]
    return DenseImage(channels[0][None] if len(channels) == 1 else torch.stack(channels))


def _resampled(
    volume: Tensor, how: Resampler, limits: npt.NDArray[Any] | None, device: torch.device
) -> Tensor:
    if how.shape == how.new_shape:
        return send(volume, device).contiguous()
    if how.slices in (1, 2):  # that axis comes last: nothing can be done slab by slab
        in_plane = _order(how, [a for a in range(3) if a != how.slices])
        flat = _product(send(volume, device), how, in_plane)
        return _product(_clip(flat, limits), how, [how.slices])
    by_slice = limits if how.slices == 0 else None
    flat = torch.empty((how.shape[0], *how.new_shape[1:]), device=device)
    step = max(1, SEND // max(volume[0].numel(), 1))
    for low in range(0, len(volume), step):
        here = slice(low, low + step)
        part = _product(send(volume[here], device), how, _order(how, [1, 2]))
        flat[here] = _clip(part, None if by_slice is None else by_slice[:, here])
    result = _product(flat, how, [0])
    return _clip(result, None if how.slices == 0 else limits)


def _order(how: Resampler, axes: list[int]) -> list[int]:
    """Axes that shrink most come first."""
    return sorted(axes, key=lambda a: how.new_shape[a] / max(how.shape[a], 1))


def _product(block: Tensor, how: Resampler, axes: Sequence[int]) -> Tensor:
    for axis in axes:
        block = along(block, rows_of(how.matrices[axis], block.device), axis)
    return block


def _clip(block: Tensor, limits: npt.NDArray[Any] | None) -> Tensor:
    """Clips in place to lowest and highest values, (2, ...), as `Resampler.limits`; not without."""
    if limits is None:
        return block
    low, high = torch.from_numpy(np.array(limits, np.float32)).to(block.device)
    return torch.minimum(torch.maximum(block, low, out=block), high, out=block)
