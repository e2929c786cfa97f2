"""How the vendors of LiQA scan an abdomen: seven MR phases, each on its own grid and in its own breath.

T1 is before the contrast agent, GED1 arterial, GED2 venous, GED3 delayed, GED4 hepatobiliary: then the liver is
brightest and its vessels are dark. T2 and the diffusion (DWI_800) have thick slices.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from nnunet_prompt.phantom.liver_anatomy import Tissue, draw_abdomen, paint_abdomen
from nnunet_prompt.phantom.scanner import (
    FloatArray,
    Shape,
    Site,
    Spacing,
    Volume,
    by_name,
    darker,
    draw_spacing,
    scan_to_file,
    scanner_affine,
    to_file_frame,
)

PHASES = ("T1", "T2", "DWI_800", "GED1", "GED2", "GED3", "GED4")
FOV_MM = {"A": (290, 345), "B1": (345, 345), "B2": (300, 350), "C": (320, 350)}
SLAB_MM = 182.0
# how much longer than those of GED4 the voxels of a phase are in its plane, and its thickness in mm
_GRIDS: Mapping[str, tuple[float, tuple[float, float] | None]] = MappingProxyType(
    {
        "T1": (1.25, None),
        "T2": (1.1, (6.0, 8.5)),
        "DWI_800": (1.4, (5.0, 8.0)),
        "GED1": (1.2, None),
        "GED2": (1.2, None),
        "GED3": (1.2, None),
        "GED4": (1.0, None),
    }
)
_BREATH_MM = (2.0, 2.0, 5.0)
# the signals of the tissues in T1, T2, DWI_800, GED1, GED2, GED3, GED4
_BASE: Mapping[Tissue, tuple[float, ...]] = MappingProxyType(
    {
        Tissue.AIR: (0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02),
        Tissue.FAT: (0.22, 0.42, 0.09, 0.22, 0.22, 0.22, 0.22),
        Tissue.MUSCLE: (0.34, 0.20, 0.13, 0.36, 0.40, 0.42, 0.38),
        Tissue.BONE: (0.30, 0.28, 0.14, 0.32, 0.38, 0.40, 0.36),
        Tissue.CORD: (0.14, 0.98, 0.24, 0.16, 0.18, 0.18, 0.16),
        Tissue.LUNG: (0.04, 0.05, 0.03, 0.06, 0.07, 0.06, 0.05),
        Tissue.LIVER: (0.50, 0.30, 0.28, 0.54, 0.70, 0.74, 0.90),
        Tissue.SPLEEN: (0.34, 0.60, 0.76, 0.72, 0.70, 0.58, 0.44),
        Tissue.KIDNEY: (0.36, 0.66, 0.52, 0.88, 0.88, 0.78, 0.62),
        Tissue.STOMACH: (0.22, 0.82, 0.20, 0.24, 0.24, 0.24, 0.24),
        Tissue.BOWEL: (0.32, 0.50, 0.36, 0.42, 0.48, 0.48, 0.44),
        Tissue.ARTERY: (0.18, 0.06, 0.05, 1.00, 0.78, 0.60, 0.40),
        Tissue.VEIN: (0.20, 0.10, 0.06, 0.38, 0.86, 0.62, 0.38),
        Tissue.BILE: (0.26, 0.95, 0.20, 0.26, 0.26, 0.28, 0.85),
        Tissue.LESION: (0.34, 0.58, 0.66, 0.66, 0.50, 0.46, 0.42),
    }
)


# by phase, of the tissues in their order
_SIGNALS = {phase: [_BASE[t][i] for t in Tissue] for i, phase in enumerate(PHASES)}
SITES = by_name(
    Site(
        "A",
        darker(_SIGNALS, 1.0),
        in_plane_mm=(2.8, 3.1),
        slice_mm=(5.0, 5.4),
        axes=(1, 0, 2),
        tilt_deg=0.5,
        noise=0.04,
        gain=1100,
    ),
    Site(
        "B1",
        darker(_SIGNALS, 0.85),
        in_plane_mm=(2.75, 2.95),
        slice_mm=(4.8, 5.1),
        axes=(1, 0, 2),
        flips=(True, True, False),
        tilt_deg=1.5,
        noise=0.05,
        gain=320,
    ),
    Site(
        "B2",
        darker(_SIGNALS, 1.15),
        in_plane_mm=(2.75, 2.95),
        slice_mm=(5.9, 6.2),
        axes=(1, 0, 2),
        flips=(False, True, False),
        tilt_deg=1.0,
        noise=0.065,
        bias=0.35,
        gain=240,
    ),
    Site(
        "C",
        darker(_SIGNALS, 0.75),
        in_plane_mm=(3.0, 3.3),
        slice_mm=(5.0, 6.0),
        axes=(1, 0, 2),
        flips=(False, False, True),
        tilt_deg=2.0,
        noise=0.06,
        gain=2400,
    ),
)


class LiverPatient:
    """A patient on the table of a vendor: one body and one place, scanned phase by phase."""

    def __init__(self, rng: np.random.Generator, vendor: str, *, stage: int) -> None:
        self._rng, self._site = rng, SITES[vendor]
        self._abdomen = draw_abdomen(rng, stage=stage)
        self._spacing = draw_spacing(rng, self._site)
        self._place = scanner_affine(rng, (1, 1, 1), (1.0, 1.0, 1.0), tilt_deg=self._site.tilt_deg)

    def scan(self, phase: str) -> tuple[Volume, Volume]:
        """The image of a phase and the mask of its liver (uint8) on its grid, in the file frame."""
        shape, spacing = self._grid(phase)
        breath = self._rng.normal(0, _BREATH_MM)
        shift = (float(breath[0]), float(breath[1]), float(breath[2]))
        liver, tissue = paint_abdomen(
            self._abdomen, shape=shape, spacing_mm=spacing, shift_mm=shift
        )
        affine = self._place @ _centred(shape, spacing)
        return (
            scan_to_file(self._rng, tissue, self._site, affine, sequence=phase),
            to_file_frame(liver.astype(np.uint8), affine, self._site),
        )

    def _grid(self, phase: str) -> tuple[Shape, Spacing]:
        factor, thick = _GRIDS[phase]
        in_plane = self._spacing[0] * factor
        slices = self._spacing[2] if thick is None else float(self._rng.uniform(*thick))
        rows, columns = (round(mm / in_plane) for mm in FOV_MM[self._site.name])
        return (rows, columns, round(SLAB_MM / slices)), (in_plane, in_plane, slices)


def _centred(shape: Shape, spacing_mm: Spacing) -> FloatArray:
    """From voxel indices to mm from the middle of a volume."""
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = -(np.array(shape) - 1) / 2 * spacing_mm
    return affine
