"""The synthetic anatomy of a whole heart: four chambers, the left ventricle's muscle and two vessels in a chest.

Places are (posterior, left, superior) in mm from the middle of the heart, arrays (R, C, S) along the same directions.
Chambers are ellipsoids and tubes, bent by a smooth warp; nothing medical should be read from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from nnunet_prompt.phantom.scanner import Shape, Spacing, positions, smooth_field, smooth_noise
from nnunet_prompt.phantom.shapes import Ellipsoid, Place

LV, RV, LA, RA, MYOCARDIUM, AORTA, PULMONARY = 500, 600, 420, 550, 205, 820, 850
Field = npt.NDArray[np.float32]


class Tissue(IntEnum):
    """The tissue of a voxel; blood of the left side takes up more contrast agent than that of the right."""

    AIR = 0
    LUNG = 1
    LEFT_BLOOD = 2
    RIGHT_BLOOD = 3
    MYOCARDIUM = 4
    FAT = 5
    MUSCLE = 6
    LIVER = 7
    BONE = 8


TISSUE_OF: Mapping[int, Tissue] = {
    **dict.fromkeys((LV, LA, AORTA), Tissue.LEFT_BLOOD),
    **dict.fromkeys((RV, RA, PULMONARY), Tissue.RIGHT_BLOOD),
    MYOCARDIUM: Tissue.MYOCARDIUM,
}
_APEX = np.array([-0.5, 0.7, -0.5]) / np.linalg.norm([-0.5, 0.7, -0.5])  # from the base of the LV
_LV_CENTRE: Place = (0, 20, -8)
_BASE = -21.0  # the valve plane of the LV, along _APEX from its centre
_VALVES = ({RV, RA}, {RV, PULMONARY})  # these meet without a wall between them
_AORTIC_VALVE: Place = (0, -2, 12)
_PULMONARY_VALVE: Place = (-27, 6, 24)


def whole_heart(
    rng: np.random.Generator, shape: Shape, spacing_mm: Spacing
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint8]]:
    """Labels with official values and the tissue map of one heart, both of `shape`."""
    at = _places(rng, shape, spacing_mm)
    tissue = _chest(rng, at)
    outer, inner, depth = _left_ventricle(rng, at)
    outflow = _tube(at, ((2, 8, 0), _AORTIC_VALVE), 11)
    lv = ((inner < 1) & (depth > _BASE)) | ((outflow < 1) & (depth <= _BASE + 12))
    muscle = (outer < 1) & (depth > _BASE) & ~lv
    chambers = _chambers(rng, at)
    values, fields = np.array(list(chambers)), np.stack(list(chambers.values()))
    fields[:, lv | muscle] = np.inf
    order = np.argsort(fields, axis=0)[:2]
    nearest, second = np.take_along_axis(fields, order, axis=0)
    labels = np.where(nearest < 1, values[order[0]], 0).astype(np.uint16)
    with np.errstate(invalid="ignore"):  # infinity minus infinity within the left ventricle
        wall = (nearest < 1) & (second - nearest < 0.08)
    for a, b in _VALVES:
        wall &= ~(np.isin(values[order], [a, b]).all(axis=0))
    labels[wall] = 0
    around = np.minimum(np.where(lv | muscle, 0, nearest), np.where(depth > _BASE, outer, np.inf))
    fatty = smooth_noise(rng, shape, (5, 5, 5)) > -0.4
    tissue[fatty & (around < 1.25)] = Tissue.FAT
    for vessel, kind in _vessels(at):
        tissue[vessel < 1] = kind
    tissue[(around < 1.08) | wall] = Tissue.MYOCARDIUM  # thin walls, which is not labelled
    labels[lv], labels[muscle] = LV, MYOCARDIUM
    for value, kind in TISSUE_OF.items():
        tissue[labels == value] = kind
    tissue[lv & _papillary(at, depth)] = Tissue.MYOCARDIUM
    return labels, tissue


def _places(rng: np.random.Generator, shape: Shape, spacing_mm: Spacing) -> Field:
    """The place of each voxel in the frame of the heart, (3, R, C, S): rotated, scaled, shifted and warped."""
    in_scan = np.stack(
        [
            np.broadcast_to(p, shape) + 2.5 * smooth_field(rng, shape)
            for p in positions(shape, spacing_mm)
        ]
    )
    turn = Rotation.from_euler("xyz", rng.normal(0, 6, 3), degrees=True).as_matrix()
    shifted = in_scan - rng.normal((-2, 2, -6), 2.5)[:, None, None, None]
    scaled = np.tensordot(turn, shifted, 1) / rng.uniform(0.88, 1.04)
    return np.asarray(scaled, np.float32)


def _left_ventricle(rng: np.random.Generator, at: Field) -> tuple[Field, Field, Field]:
    """Outer and inner surface (1 on it), and the place along the long axis in mm, from the middle to the apex."""
    away = at - np.reshape(_LV_CENTRE, (3, 1, 1, 1))
    depth = np.tensordot(_APEX, away, 1).astype(np.float32)
    across = np.maximum((away**2).sum(axis=0) - depth**2, 0)
    short, wall = rng.uniform(21, 26), rng.uniform(8, 11)
    inner = np.sqrt(across / short**2 + (depth / 38) ** 2)
    outer = np.sqrt(across / (short + wall) ** 2 + (depth / (38 + 0.8 * wall)) ** 2)
    return outer.astype(np.float32), inner.astype(np.float32), depth


def _chambers(rng: np.random.Generator, at: Field) -> dict[int, Field]:
    """The other chambers and the vessels by value: fields that are below 1 inside."""

    places = at.astype(np.float64)

    def ellipsoid(centre: Place, half: Place) -> Field:
        a, b, c = (
            float(h * share) for h, share in zip(half, rng.uniform(0.93, 1.07, 3), strict=True)
        )
        radius = Ellipsoid(centre, (a, b, c)).radius((places[0], places[1], places[2]))
        return radius.astype(np.float32)

    right = ellipsoid((-27, -6, -12), (31, 36, 34))
    outflow = _tube(at, ((-27, 0, 4), _PULMONARY_VALVE), 13)
    past_valve = (at - np.reshape(_PULMONARY_VALVE, (3, 1, 1, 1)))[2] > 0
    trunk = _tube(at, (_PULMONARY_VALVE, (-14, 14, 40), (6, 16, 48)), rng.uniform(11, 13.5))
    aorta = _tube(at, (_AORTIC_VALVE, (-4, -12, 30), (-2, -14, 60)), rng.uniform(12.5, 15))
    return {
        RV: np.where(past_valve, np.inf, np.minimum(right, outflow)).astype(np.float32),
        RA: ellipsoid((2, -42, 2), (24, 20, 30)),
        LA: ellipsoid((29, -1, 11), (20, 30, 22)),
        AORTA: aorta,
        PULMONARY: np.where(past_valve, trunk, np.inf).astype(np.float32),
    }


def _vessels(at: Field) -> list[tuple[Field, Tissue]]:
    """Vessels that are not labelled, as bright as those that are."""
    veins = [
        ((35, side * 20, 18), (42, side * 62, 24 + lift)) for side in (-1, 1) for lift in (0, -22)
    ]
    return [
        (_tube(at, ((2, -38, 20), (2, -36, 90)), 9), Tissue.RIGHT_BLOOD),  # superior vena cava
        (_tube(at, ((10, -40, -20), (14, -40, -90)), 11), Tissue.RIGHT_BLOOD),
        (_tube(at, ((6, 16, 48), (22, -40, 48)), 9), Tissue.RIGHT_BLOOD),  # pulmonary branches
        (_tube(at, ((6, 16, 48), (26, 60, 50)), 9), Tissue.RIGHT_BLOOD),
        (_tube(at, ((56, 24, -90), (56, 24, 90)), 11), Tissue.LEFT_BLOOD),  # descending aorta
        *((_tube(at, vein, 5.5), Tissue.LEFT_BLOOD) for vein in veins),
    ]


def _papillary(at: Field, depth: Field) -> npt.NDArray[np.bool_]:
    """Two muscles in the left ventricle; they belong to the blood pool in the labels."""
    middle = np.array(_LV_CENTRE)
    first = np.cross(_APEX, [0.0, 0.0, 1.0])
    first *= 13 / np.linalg.norm(first)
    sides = (middle + first, middle - first)
    tubes = [_tube(at, (tuple(s - 4 * _APEX), tuple(s + 18 * _APEX)), 3.2) for s in sides]
    return np.asarray((np.minimum(*tubes) < 1) & (depth > _BASE))


def _chest(rng: np.random.Generator, at: Field) -> npt.NDArray[np.uint8]:
    """Lungs with vessels, liver, spine, breast bone and chest wall."""
    posterior, left, superior = at
    tissue = np.full(posterior.shape, Tissue.LUNG, np.uint8)
    tissue[smooth_noise(rng, posterior.shape, (1.6, 1.6, 1.6)) > 2.1] = Tissue.RIGHT_BLOOD
    dome = -36 - 0.004 * (posterior**2 + (left + 25) ** 2) - superior
    tissue[dome > 0] = Tissue.FAT
    tissue[(dome > 3) & (left < 25)] = Tissue.LIVER
    tissue[(dome > 4) & (left >= 30)] = Tissue.MUSCLE  # the stomach
    behind = np.hypot(posterior - 82, left) / 24
    tissue[behind < 1.35] = Tissue.MUSCLE
    tissue[behind < 1] = Tissue.BONE
    front = posterior - 0.0035 * left**2
    tissue[front < -57] = Tissue.MUSCLE
    tissue[(front < -57) & (np.abs(left) < 16)] = Tissue.BONE
    tissue[front < -63] = Tissue.FAT
    tissue[front < -70] = Tissue.AIR
    return tissue


def _tube(at: Field, points: tuple[Place, ...], radius: float) -> Field:
    """Distance from the line through the points, in radii."""
    nearest = np.full(at.shape[1:], np.inf)
    for start, end in pairwise(points):
        line = np.subtract(end, start)
        away = at - np.reshape(start, (3, 1, 1, 1))
        share = np.clip(np.tensordot(line, away, 1) / (line @ line), 0, 1)
        nearest = np.minimum(nearest, ((away - share * line[:, None, None, None]) ** 2).sum(axis=0))
    return np.asarray(np.sqrt(nearest) / radius, np.float32)
