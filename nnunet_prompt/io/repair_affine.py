"""Where the voxels of a file may lie whose header does not state it, or states what cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.io.nifti_file import usable_affine
from nnunet_prompt.io.nifti_geometry import Taken, corrected, taken_geometry, without_unit

SPACING_MM = (0.01, 200.0)  # no image of a body has other voxels
FARTHEST_MM = 1e6
Affine = npt.NDArray[np.float64]


def mended_affine(header: Any, *, shape: tuple[int, int, int], path: Path) -> Taken:
    """The result of `taken_geometry`, or the nearest affine that voxels can have, with a note of what was done.

    Numbers in a unit that gives sizes that no image has are taken as mm. Of sform and qform the better one is taken;
    else the good axes of the sform; else the axes L, P, S with the sizes of pixdim, as nnU-Net's reader has it for a
    header that states neither. Sizes that no image has become those of pixdim, else 1 mm. A single slice without
    thickness is 1 mm thick, which is no damage. `header` is not changed.
    """
    one_slice = shape[2] == 1
    with np.errstate(all="ignore"):
        taken = _taken(header, shape, path)
        whole = _usable(taken.affine.copy(), one_slice, path)
        if whole is not None:
            return Taken(whole, taken.notes)
        stated = taken.affine
        in_mm = _taken(without_unit(header), shape, path)
        found = _usable(in_mm.affine.copy(), one_slice, path)
        if found is not None:
            return Taken(found, (_note(stated, found),))
        usable = (_usable(candidate, one_slice, path) for candidate in _candidates(header))
        found = next((affine for affine in usable if affine is not None), None)
        if found is None:
            found = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.diag([*_sizes(header), 1.0])
        return Taken(found, (_note(stated, found),))


def plausible(affine: Affine) -> bool:
    """Whether voxels of a body can have this size and place."""
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
    return bool(_sane(lengths).all() and (np.abs(affine[:3, 3]) <= FARTHEST_MM).all())


def _taken(header: Any, shape: tuple[int, int, int], path: Path) -> Taken:
    try:
        return taken_geometry(header, shape, path)
    except ImageError:  # SimpleITK cannot be asked
        return Taken(np.full((4, 4), np.nan))


def _note(stated: Affine, found: Affine) -> str:
    spacing = tuple(float(f"{s:.6g}") for s in np.linalg.norm(found[:3, :3], axis=0))
    axes = "".join(nib.aff2axcodes(found))
    return (
        f"no image can have the affine {stated[:3].tolist()}: taken instead are the axes {axes},"
        f" spacing {spacing} mm"
    )


def _sane(lengths: Affine) -> npt.NDArray[np.bool_]:
    return (lengths >= SPACING_MM[0]) & (lengths <= SPACING_MM[1])


def _sizes(header: Any) -> Affine:
    """The voxel sizes of a header, 1 mm for what is none."""
    sizes = np.abs(np.array(header["pixdim"][1:4], np.float64))
    return np.where(_sane(sizes), sizes, 1.0)


def _candidates(header: Any) -> list[Affine]:
    """Candidates for the affine from the two transforms of a header, the better one first; some may be of no use."""
    header, sizes = corrected(header), _sizes(header)
    header["pixdim"][1:4] = sizes
    stated, completed = [], []
    if int(header["sform_code"]) > 0:
        sform = np.array(header.get_sform(), np.float64)
        completed = [_completed(sform, sizes)]
    if int(header["qform_code"]) > 0:
        try:
            stated = [_placed(np.array(header.get_qform(), np.float64))]
        except (ValueError, ArithmeticError):
            pass
    return [*stated, *completed]  # a whole qform states more than half an sform


def _completed(sform: Affine, sizes: Affine) -> Affine:
    """Axes of a bad length get that of `sizes`; a single bad axis stands square on the other two."""
    affine = _placed(sform)
    scale = np.abs(affine[:3, :3]).max(axis=0)
    units = affine[:3, :3] / scale  # so that no square overflows
    norms = np.linalg.norm(units, axis=0)
    units, lengths = units / norms, norms * scale
    good = np.isfinite(units).all(axis=0)
    if np.count_nonzero(good) == 2:
        (bad,) = np.flatnonzero(~good)
        normal = np.cross(units[:, bad - 2], units[:, bad - 1])
        units[:, bad] = normal / np.linalg.norm(normal)
    affine[:3, :3] = units * np.where(good & _sane(lengths), lengths, sizes)
    return affine


def _placed(affine: Affine) -> Affine:
    """The affine, with an origin that is none at 0."""
    affine = affine.copy()
    known = np.abs(affine[:3, 3]) <= FARTHEST_MM
    affine[:3, 3] = np.where(known, affine[:3, 3], 0)
    return affine


def _usable(affine: Affine, one_slice: bool, path: Path) -> Affine | None:
    try:
        affine = usable_affine(affine, one_slice=one_slice, path=path)
    except ImageError:
        return None
    return affine if plausible(affine) else None
