"""nnU-Net's resampling as one matrix per axis, so that any part of a volume can be had without the rest.

Splines of any order are linear and separable: value = (row of axis 0) x (row of axis 1) x (row of axis 2). The rows are
made by the very functions that nnU-Net's `resample_data_or_seg` calls, from the unit vectors of each axis, so edges,
rounding and the anisotropic case ("separate z") are theirs. A part equals the part of the whole up to the rounding of
64-bit numbers and up to the tail of the cubic prefilter, cut off where it is below `TAIL`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nnunet_prompt.prompts.checks import Shape

Matrix = npt.NDArray[np.float64]
Span = tuple[int, int]
Rule = Callable[[int, int], Matrix]
TAIL = 1e-11  # of a voxel's value: 32-bit numbers end at 6e-8


@dataclass(frozen=True, slots=True, eq=False)
class Resampler:
    """Resampling of volumes of `shape` to `new_shape`; matrices are (new length, length).

    nnU-Net clips cubic splines to the range of what it resamples: the volume, or each slice along `slices` where it
    resamples slice by slice. `clips` is False for lower orders, which cannot leave the range.
    """

    shape: Shape
    new_shape: Shape
    matrices: tuple[Matrix, Matrix, Matrix]
    slices: int | None
    clips: bool

    def source(self, box: Sequence[Span]) -> list[Span]:
        """The voxels of the old volume that the voxels `box` of the new one depend on."""
        return [_columns(m[low:high]) for m, (low, high) in zip(self.matrices, box, strict=True)]

    def reached(self, box: Sequence[Span]) -> list[Span]:
        """The voxels of the new volume that depend on the voxels `box` of the old one."""
        return [
            _columns(m[:, low:high].T) for m, (low, high) in zip(self.matrices, box, strict=True)
        ]

    def limits(self, volume: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
        """Lowest and highest value of the volume, (2, 1, 1, 1), or of each of its slices; None without clipping."""
        if not self.clips:
            return None
        axes = tuple(a for a in range(3) if a != self.slices)
        return np.stack([volume.min(axes, keepdims=True), volume.max(axes, keepdims=True)])

    def part(
        self,
        block: npt.NDArray[Any],
        origin: Sequence[int],
        box: Sequence[Span],
        limits: npt.NDArray[Any] | None = None,
    ) -> Matrix:
        """The voxels `box` of the new volume, float64, from `block`, which lies at `origin` in the old one.

        What the block does not hold counts as zero: give it at least `source(box)`, or know that the rest is zero.
        `limits` are those of the whole old volume.
        """
        rows = [
            m[low:high, o : o + n]
            for m, (low, high), o, n in zip(self.matrices, box, origin, block.shape, strict=True)
        ]
        in_plane = [a for a in range(3) if a != self.slices]
        in_plane.sort(key=lambda a: rows[a].shape[0] / max(rows[a].shape[1], 1))
        result = block.astype(np.float64)
        for axis in in_plane:
            result = _along(result, rows[axis], axis)
        if limits is not None:
            if self.slices is not None:
                here = np.arange(block.shape[self.slices]) + origin[self.slices]
                limits = limits.take(here, self.slices + 1)
            np.clip(result, limits[0], limits[1], out=result)
        return result if self.slices is None else _along(result, rows[self.slices], self.slices)


def resampler(
    function: Callable[..., Any],
    shape: Shape,
    new_shape: Shape,
    spacing: Sequence[float],
    new_spacing: Sequence[float],
) -> Resampler | None:
    """The resampling that `function` (of nnU-Net's configuration manager) does to images of `shape`.

    None where it is neither nnU-Net's default function nor that of its torchres planners: then it is not known that
    it is linear.
    """
    from nnunetv2.preprocessing.resampling.default_resampling import (
        determine_do_sep_z_and_axis,
        resample_data_or_seg_to_shape,
    )
    from nnunetv2.preprocessing.resampling.resample_torch import resample_torch_fornnunet

    if not isinstance(function, partial) or function.args or function.keywords.get("is_seg"):
        return None
    settings: dict[str, Any] = function.keywords
    if function.func is resample_data_or_seg_to_shape:
        in_plane, through, clips = _splines(settings)
    elif function.func is resample_torch_fornnunet and settings.get("mode", "linear") == "linear":
        in_plane, through, clips = _interpolations(settings)
    else:
        return None
    if shape == new_shape:
        a, b, c = (np.eye(n) for n in shape)
        return Resampler(shape, new_shape, (a, b, c), None, False)
    threshold = settings.get("separate_z_anisotropy_threshold")
    separate, axis = determine_do_sep_z_and_axis(
        settings.get("force_separate_z", False),
        spacing,
        new_spacing,
        *([] if threshold is None else [threshold]),
    )
    a, b, c = (
        through(n, m) if separate and i == axis else in_plane(n, m)
        for i, (n, m) in enumerate(zip(shape, new_shape, strict=True))
    )
    slices = int(axis) if separate else None
    return Resampler(shape, new_shape, (a, b, c), slices, clips)


def _splines(settings: Mapping[str, Any]) -> tuple[Rule, Rule, bool]:
    """The matrices in a slice and through slices of nnU-Net's default function, and whether it clips."""
    order, order_z = int(settings.get("order", 3)), int(settings.get("order_z", 0))
    return partial(_in_plane, order=order), partial(_through, order=order_z), order > 1


def _interpolations(settings: Mapping[str, Any]) -> tuple[Rule, Rule, bool]:
    """The same of nnU-Net's torch function, which clips nothing."""
    through = str(settings.get("aniso_axis_mode", "nearest-exact"))
    return partial(_interpolated, mode="linear"), partial(_interpolated, mode=through), False


@lru_cache(maxsize=32)
def _interpolated(length: int, new_length: int, mode: str) -> Matrix:
    unit = torch.eye(length, dtype=torch.float64)[None]
    columns = torch.nn.functional.interpolate(unit, new_length, mode=mode)[0]
    return _without_tail(columns.T.numpy())


@lru_cache(maxsize=32)
def _in_plane(length: int, new_length: int, order: int) -> Matrix:
    from skimage import transform

    resize: Any = transform.resize
    unit = np.eye(length)
    matrix = resize(unit, (new_length, length), order, mode="edge", anti_aliasing=False, clip=False)
    return _without_tail(matrix)


@lru_cache(maxsize=32)
def _through(length: int, new_length: int, order: int) -> Matrix:
    from scipy.ndimage import map_coordinates

    if length == new_length:
        return np.eye(length)
    position = float(length) / new_length * (np.arange(new_length) + 0.5) - 0.5
    columns = [
        map_coordinates(e, position[None], order=order, mode="nearest") for e in np.eye(length)
    ]
    return _without_tail(np.stack(columns, 1))


def _without_tail(matrix: Matrix) -> Matrix:
    matrix = np.where(np.abs(matrix) < TAIL, 0.0, matrix)
    matrix.flags.writeable = False
    return matrix


def _columns(rows: Matrix) -> Span:
    """The columns that are not zero in some row, as a half-open span; (0, 0) for none."""
    used = np.flatnonzero(rows.any(0))
    return (int(used[0]), int(used[-1]) + 1) if used.size else (0, 0)


def _along(block: Matrix, rows: Matrix, axis: int) -> Matrix:
    """Multiplies one axis of a block by a matrix."""
    count = int(np.count_nonzero(rows, axis=1).max(initial=0))
    if count <= 2 and block.shape[axis]:  # nearest and linear: far cheaper than the product
        return _two_taps(block, rows, axis)
    # by torch, because a second library's threads would wait in the way of the network's
    matrix, values = torch.from_numpy(rows.copy()), torch.from_numpy(block)
    if axis == 0:
        flat = matrix @ values.reshape(len(values), -1)
        return np.asarray(flat.reshape(len(matrix), *values.shape[1:]))
    product = torch.matmul(matrix, values) if axis == 1 else values @ matrix.T
    return np.asarray(product)


def _two_taps(block: Matrix, rows: Matrix, axis: int) -> Matrix:
    used = rows != 0
    first = used.argmax(1)
    last = rows.shape[1] - 1 - used[:, ::-1].argmax(1)
    here = np.arange(len(rows))
    shape = [-1 if a == axis else 1 for a in range(3)]
    result = block.take(first, axis) * rows[here, first].reshape(shape)
    second = np.where(last > first, rows[here, last], 0.0)
    if second.any():
        result += block.take(last, axis) * second.reshape(shape)
    return np.asarray(result)
