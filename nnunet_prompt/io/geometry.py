"""Whether two grids of voxels are the same: one answer, with one tolerance, for all who ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

# Two grids are the same where no corner of one is further than this share of a voxel from that corner of the other.
# Programs around the numbers of a header, and what lies so close together is drawn in the same voxels.
GRID_TOLERANCE = 0.1


class HasGeometry(Protocol):
    """Anything with a shape and an affine: a `NiftiVolume`, a `Grid` or a `Lattice`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis."""

    @property
    def affine(self) -> npt.NDArray[np.float64]:
        """4x4, from voxels to mm, RAS+."""


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """A shape (three axes) and an affine (4x4, RAS+, mm) alone."""

    shape: tuple[int, ...]
    affine: npt.NDArray[np.float64]


def same_geometry(a: HasGeometry, b: HasGeometry) -> bool:
    """Whether two grids have one shape and their corners lie within `GRID_TOLERANCE` of each other.

    It is a share of the shortest edge of a voxel of either. The axes must be stored in one order and direction;
    `grids.agreement` looks beyond that.
    """
    if a.shape != b.shape:
        return False
    apart = np.linalg.norm(((a.affine - b.affine) @ corners(a.shape))[:3], axis=0).max()
    return bool(apart <= GRID_TOLERANCE * min(*_edges(a.affine), *_edges(b.affine)))


def geometry_difference(found: HasGeometry, expected: HasGeometry) -> str:
    """One phrase on how the first of two grids differs from the second."""
    if found.shape != expected.shape:
        return f"shape {found.shape}, expected {expected.shape}"
    return f"affine {rounded_rows(found.affine)}, expected {rounded_rows(expected.affine)}"


def corners(shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """The eight corners of a grid in homogeneous coordinates, (4, 8): 0 and the shape along each axis."""
    return np.array(np.meshgrid(*((0.0, n) for n in shape), [1.0], indexing="ij")).reshape(4, -1)


def _edges(affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.linalg.norm(affine[:3, :3], axis=0))


def rounded_rows(affine: npt.NDArray[np.float64]) -> list[list[float]]:
    """The first three rows of an affine for a message."""
    return [[round(float(v), 4) + 0.0 for v in row] for row in affine[:3]]  # + 0.0: not -0.0
