"""From prompts to the seven channels: the one rasteriser of training and inference.

Everything is stamped into a window of the grid, so the cost grows with the number of prompts and the size of the
window, never with the size of the volume.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from nnunet_prompt.prompts.channels import BOX, MASK, N_PROMPT_CHANNELS, POINT, SCRIBBLE, signed
from nnunet_prompt.prompts.model import VOXEL, Box, Coordinate, PromptSet, Scribble, Shape
from nnunet_prompt.prompts.voxels import bounding_box

FloatArray = npt.NDArray[np.float32]
PointShape = Literal["edt", "gaussian", "ball"]


@dataclass(frozen=True, slots=True)
class PromptStyle:
    """How points and scribbles look on one grid.

    `radii` and `scribble_radii` are in voxels of each grid axis; make them with `style_for`. A radius below one voxel
    keeps a prompt in its own slice.
    """

    point_shape: PointShape = "edt"
    radii: Coordinate = (4.0, 4.0, 4.0)
    scribble_radii: Coordinate = (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Window:
    """A box of the grid: `origin` may be negative or beyond the volume, where there is nothing to see."""

    origin: Shape
    shape: Shape


def style_for(
    spacing: Sequence[float],
    *,
    point_shape: PointShape = "edt",
    radius: float = 4.0,
    scribble_radius: float = 1.0,
    in_plane: bool = False,
) -> PromptStyle:
    """The style for a grid of that spacing (mm): radii are voxels of the finest axis, shrunk along coarser axes.

    `in_plane` is for networks that see single slices (axis 0): their prompts never reach the next slice.
    """
    finest = min(spacing)
    shrink = [finest / s for s in spacing]
    if in_plane:
        finest = min(spacing[1:])
        shrink = [0.0, *(finest / s for s in spacing[1:])]
    z, y, x = shrink
    return PromptStyle(
        point_shape,
        (radius * z, radius * y, radius * x),
        (scribble_radius * z, scribble_radius * y, scribble_radius * x),
    )


def encode(
    prompts: PromptSet, window: Window, style: PromptStyle, *, out: FloatArray | None = None
) -> FloatArray:
    """The prompt channels of `window`, shape (7, *window.shape), float32 in [0, 1]. Empty prompts give zeros.

    Prompts outside the window leave in it what reaches into it. `out` is filled with zeros first and returned.
    Overlapping stamps keep the larger value, so the order of prompts does not matter. Raises `ValueError` for an
    `out` of another shape.
    """
    shape = (N_PROMPT_CHANNELS, *window.shape)
    if out is None:
        out = np.zeros(shape, np.float32)
    elif out.shape != shape:
        raise ValueError(f"out must have the shape {shape}, found {out.shape}")
    else:
        out.fill(0.0)
    stamp(prompts, window, style, out)
    return out


def stamp(prompts: PromptSet, window: Window, style: PromptStyle, out: FloatArray) -> None:
    """What `encode` writes into `out`, float32 (7, *window.shape), which holds zeros and nothing else."""
    if prompts.mask is not None:
        _copy_mask(prompts.mask, window, out[MASK])
    for box in prompts.boxes:
        _fill_box(box, window, out[signed(BOX, box.positive)])
    for point in prompts.points:
        kernel = point_kernel(style.point_shape, _grown(style.radii, point.extent))
        _stamp(kernel, _voxel(point.position), window, out[signed(POINT, point.positive)])
    for scribble in prompts.scribbles:
        _draw(scribble, window, style, out[signed(SCRIBBLE, scribble.positive)])


@lru_cache(maxsize=64)
def point_kernel(shape: PointShape, radii: Coordinate) -> FloatArray:
    """A stamp with an odd number of voxels per axis and a peak of exactly 1 in its centre. Read-only.

    `edt` is the Euclidean distance to the outside of the ellipsoid, divided by its largest value (nnInteractive's
    point; with radii of 4 the very same numbers); `gaussian` has half the radius as its sigma; `ball` is 1 inside.
    """
    half = [math.floor(r + 1e-6) for r in radii]
    grid = np.ogrid[tuple(slice(-h, h + 1) for h in half)]
    distance = np.sqrt(
        np.asarray(sum((g / max(r, 1e-6)) ** 2 for g, r in zip(grid, radii, strict=True)))
    )
    inside = distance <= 1.0 + 1e-6
    if shape == "ball":
        kernel = inside.astype(np.float32)
    elif shape == "gaussian":
        kernel = (np.exp(-2.0 * distance**2) * inside).astype(np.float32)
    else:
        widest = max(*radii, 1e-6)
        steps = [widest / max(r, 1e-6) for r in radii]
        padded = np.pad(inside, 1)
        kernel = distance_transform_edt(padded, sampling=steps)[1:-1, 1:-1, 1:-1].astype(np.float32)
        kernel /= kernel.max()
    kernel.flags.writeable = False
    return np.asarray(kernel)


@lru_cache(maxsize=64)
def _grown(radii: Coordinate, extent: Coordinate) -> Coordinate:
    """Radii that cover what was clicked; a click on one voxel of this grid needs nothing more."""
    if extent == VOXEL:
        return radii
    a, b, c = (round(max(r, e), 3) if e > 0.5 else r for r, e in zip(radii, extent, strict=True))
    return a, b, c


def _voxel(position: Coordinate) -> Shape:
    z, y, x = position
    return math.floor(z + 0.5), math.floor(y + 0.5), math.floor(x + 0.5)


def _stamp(kernel: FloatArray, centre: Shape, window: Window, channel: FloatArray) -> None:
    (depth, rows, columns), (a, b, c), (n, h, w) = kernel.shape, window.origin, window.shape
    z, y, x = centre[0] - depth // 2 - a, centre[1] - rows // 2 - b, centre[2] - columns // 2 - c
    # nearly all points lie inside, and there are hundreds of them in a patch
    if 0 <= z <= n - depth and 0 <= y <= h - rows and 0 <= x <= w - columns:
        view = channel[z : z + depth, y : y + rows, x : x + columns]
        np.maximum(view, kernel, out=view)
    else:
        _stamp_part(kernel, (z, y, x), window.shape, channel)


def _stamp_part(kernel: FloatArray, corner: Shape, shape: Shape, channel: FloatArray) -> None:
    """Stamps what lies inside the window of a kernel whose first voxel is at `corner` of it."""
    target, source = [], []
    for start, k, n in zip(corner, kernel.shape, shape, strict=True):
        low, high = max(start, 0), min(start + k, n)
        if low >= high:
            return
        target.append(slice(low, high))
        source.append(slice(low - start, high - start))
    view = channel[tuple(target)]
    np.maximum(view, kernel[tuple(source)], out=view)


def _fill_box(box: Box, window: Window, channel: FloatArray) -> None:
    """Fills the voxels whose centres the box holds; a box between two centres fills the voxel of its middle.

    A centre on an edge is held on either side: in a mask that nnU-Net resamples, rounding decides about it.
    """
    slices = []
    for lower, upper, o, n in zip(box.lower, box.upper, window.origin, window.shape, strict=True):
        first, last = math.ceil(lower - 0.5 - 1e-6), math.floor(upper - 0.5 + 1e-6)
        if first > last:
            first = last = math.floor((lower + upper - 1.0) / 2 + 0.5)
        low, high = max(first - o, 0), min(last + 1 - o, n)
        if low >= high:
            return
        slices.append(slice(low, high))
    channel[tuple(slices)] = 1.0


def _draw(scribble: Scribble, window: Window, style: PromptStyle, channel: FloatArray) -> None:
    kernel = point_kernel("ball", _grown(style.scribble_radii, scribble.extent))
    path = np.asarray(scribble.path, float)
    seen: set[Shape] = {_voxel(scribble.path[0])}
    for a, b in pairwise(path):
        steps = max(1, math.ceil(2 * float(np.abs(b - a).max())))  # half a voxel: no gaps
        for t in np.linspace(0.0, 1.0, steps + 1):
            z, y, x = a + t * (b - a)
            seen.add(_voxel((float(z), float(y), float(x))))
    for centre in seen:
        _stamp(kernel, centre, window, channel)


def _copy_mask(mask: npt.NDArray[np.bool_], window: Window, channel: FloatArray) -> None:
    target, source = [], []
    for o, n, size in zip(window.origin, window.shape, mask.shape, strict=True):
        low, high = max(o, 0), min(o + n, size)
        if low >= high:
            return
        target.append(slice(low - o, high - o))
        source.append(slice(low, high))
    here = mask[tuple(source)]
    box = bounding_box(here)
    if box is not None:
        channel[tuple(target)][box] = here[box]
