"""From prompts to the seven channels: the one rasteriser of training and inference.

Everything is stamped into a window of the grid, so the cost grows with the number of prompts and the size of the
window, never with the size of the volume.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from nnunet_prompt.prompts.channels import BOX, MASK, N_PROMPT_CHANNELS, POINT, SCRIBBLE, signed
from nnunet_prompt.prompts.checks import Coordinate, Shape
from nnunet_prompt.prompts.spans import Spans, intersection, is_empty, slices_in, spans_at, spans_of
from nnunet_prompt.prompts.types import VOXEL, Box, Point, PromptSet, Scribble
from nnunet_prompt.prompts.voxels import bounding_box

FloatArray = npt.NDArray[np.float32]
Places = npt.NDArray[np.float64]
Voxels = npt.NDArray[np.int64]
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

    @property
    def spans(self) -> Spans:
        """Where it lies, as `prompts.spans`."""
        return spans_at(self.origin, self.shape)


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
    """Writes the channels of `encode` into `out`, float32 (7, *window.shape), which holds zeros and nothing else."""
    for mask, channel in ((prompts.mask, MASK), (prompts.negative_mask, signed(BOX, False))):
        if mask is not None:
            _copy_mask(mask, window, out[channel])
    for box in prompts.boxes:
        _fill_box(box, window, out[signed(BOX, box.positive)])
    for (extent, positive), positions in alike(prompts.points).items():
        stamp_points(positions, extent, window, style, out[signed(POINT, positive)])
    for scribble in prompts.scribbles:
        _draw(scribble, window, style, out[signed(SCRIBBLE, scribble.positive)])


def alike(points: Sequence[Point]) -> dict[tuple[Coordinate, bool], Places]:
    """The positions (N, 3) of points, by their extent and whether they are positive."""
    found: dict[tuple[Coordinate, bool], list[Coordinate]] = {}
    for point in points:
        found.setdefault((point.extent, point.positive), []).append(point.position)
    return {key: np.array(positions) for key, positions in found.items()}


def stamp_points(
    positions: Places, extent: Coordinate, window: Window, style: PromptStyle, channel: FloatArray
) -> None:
    """Stamps points of one extent at `positions` (N, 3) of the grid into a channel of the window's shape."""
    kernel = point_kernel(style.point_shape, _grown(style.radii, extent))
    _stamp(kernel, _centres(positions, extent, kernel.shape), window, channel)


def _centres(positions: Places, extent: Coordinate, size: tuple[int, ...]) -> Voxels:
    """The voxels (N, 3) at which to stamp a kernel of that size so that it covers what was clicked.

    That is the nearest voxel. Where a click covers more than one voxel of this grid along an axis, its position may lie
    between two: then the stamp is also put one voxel further, if the plane there lies within the extent.
    """
    centres = np.floor(positions + 0.5).astype(np.int64)
    wide = [axis for axis in range(3) if extent[axis] > 0.5]
    if not wide:
        return centres
    reach, half = np.array(extent), np.array(size) // 2
    last = np.floor(positions + reach + 1e-6).astype(np.int64)
    first = np.ceil(positions - reach - 1e-6).astype(np.int64)
    shift = np.clip(last - centres - half, 0, 1) - np.clip(centres - half - first, 0, 1)
    for axis in wide:
        moved = centres.copy()
        moved[:, axis] += shift[:, axis]
        centres, shift = np.concatenate([centres, moved]), np.concatenate([shift, shift])
    return np.unique(centres, axis=0)


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


def _grown(radii: Coordinate, extent: Coordinate) -> Coordinate:
    """Radii that cover what was clicked; a click on one voxel of this grid needs nothing more."""
    if extent == VOXEL:
        return radii
    a, b, c = (round(max(r, e), 3) if e > 0.5 else r for r, e in zip(radii, extent, strict=True))
    return a, b, c


def _stamp(kernel: FloatArray, centres: Voxels, window: Window, channel: FloatArray) -> None:
    """Stamps a kernel around every centre (N, 3), as far as it reaches into the window."""
    size = np.array(kernel.shape)
    corners = centres - size // 2 - window.origin
    whole = ((corners >= 0) & (corners + size <= window.shape)).all(1)
    seen = ((corners + size > 0) & (corners < window.shape)).all(1)
    depth, rows, columns = kernel.shape
    for z, y, x in corners[whole].tolist():
        view = channel[z : z + depth, y : y + rows, x : x + columns]
        np.maximum(view, kernel, out=view)
    cut = corners[seen & ~whole]
    first, last = np.maximum(cut, 0), np.minimum(cut + size, window.shape)
    for (z, y, x), (d, h, w), (a, b, c) in zip(
        first.tolist(), last.tolist(), cut.tolist(), strict=True
    ):
        view = channel[z:d, y:h, x:w]
        np.maximum(view, kernel[z - a : d - a, y - b : h - b, x - c : w - c], out=view)


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


def path_voxels(scribble: Scribble) -> Voxels:
    """The voxels (N, 3) that a scribble passes through, as it is drawn; each once."""
    return np.unique(np.floor(_along(scribble) + 0.5).astype(np.int64), axis=0)


def _along(scribble: Scribble) -> Places:
    """Positions on the path, half a voxel apart at most, so that nothing is skipped."""
    path = np.asarray(scribble.path, float)
    change = np.diff(path, axis=0)
    steps = np.maximum(1, np.ceil(2 * np.abs(change).max(1))).astype(np.int64)
    step = np.arange(steps.sum()) - np.repeat(np.cumsum(steps) - steps, steps) + 1
    lines = np.repeat(path[:-1], steps, axis=0) + np.repeat(change, steps, axis=0) * (
        step / np.repeat(steps, steps)
    ).reshape(-1, 1)
    return np.concatenate([path[:1], lines])


def _draw(scribble: Scribble, window: Window, style: PromptStyle, channel: FloatArray) -> None:
    """Stamps a ball all along the path: all of its voxels at once, because strokes are many."""
    kernel = point_kernel("ball", _grown(style.scribble_radii, scribble.extent))
    centres = np.unique(_centres(_along(scribble), scribble.extent, kernel.shape), axis=0)
    ball = np.argwhere(kernel) - np.array(kernel.shape) // 2 - window.origin
    voxels = (centres[:, None] + ball).reshape(-1, 3)
    inside = voxels[((voxels >= 0) & (voxels < window.shape)).all(1)]
    channel[tuple(inside.T)] = 1.0


def _copy_mask(mask: npt.NDArray[np.bool_], window: Window, channel: FloatArray) -> None:
    whole = spans_of(mask.shape)
    inside = intersection(window.spans, whole)
    if is_empty(inside):
        return
    here = mask[slices_in(inside, whole)]
    box = bounding_box(here)
    if box is not None:
        channel[slices_in(inside, window.spans)][box] = here[box]
