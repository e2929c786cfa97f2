"""The one place that reads and writes NIfTI files.

Arrays are in the file frame: nibabel's axis order, exactly as stored, with a RAS+ affine. Where a header contradicts
itself the affine is what nnU-Net's reader takes (`nifti_geometry`). A trailing axis of length one is dropped on
reading and restored on writing; a flat image (H, W) is a volume of one slice (H, W, 1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.arguments import as_path, shown, whole_number
from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.io.atomic import save_nifti
from nnunet_prompt.io.guard import check_targets
from nnunet_prompt.io.nifti_file import (
    ENDINGS,
    EXACT,
    Content,
    geometry_of,
    is_exact,
    load,
    open_checked,
    trim,
)
from nnunet_prompt.io.verbatim import verbatim_image

INTEGER_TOLERANCE = 1e-3  # a label further from an integer than this is no label


@dataclass(frozen=True, slots=True, eq=False)
class NiftiVolume:
    """One three-dimensional volume and where it lies.

    `array` is (X, Y, Z) in the file frame, float32 for images and int32 for labels (or narrower integers, where a
    function states it); `affine` is 4x4, RAS+, mm; `file_shape` is the shape on disk (two to seven axes); `replaced`
    counts the voxels that were NaN or infinite on disk and are 0 here; `notes` states in a line each what the header
    contradicts, and what had to be done to a damaged file (`io.repair.read_mended`; the other readers refuse it).
    """

    path: Path
    array: npt.NDArray[Any]
    affine: npt.NDArray[np.float64]
    header: Any
    file_shape: tuple[int, ...]
    replaced: int = 0
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        x, y, z = self.array.shape
        return x, y, z

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along each axis of `array`, from the affine."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    def remarks(self) -> list[str]:
        """A line on each of `notes` and on the voxels that were replaced, with the name of the file."""
        lines = [f"{self.path}: {note}" for note in self.notes]
        if self.replaced:
            lines.append(f"{self.path}: {self.replaced} voxels are not finite and taken as 0")
        return lines

    def without_voxels(self) -> NiftiVolume:
        """The same grid and header with zeros that take no memory."""
        return replace(self, array=np.broadcast_to(np.float32(0), self.shape))


def read_nifti(path: Path | str, *, volume: int | None = None) -> NiftiVolume:
    """Reads an image as float32; NaN and infinite voxels become 0 and are counted in `replaced`.

    `volume` picks one volume of a four-dimensional file. Raises `ImageError` for a file that is missing, truncated,
    no NIfTI, not one three-dimensional volume of real numbers, larger than its file can hold, or without a usable
    affine. A single slice that states no thickness is taken as 1 mm thick.
    """
    stored = read_stored(path, volume=volume)
    return replace(stored, array=stored.array.astype(np.float32, copy=False))


def read_stored(path: Path | str, *, volume: int | None = None) -> NiftiVolume:
    """As `read_nifti`, but integers of at most 16 bits that the header does not scale stay what they are.

    They are the same numbers as in float32, take less memory, and cannot be infinite. The array may be read-only.
    """
    path = as_path("path", path)
    if volume is not None:
        volume = whole_number("volume", volume, lowest=-1, example=0)
    found = load(path, volume, np.dtype(np.float32))
    array, replaced = found.array, 0
    if array.dtype.kind == "f":
        finite = np.isfinite(array)
        replaced = int(array.size - np.count_nonzero(finite))
        array = np.where(finite, array, np.float32(0)) if replaced else array
    return _volume(path, array, found, replaced)


def count_not_finite(path: Path | str) -> int:
    """The voxels of a volume that are NaN or infinite, read only where their type can be; raises like `read_nifti`."""
    return 0 if is_exact(open_checked(as_path("path", path))) else read_stored(path).replaced


def read_label_volume(path: Path | str) -> NiftiVolume:
    """Reads a label map as int32 together with its geometry; raises like `read_nifti` and `read_labels`."""
    stored = read_stored_labels(path)
    return replace(stored, array=stored.array.astype(np.int32, copy=False))


def read_stored_labels(path: Path | str) -> NiftiVolume:
    """As `read_label_volume`, but integers of at most 16 bits that the header does not scale stay what they are.

    The array may be read-only.
    """
    path = as_path("path", path)
    found = load(path, None, None)
    array = found.array
    if array.dtype.kind == "f":
        rounded = np.rint(array)
        with np.errstate(invalid="ignore"):  # infinity minus infinity is no integer either
            off = ~(np.abs(array - rounded) <= INTEGER_TOLERANCE)
        if off.any():
            raise ImageError(
                f"{path}: label values must be integers, found {array[off].flat[0]:g}:"
                " give a label map, not an image or a probability map"
            )
        array = rounded
    if array.dtype.str[1:] not in EXACT:
        largest = np.iinfo(np.int32)
        if array.size and not (largest.min <= array.min() and array.max() <= largest.max):
            raise ImageError(
                f"{path}: label values must lie within 32 bits, found {array.min():g} to {array.max():g}"
            )
        array = array.astype(np.int32)
    return _volume(path, array, found, 0)


def read_labels(path: Path | str) -> npt.NDArray[np.int32]:
    """The label map of a file, (X, Y, Z) in the file frame, rounded to integers.

    Raises `ImageError` like `read_nifti`, and when a value is further than 1e-3 from an integer.
    """
    return read_label_volume(path).array


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Where the voxels of a file lie, from its header: `shape`, `affine` and `notes` as in `NiftiVolume`."""

    path: Path
    shape: tuple[int, int, int]
    affine: npt.NDArray[np.float64]
    file_shape: tuple[int, ...]
    dtype: str
    notes: tuple[str, ...] = ()

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along each axis."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def axes(self) -> str:
        """nibabel's closest axis codes, such as "LPS"."""
        return "".join(nib.aff2axcodes(self.affine))


def read_grid(path: Path | str) -> Grid:
    """Reads the header only; raises `ImageError` like `read_nifti`."""
    path = as_path("path", path)
    image = open_checked(path)
    file_shape = tuple(map(int, image.shape))
    shape = trim(file_shape)
    if len(shape) > 3:
        raise ImageError(f"{path}: expected one volume, found shape {file_shape}")
    x, y, z = (*shape, 1)[:3]
    taken = geometry_of(path, image)
    dtype = str(image.get_data_dtype())
    return Grid(path, (x, y, z), taken.affine, file_shape, dtype, taken.notes)


def volume_count(path: Path | str) -> int:
    """How many volumes a file holds: 1, or the length of its fourth axis. Reads the header only."""
    path = as_path("path", path)
    shape = trim(open_checked(path).shape)
    if len(shape) > 4:
        raise ImageError(f"{path}: expected at most four axes, found shape {shape}")
    return int(shape[3]) if len(shape) == 4 else 1


def write_labels_like(path: Path | str, labels: npt.NDArray[Any], reference: NiftiVolume) -> None:
    """Writes integer labels (X, Y, Z) on the grid of `reference`, with its header and its number of axes.

    sform, qform, their codes, units, voxel sizes and extensions stay as they are; the type becomes the smallest
    unsigned integer that fits; scaling and display range are reset. The file appears under its name only when it is
    complete. Raises `ImageError` for another shape, for values that are no integers and for negative ones, and
    `OutputError` where `path` is the file of `reference`: a mask never takes the place of its image.
    """
    path = as_path("path", path)
    if isinstance(reference, NiftiVolume):
        check_targets([path], [reference.path], option="another path")
    labels = np.asarray(labels)
    if not isinstance(reference, NiftiVolume) or reference.header is None:
        raise ImageError(
            f"{path}: expected a NiftiVolume as reference, such as read_nifti('case.nii.gz'), found {shown(reference)}"
        )
    if labels.shape != reference.shape:
        raise ImageError(
            f"{path}: the labels have shape {labels.shape}, the image {reference.path} {reference.shape}"
        )
    if labels.dtype.kind not in "bui" or (labels.dtype.kind == "i" and labels.min(initial=0) < 0):
        raise ImageError(f"{path}: labels must be integers from 0 up, found type {labels.dtype}")
    dtype = np.min_scalar_type(int(labels.max(initial=0)))
    image = verbatim_image(
        labels.astype(dtype, copy=False).reshape(reference.file_shape), reference.header
    )
    image.header["cal_min"], image.header["cal_max"] = 0, 0  # the display range of the image
    image.header.set_slope_inter(1, 0)
    save_nifti(Path(path), image, labels=True)


def _volume(path: Path, array: npt.NDArray[Any], found: Content, replaced: int) -> NiftiVolume:
    taken = found.taken
    shape = found.file_shape
    return NiftiVolume(path, array, taken.affine, found.header, shape, replaced, taken.notes)


def is_nifti_name(name: str) -> bool:
    """Whether a file name ends like a NIfTI file and is no hidden or resource-fork file (`._case.nii.gz`)."""
    return name.lower().endswith(ENDINGS) and not name.startswith(".")
