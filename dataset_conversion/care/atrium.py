"""The peculiarities of LAScarQS: two masks of one case, and wrong spacings in headers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nnunet_prompt.data.care_labels import la_labels
from nnunet_prompt.data.case import values_in
from nnunet_prompt.data.grids import OnGrid
from nnunet_prompt.io.nifti import INTEGER_TOLERANCE, Grid, NiftiVolume, read_grid, read_stored

IN_PLANE_MM, SLICE_MM, SLICES_OF_HALF = 0.625, 2.5, 88
SPACING_TOLERANCE = 0.01
Spacing = tuple[float, float, float]


def documented_spacing(shape: Sequence[int]) -> Spacing:
    """The spacing in mm that a volume of this shape should have: 0.625 in the plane, 2.5 across (1.25 for 88 slices).

    The shortest axis runs through the slices: the header, which could show as well, is what is in doubt.
    """
    across = min(range(3), key=lambda axis: shape[axis])
    thick = SLICE_MM / 2 if shape[across] == SLICES_OF_HALF else SLICE_MM
    x, y, z = (thick if axis == across else IN_PLANE_MM for axis in range(3))
    return x, y, z


def spacing_is_off(grid: Grid) -> bool:
    """Whether any spacing is more than one percent from the documented one."""
    share = np.asarray(grid.spacing_mm) / documented_spacing(grid.shape)
    return bool((np.abs(share - 1) > SPACING_TOLERANCE).any())


def spacing_note(grid: Grid, *, mend: bool) -> str:
    """The note on a spacing that is off, and its correction."""
    found, wanted = (
        " x ".join(f"{s:g}" for s in spacing)
        for spacing in (np.round(grid.spacing_mm, 4), documented_spacing(grid.shape))
    )
    if mend:
        return f"the spacing is {found} mm and becomes {wanted} mm"
    return f"the spacing is {found} mm, expected {wanted} mm: kept as it is (--fix-spacing corrects it)"


def with_spacing(
    affine: npt.NDArray[np.float64], spacing_mm: Spacing | None
) -> npt.NDArray[np.float64]:
    """The affine with other spacings; directions and the place of the first voxel stay. None changes nothing."""
    mended = affine.copy()
    if spacing_mm is not None:
        mended[:3, :3] *= np.asarray(spacing_mm) / np.linalg.norm(affine[:3, :3], axis=0)
    return mended


@dataclass(frozen=True, slots=True)
class MaskAudit:
    """The values of a mask above 0, rounded up to integers, and lines for the user."""

    values: frozenset[int]
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def audit_mask(
    path: Path, name: str, *, must_hold: bool, unknown_to_background: bool = False
) -> MaskAudit:
    """Checks a mask that is read as `> 0`, whatever number stands for it. Raises `ImageError` when it is unreadable.

    Several numbers and voxels that are not finite are worth a note, and so is an empty mask unless it `must_hold`
    something; numbers below 0 are a problem, or a note if `unknown_to_background`.
    """
    volume = read_stored(path)
    voxels = volume.array.ravel(order="K")  # in the order of the memory, so that nothing is copied
    whole = voxels.dtype.kind in "iu"
    values = np.array(values_in(voxels)) if whole else np.unique(voxels[voxels > 0])
    above = values[values > 0]
    notes: list[str] = []
    problems: list[str] = []
    if volume.replaced:
        notes.append(f"{name}: {volume.replaced} voxels are not finite and count as background")
    if above.size > 1:
        # all digits: 419.9997 and 420 must not both read 420
        span = " to ".join(np.format_float_positional(v, trim="-") for v in above[[0, -1]])
        notes.append(f"{name} holds {above.size} values from {span}: all of them count")
    if not above.size:
        (problems if must_hold else notes).append(f"{name} is empty")
    lowest = float(voxels.min())
    if lowest < 0 and unknown_to_background:
        notes.append(f"{name}: values below 0 become background")
    elif lowest < 0:
        problems.append(
            f"{name} holds the value {lowest:g}, expected none below 0:"
            " look at it, or use --unknown-to-background"
        )
    rounded = frozenset(int(np.ceil(v - INTEGER_TOLERANCE)) for v in above)
    return MaskAudit(rounded, tuple(notes), tuple(problems))


@dataclass(frozen=True, slots=True)
class MendedImage:
    """An image whose header gets another spacing when it is loaded: a `Source`."""

    path: Path
    spacing_mm: Spacing

    def load(self) -> NiftiVolume:
        """The image; raises `ImageError` when it cannot be read."""
        volume = read_stored(self.path)
        return replace(volume, affine=with_spacing(volume.affine, self.spacing_mm))


@dataclass(frozen=True, slots=True)
class AtriumLabels:
    """The label map of a left atrium, made of its masks on the grid of its image: a `Source`.

    Masks are what is above 0; `scar` is None where scar was not annotated. `spacing_mm` repairs the header.
    """

    image: Path
    cavity: Path
    scar: Path | None
    spacing_mm: Spacing | None = None

    def load(self) -> NiftiVolume:
        """The labels of `table_for("lascarqs")`; raises `ImageError` when a file cannot be read."""
        cavity = OnGrid(self.cavity, self.image, "mask").load()
        scar = None if self.scar is None else OnGrid(self.scar, self.image, "mask").load().array > 0
        labels = la_labels(cavity.array > 0, scar)
        affine = with_spacing(read_grid(self.image).affine, self.spacing_mm)
        return replace(cavity, array=labels, affine=affine)
