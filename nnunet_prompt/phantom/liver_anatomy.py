"""The synthetic anatomy of an abdomen: the liver and what lies around it, some of it as bright in some phase.

Arrays are (R, C, S): rows towards posterior, columns towards left, slices towards superior; places are in mm from the
middle of the body. Nothing medical should be read from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from nnunet_prompt.phantom.scanner import Shape, Spacing, positions
from nnunet_prompt.phantom.shapes import (
    Ellipsoid,
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

MUSCLE_MM = 12.0
_LESIONS = 0.4  # share of livers with one


class Tissue(IntEnum):
    """The tissue of a voxel."""

    AIR = 0
    FAT = 1
    MUSCLE = 2
    BONE = 3
    CORD = 4
    LUNG = 5
    LIVER = 6
    SPLEEN = 7
    KIDNEY = 8
    STOMACH = 9
    BOWEL = 10
    ARTERY = 11
    VEIN = 12
    BILE = 13
    LESION = 14


@dataclass(frozen=True, slots=True, eq=False)
class Abdomen:
    """One abdomen; lengths in mm before it is stretched by `scale`.

    `half` are the half axes of the body in a slice, `lobes` those of the liver, `domes` is what bounds the lungs below.
    `nodes` is the roughness of the liver's surface, a share of its size. Lesions belong to the liver, and so do
    vessels in it; the vena cava and the gallbladder do not.
    """

    scale: Place
    half: tuple[float, float]
    fat_mm: float
    lobes: tuple[Ellipsoid, Ellipsoid]
    domes: tuple[Ellipsoid, Ellipsoid]
    bumps: Waves
    nodes: tuple[float, Waves]
    lesions: tuple[Ellipsoid, ...]
    gallbladder: Ellipsoid
    organs: tuple[tuple[Tissue, Ellipsoid], ...]
    vessels: tuple[Tube, ...]
    cava: Tube
    aorta: Tube
    spine: Tube
    loops: Waves


def draw_abdomen(rng: np.random.Generator, *, stage: int) -> Abdomen:
    """Generates an abdomen whose liver is the rougher the higher the stage of its fibrosis (1 to 4)."""

    def blob(centre: Place, semi: Place, spread: float = 4.0) -> Ellipsoid:
        return Ellipsoid(place(rng.normal(centre, spread)), place(rng.uniform(0.9, 1.1, 3) * semi))

    right, left = blob((6, -70, 4), (76, 68, 78)), blob((-36, -2, 28), (36, 76, 34))
    x, y, z = right.centre
    lesions: tuple[Ellipsoid, ...] = ()
    if rng.random() < _LESIONS:
        away = rng.uniform((-25, -30, -10), (25, 20, 35))
        lesions = (blob((x + away[0], y + away[1], z + away[2]), (11, 11, 11)),)
    aorta, cava = _upright(rng, (30, 10), 10), _upright(rng, (27, -22), 12)
    return Abdomen(
        scale=place(rng.uniform(0.92, 1.06, 3)),
        half=(float(rng.uniform(98, 112)), float(rng.uniform(142, 158))),
        fat_mm=float(rng.uniform(7, 24)),
        lobes=(right, left),
        domes=(right, blob((0, 70, 0), (88, 78, 72))),
        bumps=draw_waves(rng, (70, 160)),
        nodes=(0.008 * stage, draw_waves(rng, (14, 30), count=12)),
        lesions=lesions,
        gallbladder=blob((x - 38, y + 22, z - 38), (15, 13, 24)),
        organs=(
            (Tissue.MUSCLE, blob((74, -36, 0), (20, 28, 999))),
            (Tissue.MUSCLE, blob((74, 36, 0), (20, 28, 999))),
            (Tissue.KIDNEY, blob((44, -60, -58), (23, 26, 50))),
            (Tissue.KIDNEY, blob((44, 60, -42), (23, 26, 50))),
            (Tissue.SPLEEN, blob((28, 106, 26), (46, 27, 50))),
            (Tissue.STOMACH, blob((-30, 66, 16), (36, 42, 44))),
            (Tissue.MUSCLE, blob((-36, 24, 98), (44, 60, 36))),  # the heart
            (Tissue.VEIN, blob((-36, 24, 98), (30, 44, 24))),
        ),
        vessels=_draw_tree(rng, (x, y, z)),
        cava=cava,
        aorta=aorta,
        spine=_upright(rng, (56, 0), 19),
        loops=draw_waves(rng, (45, 90)),
    )


def paint_abdomen(
    abdomen: Abdomen, *, shape: Shape, spacing_mm: Spacing, shift_mm: Place
) -> tuple[Mask, npt.NDArray[np.uint8]]:
    """Liver mask and map of tissues (uint8), both (R, C, S); the body lies `shift_mm` off the middle of the volume."""
    rows, columns, slices = (
        ((x - d) / s).astype(np.float32)
        for x, d, s in zip(positions(shape, spacing_mm), shift_mm, abdomen.scale, strict=True)
    )
    at = (rows, columns, slices)
    tissue = np.full(shape, Tissue.AIR, np.uint8)
    within = _paint_trunk(tissue, abdomen, at)
    for name, organ in abdomen.organs:
        tissue[(organ.radius(at) < 1) & within] = name
    liver = _liver(abdomen, at, within & (tissue != Tissue.KIDNEY))
    tissue[liver] = Tissue.LIVER
    for lesion in abdomen.lesions:
        tissue[(lesion.radius(at) < 1) & liver] = Tissue.LESION
    tissue[liver & (depth_in(abdomen.vessels, at) > 0)] = Tissue.VEIN
    tissue[within & (abdomen.gallbladder.radius(at) < 1)] = Tissue.BILE
    for name, tube in ((Tissue.VEIN, abdomen.cava), (Tissue.ARTERY, abdomen.aorta)):
        tissue[within & (tube.depth(at) > 0)] = name
    return liver, tissue


def _paint_trunk(tissue: npt.NDArray[np.uint8], abdomen: Abdomen, at: Positions) -> Mask:
    """Skin, fat, muscle, spine, lungs and bowel; returns where the inner organs may be."""
    row, column, slices = at
    a, b = abdomen.half

    def trunk(smaller_mm: float) -> Mask:
        oval = (row / (a - smaller_mm)) ** 2 + (column / (b - smaller_mm)) ** 2 < 1
        return np.broadcast_to(oval, tissue.shape)

    tissue[trunk(0)] = Tissue.FAT
    tissue[trunk(abdomen.fat_mm)] = Tissue.MUSCLE
    cavity = trunk(abdomen.fat_mm + MUSCLE_MM)
    tissue[cavity] = Tissue.FAT
    tissue[cavity & (slices < -15) & (row < 25) & (abdomen.loops(at) > 0)] = Tissue.BOWEL
    below_lung = [d.radius(at, grow_mm=5) < 1 for d in abdomen.domes]
    lung = cavity & (slices > 25) & ~below_lung[0] & ~below_lung[1] & (np.abs(column) > 12)
    tissue[lung] = Tissue.LUNG
    in_spine = np.broadcast_to(abdomen.spine.depth(at), tissue.shape)
    tissue[in_spine > 0] = Tissue.BONE
    start = abdomen.spine.start
    cord = (row - start[0] - 26) ** 2 + (column - start[1]) ** 2 < 8**2
    tissue[np.broadcast_to(cord, tissue.shape)] = Tissue.CORD
    return np.asarray(cavity & ~lung & (in_spine < -4))


def _liver(abdomen: Abdomen, at: Positions, allowed: Mask) -> Mask:
    """Both lobes in one piece; the lower surface rises towards the left, where other organs begin."""
    row, column, slices = at
    amplitude, nodes = abdomen.nodes
    surface = 1 + 0.06 * abdomen.bumps(at) + amplitude * nodes(at)
    found = (abdomen.lobes[0].radius(at) < surface) | (abdomen.lobes[1].radius(at) < surface)
    found = found & allowed & (slices > -78 + 0.5 * (column + 135) + 0.12 * row)
    found &= abdomen.gallbladder.radius(at, grow_mm=1.5) > 1
    for tube in (abdomen.cava, abdomen.aorta):
        found &= tube.depth(at) < -1
    return largest_piece(found)


def _draw_tree(rng: np.random.Generator, liver: Place) -> tuple[Tube, ...]:
    """Portal vein and hepatic veins with their branches; places are relative to the middle of the right lobe."""
    hilum, gate, top = (-2, 30, -12), (4, 62, -28), (8, 42, 52)
    branches = (
        (gate, hilum, 7.0, 6.0),
        (hilum, (6, -18, 12), 5.5, 3.0),
        (hilum, (14, -26, -32), 5.5, 3.0),
        (hilum, (-40, 58, 26), 5.0, 3.0),
        (top, (-4, -36, 24), 5.5, 3.0),
        (top, (-28, 4, 16), 5.5, 3.0),
        (top, (-42, 60, 34), 5.0, 3.0),
    )
    shaken = {p: place(np.add(liver, rng.normal(p, 3))) for b in branches for p in b[:2]}
    return tuple(Tube(shaken[a], shaken[b], r, end) for a, b, r, end in branches)


def _upright(rng: np.random.Generator, at: tuple[float, float], radius: float) -> Tube:
    return upright(rng.normal(at, 2), radius, half_mm=300.0)
