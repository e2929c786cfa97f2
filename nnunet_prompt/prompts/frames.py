"""Where is a voxel? The four frames of an image and the maps between them.

    file    the array as stored on disk (nibabel's axis order)
    PLS     axis 0 grows to posterior, 1 to left, 2 to superior; used by prompts.json
    reader  what nnU-Net's reader hands over (`data.plans_reader`); for canonical data sets as `canonical_map` orders it
    grid    what the network sees: transposed, cropped and resampled by nnU-Net's preprocessing

A map sends source coordinate s to target coordinate t[j] = scale[j] * s[axes[j]] + offset[j]. Scales and offsets are
fractions, so that maps compose and invert exactly. Nothing else in the package does coordinate arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.prompts.checks import Coordinate, Shape
from nnunet_prompt.prompts.types import Box, Point, PromptSet, Scribble

HALF = Fraction(1, 2)
ANISOTROPY = 2.0  # one spacing at least this many times the others: a stack of slices


@dataclass(frozen=True, slots=True)
class AxisMap:
    """An axis-aligned map from the voxel coordinates of one array to those of another."""

    axes: tuple[int, int, int]
    scale: tuple[Fraction, Fraction, Fraction]
    offset: tuple[Fraction, Fraction, Fraction]
    source_shape: Shape
    target_shape: Shape

    def __call__(self, position: Coordinate) -> Coordinate:
        """The target coordinate of a source coordinate."""
        a, b, c = (
            float(k * Fraction(float(position[axis])) + o)
            for axis, k, o in zip(self.axes, self.scale, self.offset, strict=True)
        )
        return a, b, c

    def inverse(self) -> AxisMap:
        """The map back; `m.then(m.inverse())` is exactly the identity."""
        axes, scale, offset = [0, 0, 0], [HALF] * 3, [HALF] * 3
        for target, source in enumerate(self.axes):
            axes[source] = target
            scale[source] = 1 / self.scale[target]
            offset[source] = -self.offset[target] / self.scale[target]
        return AxisMap(
            _three(axes), _three(scale), _three(offset), self.target_shape, self.source_shape
        )

    def then(self, other: AxisMap) -> AxisMap:
        """First this map, then `other`."""
        if self.target_shape != other.source_shape:
            raise ValueError(f"maps do not meet: {self.target_shape} then {other.source_shape}")
        axes = [self.axes[i] for i in other.axes]
        scale = [k * self.scale[i] for i, k in zip(other.axes, other.scale, strict=True)]
        offset = [
            k * self.offset[i] + o
            for i, k, o in zip(other.axes, other.scale, other.offset, strict=True)
        ]
        return AxisMap(
            _three(axes), _three(scale), _three(offset), self.source_shape, other.target_shape
        )

    def matrix(self) -> npt.NDArray[np.float64]:
        """4x4 homogeneous matrix; the affine of the target array is `affine @ inv(matrix)`."""
        m = np.zeros((4, 4))
        for target, source in enumerate(self.axes):
            m[target, source] = float(self.scale[target])
            m[target, 3] = float(self.offset[target])
        m[3, 3] = 1.0
        return m

    def apply(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The array in the target frame, for maps that only permute and flip. Acts on the last three axes.

        Returns a view. Raises `ValueError` for a map that crops or resamples.
        """
        if array.shape[-3:] != self.source_shape:
            raise ValueError(f"array has shape {array.shape[-3:]}, the map {self.source_shape}")
        reversed_axes = [k < 0 for k in self.scale]
        if self != flip_permute(self.axes, reversed_axes, self.source_shape):
            raise ValueError("only maps that permute and flip can be applied to an array")
        lead = array.ndim - 3
        moved = array.transpose((*range(lead), *(lead + a for a in self.axes)))
        flips = tuple(lead + i for i, reverse in enumerate(reversed_axes) if reverse)
        return np.flip(moved, flips) if flips else moved

    def prompts(self, prompts: PromptSet) -> PromptSet:
        """The prompts in the target frame: points and scribbles keep their extent, boxes their edges.

        A mask is carried over by nearest neighbour; where that leaves nothing of it, its voxels are.
        """
        return PromptSet(
            tuple(
                Point(self(p.position), p.positive, self._extent(p.extent)) for p in prompts.points
            ),
            tuple(self.box(b) for b in prompts.boxes),
            tuple(
                Scribble(tuple(map(self, s.path)), s.positive, self._extent(s.extent))
                for s in prompts.scribbles
            ),
            *(None if m is None else self._mask(m) for m in (prompts.mask, prompts.negative_mask)),
        )

    def box(self, box: Box) -> Box:
        """The box in the target frame; its edges are mapped, so its physical extent is kept."""
        half = (0.5, 0.5, 0.5)
        a = self(_three([x - h for x, h in zip(box.lower, half, strict=True)]))
        b = self(_three([x - h for x, h in zip(box.upper, half, strict=True)]))
        lower = _three([min(p, q) + 0.5 for p, q in zip(a, b, strict=True)])
        upper = _three([max(p, q) + 0.5 for p, q in zip(a, b, strict=True)])
        return Box(lower, upper, box.positive)

    def _extent(self, extent: Coordinate) -> Coordinate:
        return _three(
            [float(abs(k)) * extent[axis] for axis, k in zip(self.axes, self.scale, strict=True)]
        )

    def voxels(self, index: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
        """The target voxels in which the centres of source voxels lie, both (N, 3); those outside are left out."""
        scale, offset = np.array(self.scale, float), np.array(self.offset, float)
        there = np.floor(index[:, self.axes] * scale + offset + 0.5).astype(np.int64)
        return np.asarray(there[((there >= 0) & (there < self.target_shape)).all(1)])

    def nearest(
        self, mask: npt.NDArray[np.bool_], spans: Sequence[tuple[int, int]]
    ) -> npt.NDArray[np.bool_]:
        """The voxels `spans` (half-open, within the target) of a mask of the source, by nearest neighbour.

        A mask that is finer than the target may leave nothing there: see `voxels`.
        """
        back = self.inverse()
        index = []
        for source, target in enumerate(back.axes):
            position = np.arange(*spans[target]) * float(back.scale[source])
            index.append(np.floor(position + float(back.offset[source]) + 0.5).astype(int))
        inside = [(i >= 0) & (i < n) for i, n in zip(index, mask.shape, strict=True)]
        clipped = [np.clip(i, 0, n - 1) for i, n in zip(index, mask.shape, strict=True)]
        a, b, c = inside
        seen = a[:, None, None] & b[:, None] & c
        return np.asarray((mask[np.ix_(*clipped)] & seen).transpose(self.axes))

    def _mask(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        moved = self.nearest(mask, [(0, n) for n in self.target_shape])
        if not moved.any():
            moved[tuple(self.voxels(np.argwhere(mask)).T)] = True
        return moved


def identity(shape: Shape) -> AxisMap:
    """The map that changes nothing."""
    return flip_permute((0, 1, 2), (False, False, False), shape)


def flip_permute(axes: Sequence[int], flips: Sequence[bool], shape: Shape) -> AxisMap:
    """Target axis j is source axis `axes[j]`, reversed where `flips[j]`."""
    one = Fraction(1)
    sizes = [int(shape[a]) for a in axes]
    return AxisMap(
        _shape(axes),
        _three([-one if f else one for f in flips]),
        _three([Fraction(n - 1) if f else Fraction(0) for f, n in zip(flips, sizes, strict=True)]),
        _shape(shape),
        _shape(sizes),
    )


def crop(shape: Shape, bounds: Sequence[Sequence[int]]) -> AxisMap:
    """Keeps `bounds[j][0] <= i < bounds[j][1]` of each axis (nnU-Net's `bbox_used_for_cropping`)."""
    one = Fraction(1)
    return AxisMap(
        (0, 1, 2),
        (one, one, one),
        _three([Fraction(-int(b[0])) for b in bounds]),
        _shape(shape),
        _three([int(b[1]) - int(b[0]) for b in bounds]),
    )


def resample(shape: Shape, new_shape: Shape) -> AxisMap:
    """nnU-Net's resampling: edge to edge by the ratio of shapes, j = (i + 0.5) * new / old - 0.5."""
    ratio = [Fraction(int(new), int(old)) for old, new in zip(shape, new_shape, strict=True)]
    return AxisMap(
        (0, 1, 2),
        _three(ratio),
        _three([HALF * r - HALF for r in ratio]),
        _shape(shape),
        _shape(new_shape),
    )


def pls_map(affine: npt.NDArray[np.floating[Any]], shape: Shape) -> AxisMap:
    """From the file frame to PLS: closest-axis flips and transposition, as nibabel's and MONAI's orientation do.

    `affine` is nibabel's (RAS+, 4x4).
    """
    return _towards(affine, shape, (("P", 0), ("L", 1), ("S", 2)))


def canonical_map(affine: npt.NDArray[np.floating[Any]], shape: Shape) -> AxisMap:
    """From the file frame to the reader frame of canonical data sets (DESIGN: frames).

    A stack of slices (one spacing at least twice the others) puts its through-plane axis first and then the in-plane
    axes closest to P and L. The first axis grows along S + P - L: hearts' short axes lie about equally close to all
    three, and this direction, from apex to base, is the one they never come near to being square to. The others grow
    along P - S/2 and L + S/2, because an in-plane axis of a coronal or sagittal stack is square to P or to L, and its
    sign would be chance. Any other volume uses S, P, L.
    """
    spacing = np.linalg.norm(np.asarray(affine, float)[:3, :3], axis=0)
    order = np.argsort(spacing)
    if spacing[order[2]] < (ANISOTROPY - 1e-3) * spacing[order[1]]:  # affines are rounded
        return _towards(affine, shape, (("S", 0), ("P", 1), ("L", 2)))
    through = int(order[2])
    cosines = _cosines(affine)
    in_plane = [a for a in range(3) if a != through]
    posterior, left = _DIRECTIONS["P"] @ cosines, _DIRECTIONS["L"] @ cosines
    straight = abs(posterior[in_plane[0]]) + abs(left[in_plane[1]])
    crossed = abs(posterior[in_plane[1]]) + abs(left[in_plane[0]])
    first, second = in_plane if straight >= crossed else in_plane[::-1]
    superior = _DIRECTIONS["S"] @ cosines
    growth = (
        (superior + posterior - left)[through],
        (posterior - superior / 2)[first],
        (left + superior / 2)[second],
    )
    return flip_permute((through, first, second), [bool(g < 0) for g in growth], shape)


def reversed_map(shape: Shape) -> AxisMap:
    """From the file frame to what nnU-Net's readers hand over: the axes in reverse order."""
    return flip_permute((2, 1, 0), (False, False, False), shape)


def ras_map(affine: npt.NDArray[np.floating[Any]], shape: Shape) -> AxisMap:
    """From the file frame to what nnU-Net's reorienting readers hand over: reversed RAS, so axes grow to S, A and R."""
    return _towards(affine, shape, (("S", 0), ("A", 1), ("R", 2)))


def codes_map(codes: str, wanted: str, shape: Shape) -> AxisMap:
    """From axes that grow towards `codes` ("LPS", one letter per axis) to axes that grow towards `wanted`."""
    opposite = {"L": "R", "R": "L", "A": "P", "P": "A", "S": "I", "I": "S"}
    axes, flips = [], []
    for letter in wanted:
        axis = next(i for i, code in enumerate(codes) if code in (letter, opposite[letter]))
        axes.append(axis)
        flips.append(codes[axis] != letter)
    return flip_permute(axes, flips, shape)


_DIRECTIONS = {
    "P": np.array([0.0, -1.0, 0.0]),
    "L": np.array([-1.0, 0.0, 0.0]),
    "S": np.array([0.0, 0.0, 1.0]),
}


def _cosines(affine: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    matrix = np.asarray(affine, float)[:3, :3]
    lengths = np.linalg.norm(matrix, axis=0)
    if not np.isfinite(matrix).all() or (lengths == 0).any():
        raise ImageError(f"the affine has no usable axes: {matrix.tolist()}")
    cosines = np.asarray(matrix / lengths)
    if np.linalg.matrix_rank(cosines) < 3:
        raise ImageError(f"the affine's three axes lie in one plane: {matrix.tolist()}")
    return cosines


def _towards(
    affine: npt.NDArray[np.floating[Any]], shape: Shape, wanted: Sequence[tuple[str, int]]
) -> AxisMap:
    from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

    _cosines(affine)
    codes = "".join(code for code, _ in wanted)
    change = ornt_transform(io_orientation(affine), axcodes2ornt(codes))
    axes, flips = [0, 0, 0], [False, False, False]
    for source, (target, direction) in enumerate(change):
        axes[int(target)] = source
        flips[int(target)] = direction < 0
    return flip_permute(axes, flips, shape)


def _shape(values: Sequence[int]) -> Shape:
    a, b, c = (int(v) for v in values)
    return a, b, c


def _three(values: Sequence[Any]) -> tuple[Any, Any, Any]:
    a, b, c = values
    return a, b, c
