"""The prompts of one object on the grid. A mask stays as it was drawn, and each tile moves its own part of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from nnunet_prompt.prompts.channels import BOX, MASK, POINT, signed
from nnunet_prompt.prompts.checks import BoolArray, Coordinate
from nnunet_prompt.prompts.encode import Places, PromptStyle, Window, alike, encode, stamp_points
from nnunet_prompt.prompts.frames import AxisMap
from nnunet_prompt.prompts.types import Box, PromptSet
from nnunet_prompt.sliding_window.lazy_image import nonzero_bounds
from nnunet_prompt.sliding_window.tiles import Boxes, mask_boxes, prompted_boxes

FloatArray = npt.NDArray[np.float32]
Points = dict[tuple[Coordinate, bool], Places]


@dataclass(frozen=True, slots=True, eq=False)
class MovedMask:
    """A mask of another array, by nearest neighbour; make it with `moved`.

    `boxes` (K, 3, 2) are what it covers of the grid, slice by slice. Where the grid is so coarse that nearest
    neighbour leaves nothing, `voxels` (N, 3) are those in which the mask lies, and count instead.
    """

    mask: BoolArray
    to_grid: AxisMap
    boxes: Boxes
    voxels: npt.NDArray[np.int64] | None = None

    def draw(self, window: Window, channel: FloatArray) -> None:
        """Writes 1 into a channel of the window's shape where the mask is; the rest stays."""
        if not len(self.boxes):
            return
        origin = np.array(window.origin)
        if self.voxels is not None:
            here = self.voxels - origin
            channel[tuple(here[((here >= 0) & (here < window.shape)).all(1)].T)] = 1.0
            return
        low = np.maximum(self.boxes[..., 0].min(0), origin)
        high = np.minimum(self.boxes[..., 1].max(0), origin + window.shape)
        if (low < high).all():
            part = self.to_grid.nearest(
                self.mask, list(zip(low.tolist(), high.tolist(), strict=True))
            )
            inside = tuple(slice(a, b) for a, b in zip(low - origin, high - origin, strict=True))
            channel[inside][part] = 1.0


def moved(mask: BoolArray, to_grid: AxisMap) -> MovedMask:
    """A mask as the grid sees it. One that has a voxel inside the grid's crop leaves at least one on the grid."""
    bounds = nonzero_bounds([mask])
    (z0, z1), *rest = _reach(bounds, to_grid)
    found = [np.zeros((0, 3, 2), np.int64)]
    for z in range(z0, z1):
        spans = [(z, z + 1), *rest]
        corner = np.array([[low] for low, _ in spans])
        found.append(mask_boxes(to_grid.nearest(mask, spans)) + corner)
    boxes = np.concatenate(found)
    if len(boxes):
        return MovedMask(mask, to_grid, boxes)
    part = np.argwhere(mask[tuple(slice(low, high) for low, high in bounds)])
    voxels = np.unique(to_grid.voxels(part + np.array([low for low, _ in bounds])), axis=0)
    return MovedMask(mask, to_grid, np.stack([voxels, voxels + 1], -1), voxels)


@dataclass(frozen=True, slots=True, eq=False)
class GridPrompts:
    """Prompts on the grid, and perhaps masks, positive and negative, that lie on another array."""

    prompts: PromptSet
    mask: MovedMask | None = None
    negative_mask: MovedMask | None = None
    _points: Points = field(init=False, repr=False)
    _others: PromptSet = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # of thousands of points in a volume a tile sees some hundreds: arrays find them fast
        object.__setattr__(self, "_points", alike(self.prompts.points))
        object.__setattr__(self, "_others", replace(self.prompts, points=()))

    @classmethod
    def of(cls, prompts: PromptSet, to_grid: AxisMap) -> GridPrompts:
        """Prompts of another array. Its masks are neither copied nor moved as a whole."""
        there = to_grid.prompts(replace(prompts, mask=None, negative_mask=None))
        masks = [
            None if mask is None or not mask.any() else moved(mask, to_grid)
            for mask in (prompts.mask, prompts.negative_mask)
        ]
        return cls(there, *masks)

    def boxes(self, style: PromptStyle) -> Boxes:
        """Boxes (K, 3, 2) that hold every voxel in which a positive prompt leaves something."""
        own = prompted_boxes(self.prompts, style)
        return own if self.mask is None else np.concatenate([own, self.mask.boxes])

    def encode(self, window: Window, style: PromptStyle, out: FloatArray) -> None:
        """Rasterises the prompts into `out` (7, *window.shape), as `prompts.encode` does."""
        encode(self._others, window, style, out=out)
        for (extent, positive), positions in self._points.items():
            stamp_points(positions, extent, window, style, out[signed(POINT, positive)])
        for mask, channel in ((self.mask, MASK), (self.negative_mask, signed(BOX, False))):
            if mask is not None:
                mask.draw(window, out[channel])


def _reach(bounds: list[list[int]], to_grid: AxisMap) -> list[tuple[int, int]]:
    """The part of the grid that may see something inside `bounds`; empty spans where there is none."""
    (a, b), (c, d), (e, f) = bounds
    box = to_grid.box(Box((a, c, e), (b, d, f)))
    edges = zip(box.lower, box.upper, to_grid.target_shape, strict=True)
    return [
        (max(math.floor(low - 0.5), 0), min(math.ceil(high + 0.5), n)) for low, high, n in edges
    ]
