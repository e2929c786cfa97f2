"""From millimetres of the world to voxels of an image file, and masks from one grid to another.

`frames.AxisMap` moves prompts between arrays of one image; here are the spaces in which other tools write them:

    voxel   the image file's array, in nibabel's axis order
    zyx     the same voxels, counted along the reversed axes, as most Python tools show an image
    RAS     millimetres to the right, anterior, superior; LPS: to the left, posterior, superior

Positions are continuous: voxel i is centred on i and covers i - 0.5 to i + 0.5. Nothing is clipped here.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import PromptError
from nnunet_prompt.prompts.checks import Coordinate, Shape
from nnunet_prompt.prompts.types import Box, Point, PromptSet, Scribble

Space = Literal["voxel", "zyx", "RAS", "LPS"]
SPACES: tuple[Space, ...] = get_args(Space)
FloatArray = npt.NDArray[np.float64]

DECIMALS = 4  # of a voxel: affines are stored in 32 bits
FLAT = 1e-3  # voxels: what is thinner lies in one slice
_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # between RAS and LPS


@dataclass(frozen=True, slots=True, eq=False)
class ToVoxels:
    """A map from positions in `space` to voxel positions of an array; `matrix` is 4x4."""

    space: Space
    matrix: FloatArray

    def __call__(self, positions: Sequence[Coordinate]) -> FloatArray:
        """The voxel positions (N, 3) of N positions, to a ten thousandth of a voxel."""
        given = np.asarray(positions, np.float64).reshape(-1, 3)
        there = given @ self.matrix[:3, :3].T + self.matrix[:3, 3]
        return np.asarray(np.round(there, DECIMALS) + 0.0)

    @property
    def is_mm(self) -> bool:
        """Whether positions are millimetres, not voxels."""
        return self.space in ("RAS", "LPS")


@dataclass(frozen=True, slots=True)
class Edges:
    """The smallest block of voxels around a body: its edges along each axis, in continuous positions.

    `rotated` is whether the body's own faces are not square to the axes, so that the block holds more than it.
    """

    lower: Coordinate
    upper: Coordinate
    rotated: bool = False

    def cut_to(self, shape: Shape) -> tuple[Coordinate, Coordinate] | None:
        """The corners of the block as a half-open box within an array of this shape; None where it lies outside."""
        low = np.clip(np.asarray(self.lower) + 0.5, 0, shape)
        high = np.clip(np.asarray(self.upper) + 0.5, 0, shape)
        return (_three(low), _three(high)) if (low < high).all() else None


def to_voxels(space: Space, affine: npt.NDArray[Any]) -> ToVoxels:
    """The map from `space` to the voxels of an array with this affine (nibabel's: RAS+, 4x4).

    Raises `PromptError` for another space.
    """
    if space == "voxel":
        return ToVoxels(space, np.eye(4))
    if space == "zyx":
        return ToVoxels(space, np.eye(4)[[2, 1, 0, 3]])
    if space not in SPACES:
        raise PromptError(f"space: expected one of {', '.join(SPACES)}, found {space!r}")
    from_world = np.linalg.inv(np.asarray(affine, np.float64))
    return ToVoxels(space, from_world if space == "RAS" else from_world @ _FLIP)


def enclosing(corners: FloatArray) -> Edges:
    """The block around a body with these corners, (N, 3) in voxel positions.

    A body that is flat along an axis gets the whole slice in which it lies.
    """
    low, high = corners.min(0), corners.max(0)
    at_edge = np.minimum(np.abs(corners - low), np.abs(corners - high))
    rotated = bool((at_edge > 0.01 * np.maximum(high - low, 1)).any())
    flat = high - low < FLAT
    middle = np.floor((low + high) / 2 + 0.5)
    low, high = np.where(flat, middle - 0.5, low), np.where(flat, middle + 0.5, high)
    return Edges(_three(low), _three(high), rotated)


@dataclass(frozen=True, slots=True, eq=False)
class FromWorld:
    """Brings prompts in mm of the world (RAS+) to the voxels of an array with this affine (4x4) and shape.

    Positions are exact, not rounded to a voxel; a box becomes the smallest block of voxels around it, cut off at the
    border of the array. Raises `PromptError` for a position or a whole box outside the array.
    """

    affine: npt.NDArray[Any]
    shape: Shape

    def positions(self, kind: str, given: Sequence[Coordinate]) -> tuple[Coordinate, ...]:
        """The voxel positions of positions in mm; `kind` is what a message calls them."""
        found = []
        for mm, voxel in zip(given, to_voxels("RAS", self.affine)(given), strict=True):
            if not ((voxel >= -0.5) & (voxel < np.asarray(self.shape) - 0.5)).all():
                raise PromptError(
                    f"{kind} {tuple(mm)} mm (voxel {[round(float(v), 2) for v in voxel]}) lies outside the image, whose"
                    f" shape is {self.shape}; the world is RAS mm: of LPS, change the signs of x and y"
                )
            found.append(_three(voxel))
        return tuple(found)

    def box(self, corner: Coordinate, opposite: Coordinate, positive: bool = True) -> Box:
        """The box between two opposite corners in mm; one that is flat along an axis takes the slice it lies in."""
        ends = np.array([corner, opposite], np.float64)
        corners = [(float(x), float(y), float(z)) for x, y, z in itertools.product(*ends.T)]
        edges = enclosing(to_voxels("RAS", self.affine)(corners))
        corners_inside = edges.cut_to(self.shape)
        if corners_inside is None:
            raise PromptError(
                f"box {tuple(corner)} to {tuple(opposite)} mm lies outside the image, whose shape is {self.shape};"
                " world coordinates are RAS mm"
            )
        return Box(*corners_inside, positive)

    def prompts(self, given: PromptSet) -> PromptSet:
        """A whole set; masks, which are arrays of voxels already, and extents stay as they are."""
        return PromptSet(
            tuple(
                Point(self.positions("point", [p.position])[0], p.positive, p.extent)
                for p in given.points
            ),
            tuple(self.box(b.lower, b.upper, b.positive) for b in given.boxes),
            tuple(
                Scribble(self.positions("scribble vertex", s.path), s.positive, s.extent)
                for s in given.scribbles
            ),
            given.mask,
            given.negative_mask,
        )


def carry_mask(
    mask: npt.NDArray[np.bool_], affine: FloatArray, target: FloatArray, shape: Shape
) -> npt.NDArray[np.bool_]:
    """A mask on another grid, by nearest neighbour: `affine` and `target` are those of both grids, RAS+.

    A grid of any orientation, spacing and size will do. Voxels outside the mask's grid are False.
    """
    moved = np.zeros(shape, bool)
    occupied = np.argwhere(mask)
    if not len(occupied):
        return moved
    back = np.linalg.inv(affine) @ target  # target voxels to those of the mask
    ends = np.stack([occupied.min(0) - 0.5, occupied.max(0) + 0.5])
    corners = np.array(list(itertools.product(*ends.T)))
    forth = np.linalg.inv(back)
    reach = corners @ forth[:3, :3].T + forth[:3, 3]
    low = np.clip(np.floor(reach.min(0)), 0, shape).astype(int)
    high = np.clip(np.ceil(reach.max(0)) + 1, 0, shape).astype(int)
    part = moved[low[0] : high[0], low[1] : high[1]]
    rows = np.indices(part.shape[:2]).reshape(2, -1).T + low[:2]
    size = np.array(mask.shape)
    for k in range(low[2], high[2]):  # a slice at a time: coordinates take much more than voxels
        here = rows @ back[:3, :2].T + back[:3, 2] * k + back[:3, 3]
        index = np.floor(np.round(here, DECIMALS) + 0.5).astype(np.int64)
        inside = ((index >= 0) & (index < size)).all(1)
        found = np.zeros(len(rows), bool)
        found[inside] = mask[tuple(index[inside].T)]
        part[:, :, k] = found.reshape(part.shape[:2])
    return moved


def _three(values: FloatArray) -> Coordinate:
    a, b, c = (float(v) for v in values)
    return a, b, c
