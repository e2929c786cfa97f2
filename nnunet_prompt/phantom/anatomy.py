"""The synthetic anatomy of the phantom heart: what lies where in a short-axis stack.

Arrays are (R, C, S): rows towards posterior, columns towards left, slices from base to apex. Lengths are in mm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from nnunet_prompt.phantom.scanner import FloatArray, Shape, Spacing, positions, smooth_noise
from nnunet_prompt.phantom.shapes import largest_piece

OFFICIAL: Mapping[str, int] = {"LV": 500, "myocardium": 200, "RV": 600, "scar": 2221}
_HEALTHY = 0.15  # share of hearts without scar
Positions = tuple[FloatArray, FloatArray, FloatArray]


class Tissue(IntEnum):
    """The tissue of a voxel."""

    LUNG = 0
    BLOOD = 1
    MYOCARDIUM = 2
    SCAR = 3
    EDEMA = 4
    FAT = 5
    LIVER = 6
    MUSCLE = 7


@dataclass(frozen=True, slots=True)
class Anatomy:
    """One heart. Lengths in mm, angles in radians from the row axis towards the column axis."""

    base_mm: float  # depth of the valve plane below the first slice
    length_mm: float
    centre_mm: tuple[float, float]
    tilt: tuple[float, float]  # drift of the centre per mm of depth
    endo_mm: float
    wall_mm: float
    waves: tuple[
        tuple[float, float], ...
    ]  # amplitude and phase of the 2nd, 3rd and 4th angular wave
    septum: float
    rv_width: float
    scar: (
        tuple[float, float, float, float] | None
    )  # angle, half width, depth 0..1, transmurality 0..1


def draw_anatomy(rng: np.random.Generator, *, depth_mm: float) -> Anatomy:
    """Generates a heart that fits a stack of that depth."""
    base = rng.uniform(0.04, 0.16) * depth_mm
    angle = rng.uniform(0, 2 * np.pi)
    scar = (angle, rng.uniform(0.45, 1.1), rng.uniform(0.25, 0.75), rng.uniform(0.55, 1.0))
    row, column = rng.normal(0, 6, 2)
    tilt_row, tilt_column = rng.normal(0, 0.1, 2)
    phases = rng.uniform(0, 2 * np.pi, 3)
    return Anatomy(
        base_mm=base,
        length_mm=(depth_mm - base) * rng.uniform(0.86, 0.98),
        centre_mm=(float(row), float(column + 8)),
        tilt=(float(tilt_row), float(tilt_column)),
        endo_mm=rng.uniform(18, 26),
        wall_mm=rng.uniform(8, 12),
        waves=tuple(
            (float(a), float(p))
            for a, p in zip(rng.uniform(0.2, 1, 3) * (0.09, 0.04, 0.02), phases, strict=True)
        ),
        septum=np.pi + rng.uniform(0.5, 1.2),
        rv_width=rng.uniform(0.75, 1.05),
        scar=scar if rng.random() > _HEALTHY else None,
    )


def breathing_positions(rng: np.random.Generator, shape: Shape, spacing_mm: Spacing) -> Positions:
    """Row and column in mm from the middle of the image and depth in mm, (R, C, S); breathing shifts the slices."""
    row, column, through = positions(shape, spacing_mm)
    shift = rng.normal(0, 0.8, (2, 1, 1, shape[2]))
    a, b, c = row + shift[0], column + shift[1], through - through.min()
    return np.broadcast_to(a, shape), np.broadcast_to(b, shape), np.broadcast_to(c, shape)


def paint(
    rng: np.random.Generator, heart: Anatomy, position: Positions
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Labels (official values) and tissues, both (R, C, S), where `position` is row, column and depth in mm."""
    row, column, depth = position
    tissue = _surroundings(rng, position)
    h = (depth - heart.base_mm) / heart.length_mm  # 0 at the valves, 1 at the apex
    x = row - heart.centre_mm[0] - heart.tilt[0] * depth
    y = column - heart.centre_mm[1] - heart.tilt[1] * depth
    theta = np.arctan2(y, x)
    waves = sum(a * np.cos(k * theta + p) for k, (a, p) in enumerate(heart.waves, 2))
    radius = np.hypot(x, y) / (1 + waves)
    endo = heart.endo_mm * _taper(h, 0.97)
    epi = (heart.endo_mm + heart.wall_mm) * _taper(h, 1.04)
    lv = (radius < endo) & (h >= 0)
    myocardium = (radius < epi) & (h >= 0) & ~lv
    along = x * np.cos(heart.septum) + y * np.sin(heart.septum)
    across = y * np.cos(heart.septum) - x * np.sin(heart.septum)
    rv_scale = (heart.endo_mm + heart.wall_mm) * _taper(h, 0.88)

    def ventricle(grow_mm: float) -> npt.NDArray[np.bool_]:
        a = np.maximum(heart.rv_width * rv_scale + grow_mm, 1e-6)
        b = np.maximum(1.12 * rv_scale + grow_mm, 1e-6)
        inside = ((along - 0.62 * rv_scale) / a) ** 2 + (across / b) ** 2 < 1
        return np.asarray(inside & (rv_scale > 0) & (h >= 0) & (radius >= epi))

    rv = _one_piece_per_slice(ventricle(0))
    fatty = smooth_noise(rng, row.shape, (6, 6, 1)) > -0.2  # fat lies around the heart in patches
    tissue[fatty & (((radius < epi + 4) & (h >= 0)) | ventricle(6))] = Tissue.FAT
    tissue[ventricle(3)] = Tissue.MYOCARDIUM  # the thin free wall, which is not labelled
    atrium = (h < 0) & (radius < 0.9 * heart.endo_mm)
    tissue[atrium | lv | rv] = Tissue.BLOOD
    tissue[myocardium | (lv & _papillary(rng, heart, h, (x, y)))] = Tissue.MYOCARDIUM
    labels = np.select([lv, myocardium, rv], [OFFICIAL[n] for n in ("LV", "myocardium", "RV")], 0)
    if heart.scar is not None:
        wall = (radius - endo) / np.maximum(epi - endo, 1e-6)
        scar = myocardium & _scar(rng, heart.scar, (theta, h, wall))
        tissue[scar], labels[scar] = Tissue.SCAR, OFFICIAL["scar"]
    return labels, tissue


def _taper(h: FloatArray, end: float) -> FloatArray:
    """Share of the basal radius at height h; 0 beyond `end`."""
    return np.sqrt(np.clip(1 - (np.clip(h, 0, None) / end) ** 2.4, 0, None))


def _one_piece_per_slice(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The largest piece of each slice; near the apex a thin crescent falls into crumbs."""
    return np.stack([largest_piece(mask[..., s]) for s in range(mask.shape[2])], axis=2)


def _papillary(
    rng: np.random.Generator, heart: Anatomy, h: FloatArray, xy: tuple[FloatArray, FloatArray]
) -> npt.NDArray[np.bool_]:
    """Two muscles in the cavity; they belong to the blood pool in the labels."""
    inside = np.zeros(h.shape, bool)
    for angle in heart.septum + np.pi + rng.normal((-0.9, 0.9), 0.15):
        at = 0.66 * heart.endo_mm
        apart = np.hypot(xy[0] - at * np.cos(angle), xy[1] - at * np.sin(angle))
        inside |= (apart < rng.uniform(2.5, 4.0)) & (np.abs(h - 0.45) < 0.25)
    return inside


def _scar(
    rng: np.random.Generator,
    scar: tuple[float, float, float, float],
    place: Positions,
) -> npt.NDArray[np.bool_]:
    """A patch that starts at the inner border, with ragged edges."""
    angle, half_width, depth, transmural = scar
    theta, h, wall = place
    apart = (theta - angle + np.pi) % (2 * np.pi) - np.pi
    ragged = 0.25 * smooth_noise(rng, h.shape, (4, 4, 1))
    near = (apart / half_width) ** 2 + ((h - depth) / 0.32) ** 2 + ragged < 1
    return np.asarray(near & (wall < transmural + 0.5 * ragged))


def _surroundings(rng: np.random.Generator, position: Positions) -> npt.NDArray[np.uint8]:
    """Chest without a heart: lungs, liver, fat and vessels, some as bright as the heart's own tissues."""
    row, column, depth = position
    tissue = np.full(row.shape, Tissue.LUNG, np.uint8)
    wobble = 6 * smooth_noise(rng, row.shape, (9, 9, 2))

    def blob(kind: Tissue, at: tuple[float, float], size: tuple[float, float]) -> None:
        r, c = rng.normal(at, 5)
        a, b = size * rng.uniform(0.8, 1.2, 2)
        distance = np.hypot((row - r + wobble) / a, (column - c - 0.1 * depth + wobble) / b)
        tissue[distance < 1] = kind

    blob(Tissue.MUSCLE, (-6, -14), (54, 52))
    blob(Tissue.FAT, (-62, -35), (26, 60))
    blob(Tissue.MUSCLE, (-82, -30), (24, 70))
    blob(Tissue.LIVER, (62, -48), (36, 50))
    blob(Tissue.FAT, (48, 20), (16, 26))
    blob(Tissue.MYOCARDIUM, (56, 46), (21, 21))  # the stomach: a ring like the ventricle's
    blob(Tissue.SCAR, (56, 46), (12, 12))
    blob(Tissue.BLOOD, (50, 12), (9, 9))  # the descending aorta
    blob(Tissue.BLOOD, (60, -55), (6, 9))  # a vessel in the liver
    return tissue
