"""Do image and label lie on one grid, and what is done where they do not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nnunet_prompt.io.geometry import Lattice, corners, same_geometry
from nnunet_prompt.io.nifti import Grid, NiftiVolume, read_grid, read_stored, read_stored_labels
from nnunet_prompt.prompts.frames import canonical_map

Agreement = Literal["same", "affine differs", "shape differs", "disjoint"]
Reader = Literal["image", "values", "mask"]


def agreement(a: Grid, b: Grid) -> Agreement:
    """How the grids of two files agree.

    "same": as `same_geometry`, also when the axes are stored in another order or direction. "affine
    differs": one shape, other places. "shape differs": other shapes whose world boxes overlap. "disjoint": other
    shapes whose world boxes do not.
    """
    if same_geometry(a, b) or same_geometry(_canonical(a), _canonical(b)):
        return "same"
    if a.shape == b.shape:
        return "affine differs"
    (a_low, a_high), (b_low, b_high) = _world_box(a), _world_box(b)
    apart = (a_low >= b_high) | (b_low >= a_high)
    return "disjoint" if apart.any() else "shape differs"


def read_mask(path: Path) -> NiftiVolume:
    """A binary mask as uint8 0 and 1, whatever number stands for 1; NaN is 0. Raises like `read_nifti`."""
    volume = read_stored(path)
    return replace(volume, array=(volume.array > 0).view(np.uint8))


@dataclass(frozen=True, slots=True)
class OnGrid:
    """A file brought to the grid of another file when it is loaded: a `Source` for images and for label maps.

    Files that agree ("same") are reoriented to the axes of the other at most. Of one shape, the voxels are taken to
    correspond and the affine is copied. Otherwise the file is resampled: images linearly, labels by nearest
    neighbour, 0 outside of its own field of view; `by_affine` does so with files of one shape, too. `read` states what
    the file holds: an image, label values, or a mask that is read as `> 0`.
    """

    path: Path
    grid: Path
    read: Reader = "image"
    by_affine: bool = False

    def load(self) -> NiftiVolume:
        """The volume on the other grid; raises `ImageError` for what cannot be read."""
        readers = {"image": read_stored, "values": read_stored_labels, "mask": read_mask}
        volume = readers[self.read](self.path)
        target = read_grid(self.grid)
        array = volume.array
        if same_geometry(volume, target):
            return volume
        how = agreement(target, read_grid(self.path))
        if how == "same":
            turn = canonical_map(volume.affine, volume.shape)
            back = canonical_map(target.affine, target.shape).inverse()
            array = back.apply(turn.apply(array))
        elif how != "affine differs" or self.by_affine:
            array = resample_to(volume, target, order=1 if self.read == "image" else 0)
        return replace(volume, array=array, affine=target.affine)


@dataclass(frozen=True, slots=True)
class Blank:
    """Zeros on the grid of a file: a `Source` for a channel that a case lacks."""

    grid: Path

    def load(self) -> NiftiVolume:
        """The zeros; raises `ImageError` when the file cannot be read."""
        grid = read_grid(self.grid)
        zeros = np.zeros(grid.shape, np.float32)
        return NiftiVolume(self.grid, zeros, grid.affine, None, grid.shape)


def resample_to(volume: NiftiVolume, target: Grid, *, order: Literal[0, 1]) -> npt.NDArray[Any]:
    """The voxels of `volume` on the grid `target`: linear for order 1, nearest for order 0.

    A voxel fills its whole cell, so within half a voxel of the outermost centres the border value holds; beyond that
    the result is 0. The type of labels stays, linear interpolation gives float32.
    """
    from scipy import ndimage

    # the index in `volume` of each voxel of `target`: matrix @ i + offset
    change = np.linalg.inv(volume.affine) @ target.affine
    matrix, offset = change[:3, :3], change[:3, 3]
    result: npt.NDArray[Any] = ndimage.affine_transform(
        volume.array,
        matrix,
        offset,
        output_shape=target.shape,
        output=volume.array.dtype if order == 0 else np.float32,
        order=order,
        mode="nearest",
    )
    _, y, z = (np.arange(n) for n in target.shape)
    for x, plane in enumerate(result):  # plane by plane, because coordinates take much memory
        inside = np.ones(plane.shape, bool)
        for axis, size in enumerate(volume.shape):
            a, b, c = matrix[axis]
            position = (a * x + offset[axis]) + (b * y)[:, None] + (c * z)[None]
            inside &= (position >= -0.5 - 1e-6) & (position <= size - 0.5 + 1e-6)
        plane[~inside] = 0
    return result


def _canonical(grid: Grid) -> Lattice:
    turn = canonical_map(grid.affine, grid.shape)
    return Lattice(turn.target_shape, grid.affine @ np.linalg.inv(turn.matrix()))


def _world_box(grid: Grid) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    edges = corners(grid.shape)
    edges[:3] -= 0.5  # the edges of a voxel lie half a voxel from its centre
    world = (grid.affine @ edges)[:3]
    return world.min(axis=1), world.max(axis=1)
