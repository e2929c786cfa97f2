"""The synthetic anatomy around a left atrium: its cavity with the roots of four veins, and scar on its thin wall.

Arrays are (R, C, S): rows towards posterior, columns towards left, slices towards superior; places are in mm from the
middle of the volume. Nothing medical should be read from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, find_objects

from nnunet_prompt.phantom.scanner import Shape, Spacing, positions
from nnunet_prompt.phantom.shapes import (
    Ellipsoid,
    FloatArray,
    Mask,
    Place,
    Positions,
    Tube,
    Waves,
    depth_in,
    draw_waves,
    largest_piece,
    place,
    upright,
)

VEIN_MM = 22.0  # so far beyond its mouth a vein is a structure of the CT task
WALL_MM, INNER_MM = 2.0, 0.7  # scar reaches so far out of the cavity and into it
OSTIUM_MM = 11.0  # so far around the mouths of the veins scar is likely
VALVE_MM = 17.0


class Tissue(IntEnum):
    """The tissue of a voxel."""

    LUNG = 0
    FAT = 1
    BLOOD = 2
    WALL = 3
    SCAR = 4
    MUSCLE = 5
    BONE = 6
    OESOPHAGUS = 7
    VESSEL_WALL = 8


@dataclass(frozen=True, slots=True, eq=False)
class Atrium:
    """One left atrium with what lies around it; lengths in mm.

    `stems` belong to the cavity, the last of them is the appendage; `veins` are what follows of the others, `ostia` is
    where they begin. `scar_share` is the
    share of the wall that is scar.
    """

    body: Ellipsoid
    bumps: Waves
    stems: tuple[Tube, ...]
    veins: tuple[Tube, ...]
    ostia: tuple[Place, ...]
    valve: Place
    ventricle: Ellipsoid
    right_atrium: Ellipsoid
    vessels: tuple[Tube, ...]
    oesophagus: Tube
    spine: Tube
    disc_mm: float
    patches: Waves
    scar_share: float


@dataclass(frozen=True, slots=True, eq=False)
class Painted:
    """Cavity and scar as masks and the map of tissues (uint8), all (R, C, S)."""

    cavity: Mask
    scar: Mask
    tissue: npt.NDArray[np.uint8]


def draw_atrium(rng: np.random.Generator) -> Atrium:
    """Generates an atrium that fits a field of view of about 9 x 9 x 10 cm."""
    centre = tuple(float(v) for v in rng.normal(0, 2.5, 3))
    semi = tuple(float(v) for v in rng.uniform((18, 27, 22), (27, 36, 30)))
    body = Ellipsoid(place(centre), place(semi))
    valve = body.surface((-0.45, 0.6, -0.65))
    ventricle = Ellipsoid(_between(body.centre, valve, 2.1), place(rng.uniform(28, 36, 3)))
    stems, veins, ostia = [], [], []
    for side, up in ((-1, 1), (-1, -1), (1, 1), (1, -1)):
        direction = np.array([0.35, 0.8 * side, 0.55 * up]) + rng.normal(0, 0.08, 3)
        ostium = body.surface(direction)
        root = _between(body.centre, ostium, 0.8)
        cut, far = (_between(body.centre, ostium, f) for f in (rng.uniform(1.15, 1.4), 3.0))
        radius = float(rng.uniform(5.5, 8.5))
        stems.append(Tube(root, cut, radius * 1.15, radius))
        veins.append(Tube(root, far, radius, 0.6 * radius))
        ostia.append(ostium)
    ear = body.surface((-0.6, 0.85, 0.15))  # the appendage, to the left in front
    stems.append(Tube(_between(body.centre, ear, 0.8), _between(body.centre, ear, 1.35), 9.0, 6.0))
    right = (centre[0] - rng.uniform(12, 20), centre[1] - semi[1] - 17.0, centre[2] - 12.0)
    return Atrium(
        body,
        draw_waves(rng, (35, 80)),
        tuple(stems),
        tuple(veins),
        tuple(ostia),
        valve,
        ventricle,
        Ellipsoid(place(right), place(rng.uniform(20, 27, 3))),
        _draw_vessels(rng, body),
        upright((centre[0] + semi[0] + 7, centre[1] + rng.normal(4, 4)), rng.uniform(5, 7)),
        upright((46 + rng.normal(0, 2), rng.normal(-2, 2)), 17.0),
        rng.uniform(0, 27),
        draw_waves(rng, (18, 50), count=12),
        float(rng.uniform(0.06, 0.2)),
    )


def paint_atrium(atrium: Atrium, *, shape: Shape, spacing_mm: Spacing) -> Painted:
    """The atrium in the middle of a volume; there is always some cavity and some scar."""
    rows, columns, slices = (x.astype(np.float32) for x in positions(shape, spacing_mm))
    at = (rows, columns, slices)
    cavity = _cavity(atrium, shape, at)
    depth = _depth(cavity, spacing_mm)
    tissue = np.full(shape, Tissue.LUNG, np.uint8)
    _paint_chest(tissue, atrium, at)
    wall = (depth < 0) & (depth >= -WALL_MM)
    in_veins = depth_in(atrium.veins, at)
    tissue[in_veins > -1.5] = Tissue.VESSEL_WALL
    tissue[in_veins > 0] = Tissue.BLOOD
    # blood flows on through the valve and into the veins: no wall there
    flows = (in_veins > 0) | (_square_to(atrium.valve, at) < VALVE_MM**2)
    tissue[wall] = Tissue.WALL
    tissue[cavity | (wall & flows)] = Tissue.BLOOD
    inner = max(INNER_MM, 1.01 * min(spacing_mm[0], 0.95 * WALL_MM))
    scar = _scar(atrium, at, (wall | ((depth > 0) & (depth <= inner))) & ~flows)
    tissue[scar] = Tissue.SCAR
    return Painted(cavity, scar, tissue)


def paint_parts(atrium: Atrium, *, shape: Shape, spacing_mm: Spacing) -> tuple[Mask, Mask, Mask]:
    """Body, veins and appendage of an atrium as in CT, without overlap and each in touch with the body."""
    rows, columns, slices = (x.astype(np.float32) for x in positions(shape, spacing_mm))
    at = (rows, columns, slices)
    body = np.broadcast_to(atrium.body.radius(at) < 1 + 0.07 * atrium.bumps(at), shape)
    near = np.zeros(shape, bool)
    for ostium in atrium.ostia:
        near |= _square_to(ostium, at) < VEIN_MM**2
    *roots, ear = atrium.stems
    appendage = np.broadcast_to(depth_in((ear,), at) > 0, shape) & ~body
    tubes = (depth_in(atrium.veins, at) > 0) | (depth_in(roots, at) > 0)
    veins = tubes & near & ~body & ~appendage
    whole = largest_piece(body | veins | appendage)
    return body & whole, veins & whole, appendage & whole


def _cavity(atrium: Atrium, shape: Shape, at: Positions) -> Mask:
    """Body and stems in one piece, cut off at the border so that the wall closes it in the image."""
    body = atrium.body.radius(at) < 1 + 0.07 * atrium.bumps(at)
    cavity = np.broadcast_to(body | (depth_in(atrium.stems, at) > 0), shape).copy()
    for axis in range(3):
        np.moveaxis(cavity, axis, 0)[[0, -1]] = False
    return largest_piece(cavity)


def _depth(cavity: Mask, spacing_mm: Spacing) -> FloatArray:
    """Distance in mm to the nearest voxel on the other side: above 0 in the cavity, below 0 outside of it.

    A slice counts as no thicker than the wall, which would end above and below the cavity otherwise.
    """
    sampling = [min(mm, 0.95 * WALL_MM) for mm in spacing_mm]
    depth = np.full(cavity.shape, -np.inf, np.float32)
    (box,) = find_objects(cavity.astype(np.uint8))
    box = tuple(slice(max(0, s.start - 5), s.stop + 5) for s in box)
    part = cavity[box]
    depth[box] = distance_transform_edt(part, sampling) - distance_transform_edt(~part, sampling)
    return depth


def _scar(atrium: Atrium, at: Positions, band: Mask) -> Mask:
    """The parts of a band along the wall where a random field, higher around the veins, is highest."""
    field = atrium.patches(at)
    for ostium in atrium.ostia:
        field = field + 2 * np.exp(-0.5 * _square_to(ostium, at) / OSTIUM_MM**2)
    scar = np.zeros(band.shape, bool)
    scar[band] = field[band] >= np.quantile(field[band], 1 - atrium.scar_share)
    return scar


def _paint_chest(tissue: npt.NDArray[np.uint8], atrium: Atrium, at: Positions) -> None:
    """Everything but the atrium; much of it has the signal of blood."""
    row, column, slices = at
    wobble = 4 * atrium.bumps(at)
    tissue[((row + 22) / 52) ** 2 + ((column - 6 + wobble) / 40) ** 2 < 1] = Tissue.FAT
    in_spine = np.broadcast_to(atrium.spine.depth(at) > 0, tissue.shape)
    tissue[in_spine] = Tissue.BONE
    tissue[in_spine & (np.cos(2 * np.pi * (slices - atrium.disc_mm) / 27) > 0.8)] = Tissue.MUSCLE
    tissue[atrium.oesophagus.depth(at) > 0] = Tissue.OESOPHAGUS
    for cavity, wall_mm in ((atrium.ventricle, 9.0), (atrium.right_atrium, 2.0)):
        tissue[cavity.radius(at, grow_mm=wall_mm) < 1] = Tissue.MUSCLE
        tissue[cavity.radius(at) < 1] = Tissue.BLOOD
    in_vessels = depth_in(atrium.vessels, at)
    tissue[in_vessels > -1.7] = Tissue.VESSEL_WALL
    tissue[in_vessels > 0] = Tissue.BLOOD


def _draw_vessels(rng: np.random.Generator, body: Ellipsoid) -> tuple[Tube, ...]:
    """Descending aorta, ascending aorta and pulmonary artery."""
    behind, front = body.centre[0] + body.semi[0] + 13, body.centre[0] - body.semi[0] - 11
    return (
        upright((behind, body.centre[1] + rng.normal(20, 3)), rng.uniform(9, 12)),
        Tube(
            place((front - 4, rng.normal(-2, 3), -8.0)),
            place((front, rng.normal(-12, 3), 90.0)),
            *rng.uniform(12, 16, 2),
        ),
        Tube(
            place((front - 10, rng.normal(22, 3), 4.0)),
            place((front + 16, rng.normal(8, 3), body.semi[2] + 22.0)),
            *rng.uniform(9, 12, 2),
        ),
    )


def _square_to(point: Place, at: Positions) -> FloatArray:
    """Squared distance to a point, mm^2."""
    row, column, slices = ((x - p) ** 2 for x, p in zip(at, point, strict=True))
    return np.asarray(row + column + slices)


def _between(a: Place, b: Place, share: float) -> Place:
    """The point at this share of the way from a to b, beyond b above 1."""
    return place([x + share * (y - x) for x, y in zip(a, b, strict=True)])
