"""The voxels of a mask: the box that holds them, some of them, and those of each slice.

Masks have three axes. A patch is mostly empty, so everything looks at the box around the mask alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from nnunet_prompt.prompts.checks import BoolArray

Slices = tuple[slice, slice, slice]


def bounding_box(mask: BoolArray) -> Slices | None:
    """The smallest box that holds all of `mask`; None if there is nothing in it."""
    along = np.flatnonzero(mask.any((1, 2)))
    if not along.size:
        return None
    depth = slice(int(along[0]), int(along[-1]) + 1)
    plane: BoolArray = np.logical_or.reduce(mask[depth], axis=0)
    rows, columns = np.flatnonzero(plane.any(1)), np.flatnonzero(plane.any(0))
    return (
        depth,
        slice(int(rows[0]), int(rows[-1]) + 1),
        slice(int(columns[0]), int(columns[-1]) + 1),
    )


def random_points(
    mask: BoolArray, count: int, rng: np.random.Generator, *, deep: bool = False
) -> npt.NDArray[np.int64]:
    """Up to `count` distinct voxels of `mask`, (n, 3). With `deep` they come from the inside: from the voxels that
    are farther from the border than half of them, where there are any; in an image of one slice that is the border
    in the plane. Never a centroid, which may lie outside. An empty mask gives none.
    """
    box = bounding_box(mask)
    if box is None:
        return np.zeros((0, 3), np.int64)
    part = mask[box]
    voxels = np.flatnonzero(part)
    if deep and voxels.size > 1:
        border = [(1, 1) if n > 1 else (0, 0) for n in mask.shape]
        inner = tuple(slice(a, a + n) for (a, _), n in zip(border, part.shape, strict=True))
        depth = ndimage.distance_transform_edt(np.pad(part, border))[inner].ravel()[voxels]
        inside = depth > np.median(depth)
        voxels = voxels[inside] if inside.any() else voxels
    if voxels.size > count:
        voxels = rng.choice(voxels, count, replace=False)
    positions = np.unravel_index(voxels, part.shape)
    return np.stack([p + side.start for p, side in zip(positions, box, strict=True)], axis=1)


class Layers:
    """The voxels of a mask slice by slice along `axis`, but for those of `without`.

    Made once, it answers for every slice without another look at the mask. `areas` is the number of voxels in each.
    """

    def __init__(self, mask: BoolArray, axis: int, *, without: BoolArray | None = None) -> None:
        box = bounding_box(mask) or (slice(0, 0), slice(0, 0), slice(0, 0))
        first, *self.corner = (s.start for s in (box[axis], *box[:axis], *box[axis + 1 :]))
        self.axis, self.first = axis, first
        part = mask[box] if without is None else mask[box] & ~without[box]
        self.stack = np.moveaxis(part, axis, 0)
        self.voxels = np.flatnonzero(self.stack)
        count, rows, self.columns = self.stack.shape
        self.size = rows * self.columns
        self.starts = np.searchsorted(self.voxels, self.size * np.arange(count + 1)).tolist()
        self.areas = np.zeros(mask.shape[axis], np.int64)
        self.areas[first : first + count] = np.diff(self.starts)

    def extent(self, index: int) -> list[tuple[int, int]]:
        """The tight box of slice `index`, which must not be empty: the half-open span of each of the three axes."""
        here = self.stack[index - self.first]
        spans = []
        for side, corner in zip((1, 0), self.corner, strict=True):
            line = np.flatnonzero(here.any(side))
            spans.append((corner + int(line[0]), corner + int(line[-1]) + 1))
        spans.insert(self.axis, (index, index + 1))
        return spans

    def points(self, index: int, count: int, rng: np.random.Generator) -> list[list[int]]:
        """Draws as `random_points` does in slice `index` as an array of one slice: 0 along `axis`."""
        if not self.areas[index]:
            return []
        layer = index - self.first
        voxels = self.voxels[self.starts[layer] : self.starts[layer + 1]]
        if voxels.size > count:
            voxels = rng.choice(voxels, count, replace=False)
        found = []
        for voxel in voxels.tolist():
            row, column = divmod(voxel - layer * self.size, self.columns)
            position = [row + self.corner[0], column + self.corner[1]]
            position.insert(self.axis, 0)
            found.append(position)
        return found
