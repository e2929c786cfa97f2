"""Where the tiles lie: the full window's lattice, the fewest tiles around the prompts, and where tiles are added. Numpy
only.

Boxes are (K, 3, 2) arrays of half-open voxel bounds on the grid. A volume thinner than a tile is padded on both sides,
as nnU-Net does, so that windows and boxes may have negative bounds there.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.prompts.checks import Coordinate, Shape
from nnunet_prompt.prompts.encode import PromptStyle, Window
from nnunet_prompt.prompts.types import PromptSet

Boxes = npt.NDArray[np.int64]
MARGIN = 1 / 8  # of a tile, on each side: nnU-Net's Gaussian has this as its sigma


@dataclass(frozen=True, slots=True)
class Tiling:
    """How windows of the shape `tile` may lie in a volume of `shape`.

    `step_size` is that of nnU-Net's lattice. `margin` is what a tile around a prompt sees beyond it, as a share of the
    tile; at the border of the volume there is nothing more to see.
    """

    shape: Shape
    tile: Shape
    step_size: float = 0.5
    margin: float = MARGIN

    def lattice(self) -> list[Window]:
        """Every tile of the full window, nnU-Net's steps."""
        steps = [_steps(n, t, self.step_size) for n, t in zip(self.shape, self.tile, strict=True)]
        return [Window(_three(origin), self.tile) for origin in itertools.product(*steps)]

    def bounds(self) -> Boxes:
        """The region that tiles can see, (3, 2): the volume, and its padding where it is thinner than a tile."""
        low = [-(max(t - n, 0) // 2) for n, t in zip(self.shape, self.tile, strict=True)]
        sizes = [max(n, t) for n, t in zip(self.shape, self.tile, strict=True)]
        high = [a + n for a, n in zip(low, sizes, strict=True)]
        return np.array([low, high], np.int64).T

    def margins(self) -> tuple[int, ...]:
        """The margin of each axis in voxels."""
        return tuple(min(int(t * self.margin), (t - 1) // 2) for t in self.tile)


def prompted_boxes(prompts: PromptSet, style: PromptStyle) -> Boxes:
    """Boxes that hold every voxel in which a positive prompt leaves something; none for a set without any.

    A stamp's box may be a voxel larger than the stamp.
    """
    found: list[list[tuple[int, int]]] = []
    for point in prompts.points:
        if point.positive:
            found.append(_round([point.position], style.radii, point.extent))
    for box in prompts.boxes:
        if box.positive:
            found.append([_filled(a, b) for a, b in zip(box.lower, box.upper, strict=True)])
    for scribble in prompts.scribbles:
        if scribble.positive:
            path = scribble.path if len(scribble.path) > 1 else scribble.path * 2
            for ends in pairwise(path):
                found.append(_round(ends, style.scribble_radii, scribble.extent))
    boxes = np.array(found, np.int64).reshape(-1, 3, 2)
    if prompts.mask is None:
        return boxes
    return np.concatenate([boxes, mask_boxes(prompts.mask)])


def mask_boxes(mask: npt.NDArray[np.bool_]) -> Boxes:
    """The bounding box of a mask in each of its slices along axis 0."""
    found = []
    for z in np.flatnonzero(mask.any((1, 2))):
        rows, columns = np.flatnonzero(mask[z].any(1)), np.flatnonzero(mask[z].any(0))
        found.append([(z, z + 1), (rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1)])
    return np.array(found, np.int64).reshape(-1, 3, 2)


def cover(boxes: Boxes, tiling: Tiling) -> list[Window]:
    """Few tiles that hold every box with its margin, in the order of their origins; none without boxes.

    Two ways are tried and the one with the fewest tiles is taken: the boxes are cut into slabs along one axis, each
    slab along the next and so on, in the six orders of the axes; or boxes that follow each other along one axis
    share a tile while they fit, which suits oblique structures. Tiles are centred on what they hold. What lies beyond
    the volume is cut off.
    """
    boxes = clipped(boxes, tiling.bounds())
    if not len(boxes):
        return []
    ways: list[set[Shape]] = [
        {_three([o[a] for a in range(3)]) for o in _split(boxes, order, tiling)}
        for order in itertools.permutations(range(3))
    ]
    if all(len(way) > 1 for way in ways):
        ways += [found for axis in range(3) if (found := _strung(boxes, axis, tiling))]
    fewest = min(ways, key=len)
    return [Window(origin, tiling.tile) for origin in sorted(fewest)]


def on_lattice(boxes: Boxes, tiling: Tiling) -> list[Window]:
    """The tiles of the full window that touch a box."""
    return [w for w in tiling.lattice() if _touches(w, boxes)]


def clipped(boxes: Boxes, bounds: Boxes) -> Boxes:
    """The parts of boxes inside `bounds` (3, 2)."""
    parts = np.stack(
        [np.maximum(boxes[..., 0], bounds[:, 0]), np.minimum(boxes[..., 1], bounds[:, 1])], -1
    )
    return np.asarray(parts[(parts[..., 0] < parts[..., 1]).all(1)])


def holds(windows: Sequence[Window], boxes: Boxes, tiling: Tiling) -> bool:
    """Whether windows hold every box with its margin, but for what lies outside the volume."""
    margins = np.array(tiling.margins())
    grown = np.stack([boxes[..., 0] - margins, boxes[..., 1] + margins], -1)
    rest = clipped(grown, tiling.bounds())
    for window in windows:
        rest = _without(rest, window)
    return not len(rest)


def _split(boxes: Boxes, order: Sequence[int], tiling: Tiling) -> list[dict[int, int]]:
    """Origins of tiles, by axis, that hold the boxes; slabs along `order[0]` first."""
    if not order:
        return [{}]
    axis, *rest = order
    origins: list[dict[int, int]] = []
    for origin, low, high in _slabs(boxes[:, axis], axis, tiling):
        inside = boxes[(boxes[:, axis, 0] < high) & (boxes[:, axis, 1] > low)]
        if len(inside):
            origins += [{axis: origin, **others} for others in _split(inside, rest, tiling)]
    return origins


def _strung(boxes: Boxes, axis: int, tiling: Tiling) -> set[Shape]:
    """Origins of tiles that each hold boxes which follow each other along an axis; none if a box is too large."""
    groups: list[Boxes] = []
    for box in boxes[np.argsort(boxes[:, axis, 0], kind="stable")]:
        if groups:
            joint = np.stack(
                [np.minimum(groups[-1], box)[:, 0], np.maximum(groups[-1], box)[:, 1]], 1
            )
            if _fits_all(joint, tiling):
                groups[-1] = joint
                continue
        if not _fits_all(box, tiling):
            return set()
        groups.append(box)
    return {_three([_centred(a, b, tiling, i) for i, (a, b) in enumerate(g)]) for g in groups}


def _slabs(spans: npt.NDArray[np.int64], axis: int, tiling: Tiling) -> list[tuple[int, int, int]]:
    """Tiles along one axis as (origin, low, high): each is responsible for the voxels from low to high."""
    size, tile, margin = tiling.shape[axis], tiling.tile[axis], tiling.margins()[axis]
    low, high = int(spans[:, 0].min()), int(spans[:, 1].max())
    if size <= tile:
        return [(_centred(low, high, tiling, axis), low, high)]
    slabs = []
    start = low
    while True:
        first = max(start - margin, 0)
        end = size if first + tile >= size else first + tile - margin
        inside = spans[(spans[:, 0] < end) & (spans[:, 1] > start)]
        slabs.append((start, min(int(inside[:, 1].max()), end)))
        later = spans[spans[:, 1] > end]
        if not len(later):
            break
        start = max(int(later[:, 0].min()), end)
    even = [low + (high - low) * i // len(slabs) for i in range(len(slabs) + 1)]
    parts = list(pairwise(even))
    if all(a < b and _fits(a, b, tiling, axis) for a, b in parts):
        slabs = parts  # as much to see on either side
    return [(_centred(a, b, tiling, axis), a, b) for a, b in slabs]


def _fits_all(box: Boxes, tiling: Tiling) -> bool:
    return all(_fits(int(a), int(b), tiling, axis) for axis, (a, b) in enumerate(box))


def _fits(low: int, high: int, tiling: Tiling, axis: int) -> bool:
    """Whether one tile holds a span of an axis with its margin."""
    size, margin = tiling.shape[axis], tiling.margins()[axis]
    return min(high + margin, size) - max(low - margin, 0) <= tiling.tile[axis]


def _centred(low: int, high: int, tiling: Tiling, axis: int) -> int:
    """The first voxel of a tile in the middle of a span and its margin, inside the volume."""
    size, tile, margin = tiling.shape[axis], tiling.tile[axis], tiling.margins()[axis]
    if size <= tile:
        return -((tile - size) // 2)
    middle = (max(low - margin, 0) + min(high + margin, size) - tile) // 2
    return min(max(middle, 0), size - tile)


def _steps(length: int, tile: int, step_size: float) -> list[int]:
    """First voxels of the tiles along one axis, nnU-Net's lattice; a short axis is padded on both sides."""
    from nnunetv2.inference.sliding_window_prediction import compute_steps_for_sliding_window

    if length < tile:
        return [-((tile - length) // 2)]
    if tile == 1:  # slices of a 2d configuration
        return list(range(length))
    (steps,) = compute_steps_for_sliding_window((length,), (tile,), step_size)
    return [int(s) for s in steps]


def _round(
    ends: Sequence[Coordinate], radii: Coordinate, extent: Coordinate
) -> list[tuple[int, int]]:
    """The box of a stamp drawn from one position to another."""
    spans = []
    for axis in range(3):
        half = math.floor(max(radii[axis], extent[axis]) + 0.01) + (extent[axis] > 0.5)
        places = [math.floor(e[axis] + 0.5) for e in ends]
        spans.append((min(places) - half, max(places) + half + 1))
    return spans


def _filled(lower: float, upper: float) -> tuple[int, int]:
    """The voxels that a box fills along one axis, as `encode` does it."""
    middle = math.floor((lower + upper - 1.0) / 2 + 0.5)
    first, last = math.ceil(lower - 0.5 - 1e-6), math.floor(upper - 0.5 + 1e-6)
    return min(first, middle), max(last, middle) + 1


def _touches(window: Window, boxes: Boxes) -> bool:
    low = np.array(window.origin)
    high = low + window.shape
    return bool(((boxes[..., 0] < high) & (boxes[..., 1] > low)).all(1).any())


def _without(boxes: Boxes, window: Window) -> Boxes:
    """The parts of boxes that lie outside a window, as boxes."""
    left = []
    low = np.array(window.origin)
    high = low + window.shape
    for box in boxes:
        if not ((box[:, 0] < high) & (box[:, 1] > low)).all():
            left.append(box)
            continue
        rest = box.copy()
        for axis in range(3):
            for a, b in ((rest[axis, 0], low[axis]), (high[axis], rest[axis, 1])):
                if a < b:
                    piece = rest.copy()
                    piece[axis] = a, b
                    left.append(piece)
            rest[axis] = max(rest[axis, 0], low[axis]), min(rest[axis, 1], high[axis])
    return np.array(left, np.int64).reshape(-1, 3, 2)


def _three(values: Sequence[Any]) -> Shape:
    a, b, c = (int(v) for v in values)
    return a, b, c
