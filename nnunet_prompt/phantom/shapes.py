"""The shapes that organs are made of, as functions of a place in mm, so that one body can be scanned on many grids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import label

FloatArray = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]
Place = tuple[float, float, float]  # row (posterior), column (left), slice (superior), mm
Positions = tuple[FloatArray, FloatArray, FloatArray]  # the same of all voxels; they broadcast


@dataclass(frozen=True, slots=True, eq=False)
class Waves:
    """A random smooth function of the place, of mean 0 and standard deviation 1 over all of space.

    `vectors` are in radians per mm, `phases` in radians, both (K, 3).
    """

    vectors: FloatArray
    phases: FloatArray

    def __call__(self, at: Positions) -> FloatArray:
        """The values at these places, of which each axis has its own, in their broadcast shape."""
        # a cosine along each axis is cheap, and a product of three is a sum of plane waves
        a, b, c = (
            np.cos(self.vectors[:, i, None] * x.ravel() + self.phases[:, i, None]).astype(x.dtype)
            for i, x in enumerate(at)
        )
        waves = np.einsum("kr,kc,ks->rcs", a, b, c, optimize=True)
        return np.asarray(waves * float(np.sqrt(8 / len(self.phases))))


def draw_waves(
    rng: np.random.Generator, wavelength_mm: tuple[float, float], *, count: int = 8
) -> Waves:
    """Draws a smooth function with features of about these lengths."""
    lengths = rng.uniform(*wavelength_mm, (count, 3))
    signs = rng.choice([-1.0, 1.0], (count, 3))
    return Waves(2 * np.pi * signs / lengths, rng.uniform(0, 2 * np.pi, (count, 3)))


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """An ellipsoid with axes along those of the volume, mm."""

    centre: Place
    semi: Place

    def radius(self, at: Positions, *, grow_mm: float = 0.0) -> FloatArray:
        """0 in the centre, 1 on the surface, which lies `grow_mm` further out."""
        parts = [
            ((x - c) / (s + grow_mm)) ** 2
            for x, c, s in zip(at, self.centre, self.semi, strict=True)
        ]
        return np.asarray(np.sqrt(parts[0] + parts[1] + parts[2]))

    def surface(self, direction: npt.ArrayLike) -> Place:
        """The point of the surface that is seen from the centre in this direction."""
        scale = 1 / np.linalg.norm(np.asarray(direction) / self.semi)
        a, b, c = np.asarray(self.centre) + scale * np.asarray(direction, dtype=np.float64)
        return float(a), float(b), float(c)


@dataclass(frozen=True, slots=True)
class Tube:
    """A straight tube with round ends, mm; its radius changes evenly from start to end."""

    start: Place
    end: Place
    radius_mm: float
    end_radius_mm: float

    def depth(self, at: Positions) -> FloatArray:
        """How deep in the tube the places lie, mm: above 0 inside, below 0 outside."""
        length = [e - s for s, e in zip(self.start, self.end, strict=True)]
        away = [x - s for x, s in zip(at, self.start, strict=True)]
        # away . length and |away|^2 are sums over the axes, so few operations need the whole grid
        dot = sum(a * k for a, k in zip(away, length, strict=True))
        square = sum(k * k for k in length)
        share = np.clip(dot / max(square, 1e-9), 0, 1)
        distance = sum(a * a for a in away) + share * (share * square - 2 * dot)
        radius = self.radius_mm + share * (self.end_radius_mm - self.radius_mm)
        return np.asarray(radius - np.sqrt(np.maximum(distance, 0)))


def depth_in(tubes: Sequence[Tube], at: Positions) -> FloatArray:
    """How deep the places lie in the tube in which they are deepest, mm; below 0 outside of all."""
    first, *others = (tube.depth(at) for tube in tubes)
    for depth in others:
        first = np.maximum(first, depth)
    return first


def upright(row_column: Iterable[float], radius_mm: float, *, half_mm: float = 200.0) -> Tube:
    """A tube along the slices, `half_mm` to both sides of the middle slice."""
    row, column = (float(v) for v in row_column)
    return Tube((row, column, -half_mm), (row, column, half_mm), float(radius_mm), float(radius_mm))


def place(values: Iterable[Any]) -> Place:
    """Three numbers as a place in mm."""
    a, b, c = (float(v) for v in values)
    return a, b, c


def largest_piece(mask: Mask) -> Mask:
    """The largest connected piece of a mask; the mask itself where it is in one piece or empty."""
    pieces, count = label(mask)
    if count <= 1:
        return mask
    return np.asarray(pieces == 1 + int(np.bincount(pieces.ravel())[1:].argmax()))
