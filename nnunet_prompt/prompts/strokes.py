"""Strokes that a user draws in one slice of a mask: along its middle, through it, along its border.

Slices have two axes; a stroke is an array (N, 2) of positions in voxels, every one of them in a voxel of the mask, and
so is each voxel between two that follow each other. Centre lines, strokes and contours inside and strokes along the
border are the ways of scribbling that ScribbleBench (Gotkowski et al. 2025) describes for interior and border
scribbles; how they are drawn here is our own.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Slice = npt.NDArray[np.bool_]
Stroke = npt.NDArray[np.float64]
StrokeForm = Literal["centre line", "stroke", "contour", "border"]
STROKE_FORMS: tuple[StrokeForm, ...] = get_args(StrokeForm)
_STATIONS = 1.5  # voxels between the vertices of a centre line


def draw_stroke(mask: Slice, rng: np.random.Generator, form: StrokeForm) -> Stroke | None:
    """One stroke inside `mask`; None for an empty mask. What is too thin for a form gets its centre line.

    `centre line` follows the middle from end to end, `stroke` is a curve between two voxels, `contour` a part of the
    outline some voxels inside the border, `border` a part of the border itself.
    """
    if not mask.any():
        return None
    path: Stroke | None = None
    if form == "stroke":
        path = _curve(mask, rng)
    elif form == "contour":
        path = _outline(_shrunk(mask, rng), rng)
    elif form == "border":
        path = _outline(mask, rng)
    if path is None:
        path = _centre_line(mask)
    return _longest_inside(path, mask)


def draw_outside(
    mask: Slice, rng: np.random.Generator, *, reach: tuple[int, int] = (2, 5)
) -> Stroke | None:
    """A stroke along the outside of `mask`, `reach` voxels (half-open) away from it; None where there is no room."""
    if not mask.any():
        return None
    steps = int(rng.integers(*reach))
    around = ndimage.binary_dilation(np.pad(mask, steps + 1), iterations=steps)
    path = _outline(around, rng)
    if path is None:
        return None
    return _longest_inside(path - (steps + 1), ~mask)


def _centre_line(mask: Slice) -> Stroke:
    """The deepest voxel of each cross-section along the longer principal axis."""
    voxels = np.argwhere(mask)
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1][tuple(voxels.T)]
    centred = voxels - voxels.mean(0)
    axes = np.linalg.svd(centred.T @ centred)[0]
    along, across = centred @ axes[:, 0], np.abs(centred @ axes[:, 1])
    station = np.floor((along - along.min()) / _STATIONS).astype(int)
    order = np.lexsort((-across, depth.round(6), station))  # of what is as deep the middle
    last = np.flatnonzero(np.diff(station[order], append=station.max() + 1))
    return voxels[order[last]].astype(float)


def _curve(mask: Slice, rng: np.random.Generator) -> Stroke:
    """A quadratic Bezier curve through three voxels drawn at random."""
    voxels = np.argwhere(mask)
    start, bend, end = voxels[rng.integers(0, len(voxels), 3)]
    t = np.linspace(0.0, 1.0, 12)[:, None]
    return np.asarray((1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end)


def _shrunk(mask: Slice, rng: np.random.Generator) -> Slice:
    """The mask without one to three voxels of its border, as long as something is left."""
    padded = np.pad(mask, 1)
    for _ in range(int(rng.integers(1, 4))):
        smaller = ndimage.binary_erosion(padded)
        if not smaller.any():
            break
        padded = smaller
    return np.asarray(padded[1:-1, 1:-1])


def _outline(mask: Slice, rng: np.random.Generator) -> Stroke | None:
    """A part, a fifth to all, of the longest outline of a mask, on its own voxels; None for a single voxel."""
    from skimage.measure import find_contours

    contours: list[Stroke] = find_contours(np.pad(mask, 1).astype(np.float32), 0.5)  # type: ignore[no-untyped-call]
    if not contours:
        return None
    longest = max(contours, key=len) - 1.0
    if len(longest) <= 5:  # it ends where it began, and a single voxel has four sides
        return None
    # between a voxel inside and one outside: the one inside counts
    low, high = np.floor(longest).astype(int), np.ceil(longest).astype(int)
    clipped = np.clip(low, 0, np.array(mask.shape) - 1)
    inside = mask[tuple(clipped.T)] & (clipped == low).all(1)
    path = np.where(inside[:, None], low, high).astype(float)
    count = max(3, int(len(path) * rng.uniform(0.2, 1.0)))
    start = int(rng.integers(0, len(path)))
    return np.asarray(np.roll(path, -start, axis=0)[:count])


def _longest_inside(path: Stroke, mask: Slice) -> Stroke | None:
    """The longest run of a path inside the mask, voxel after voxel; None where nothing of it is.

    What `encode` draws between two voxels that touch by a corner is the voxel of their middle, so that counts as well.
    """
    dense = [path[:1]]
    for a, b in pairwise(path):
        steps = max(1, int(np.ceil(2 * np.abs(b - a).max())))
        dense.append(a + np.linspace(0.0, 1.0, steps + 1)[1:, None] * (b - a))
    voxels = np.floor(np.concatenate(dense) + 0.5)
    voxels = voxels[np.any(np.diff(voxels, axis=0, prepend=np.nan) != 0, axis=1)]
    good = _inside(voxels, mask)
    linked = good[:-1] & good[1:] & _inside((voxels[:-1] + voxels[1:]) / 2, mask)
    run = np.concatenate([[0], np.cumsum(~linked)])[good]
    if not run.size:
        return None
    longest = np.bincount(run).argmax()
    return np.asarray(voxels[good][run == longest])


def _inside(path: Stroke, mask: Slice) -> npt.NDArray[np.bool_]:
    voxels = np.floor(path + 0.5).astype(int)
    within = ((voxels >= 0) & (voxels < mask.shape)).all(1)
    clipped = np.clip(voxels, 0, np.array(mask.shape) - 1)
    return np.asarray(within & mask[tuple(clipped.T)])
