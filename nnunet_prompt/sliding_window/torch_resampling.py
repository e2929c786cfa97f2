"""The matrices of `resampling` as products of tensors, on any device.

A product in 32 bits differs from nnU-Net's 64 bits by less than a millionth of the range of the values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nnunet_prompt.sliding_window.lazy_image import DenseImage, LazyImage
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


def send(block: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device, in one copy that does not wait: to a GPU from pinned memory."""
    if device.type == "cuda" and block.device.type == "cpu":
        return block.contiguous().pin_memory().to(device, non_blocking=True)
    return block.to(device)


class Matrices:
    """The three matrices of a resampling on a device, sent once."""

    def __init__(self, how: Resampler, device: torch.device) -> None:
        self.how = how
        self.rows = [rows_of(m, device) for m in how.matrices]

    def part(self, block: Tensor, origin: Sequence[int], box: Sequence[Span]) -> Tensor:
        """The voxels `box` of the new volume from a block at `origin` of the old one that holds all they depend on.

        For resampling that does not clip.
        """
        rows = [
            r[low:high, o : o + n]
            for r, (low, high), o, n in zip(self.rows, box, origin, block.shape, strict=True)
        ]
        for axis in sorted(range(3), key=lambda a: rows[a].shape[0] / max(rows[a].shape[1], 1)):
            block = along(block, rows[axis], axis)
        return block


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
