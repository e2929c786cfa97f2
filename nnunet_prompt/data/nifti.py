"""The one place that reads and writes NIfTI files.

Arrays are in the file frame: nibabel's axis order, exactly as stored, with nibabel's RAS+ affine. A trailing axis of
length one is dropped on reading and restored on writing; a flat image (H, W) is a volume of one slice (H, W, 1).
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from nnunet_prompt.errors import ImageError

ENDINGS = (".nii.gz", ".nii")
INTEGER_TOLERANCE = 1e-3  # a label further from an integer than this is no label
PARTIAL = ".partial-"  # begins the names of files that are being written
_DEFLATE_RATIO = 1032  # no deflate stream grows by more than this when it is unpacked
_UNREADABLE = (
    OSError,  # includes gzip.BadGzipFile
    EOFError,
    ValueError,
    ArithmeticError,
    TypeError,
    KeyError,
    zlib.error,
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
)


@dataclass(frozen=True, slots=True, eq=False)
class NiftiVolume:
    """One three-dimensional volume and where it lies.

    `array` is (X, Y, Z) in the file frame, float32 for images and int32 for labels; `affine` is 4x4, RAS+, mm;
    `file_shape` is the shape on disk (two to seven axes); `replaced` counts the voxels that were NaN or infinite on
    disk and are 0 here.
    """

    path: Path
    array: npt.NDArray[Any]
    affine: npt.NDArray[np.float64]
    header: Any
    file_shape: tuple[int, ...]
    replaced: int = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        x, y, z = self.array.shape
        return x, y, z

    @property
    def had_fourth_axis(self) -> bool:
        """Whether the file has axes of length one behind the third."""
        return len(self.file_shape) > 3

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along each axis of `array`, from the affine."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)


def read_nifti(path: Path | str, *, volume: int | None = None) -> NiftiVolume:
    """Reads an image as float32; NaN and infinite voxels become 0 and are counted in `replaced`.

    `volume` picks one volume of a four-dimensional file. Raises `ImageError` for a file that is missing, truncated,
    no NIfTI, not one three-dimensional volume of real numbers, larger than its file can hold, or without a usable
    affine. A single slice that states no thickness is taken as 1 mm thick.
    """
    path = Path(path)
    image, array, affine, file_shape = _load(path, volume, np.dtype(np.float32))
    finite = np.isfinite(array)
    replaced = int(array.size - np.count_nonzero(finite))
    if replaced:
        array = np.where(finite, array, np.float32(0))
    return NiftiVolume(path, array, affine, image.header, file_shape, replaced)


def read_label_volume(path: Path | str) -> NiftiVolume:
    """Reads a label map as int32 together with its geometry; raises like `read_nifti` and `read_labels`."""
    path = Path(path)
    image, array, affine, file_shape = _load(path, None, None)
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
    largest = np.iinfo(np.int32)
    if array.size and not (largest.min <= array.min() and array.max() <= largest.max):
        raise ImageError(
            f"{path}: label values must lie within 32 bits, found {array.min():g} to {array.max():g}"
        )
    return NiftiVolume(path, array.astype(np.int32), affine, image.header, file_shape)


def read_labels(path: Path | str) -> npt.NDArray[np.int32]:
    """The label map of a file, (X, Y, Z) in the file frame, rounded to integers.

    Raises `ImageError` like `read_nifti`, and when a value is further than 1e-3 from an integer.
    """
    return read_label_volume(path).array


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Where the voxels of a file lie, from its header: `shape` and `affine` as in `NiftiVolume`."""

    path: Path
    shape: tuple[int, int, int]
    affine: npt.NDArray[np.float64]
    file_shape: tuple[int, ...]
    dtype: str

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
    path = Path(path)
    image = _open(path)
    file_shape = tuple(map(int, image.shape))
    shape = _trim(file_shape)
    if len(shape) > 3:
        raise ImageError(f"{path}: expected one volume, found shape {file_shape}")
    x, y, z = (*shape, 1)[:3]
    with np.errstate(all="ignore"):
        affine = np.array(image.affine, dtype=np.float64)
    affine = _usable_affine(affine, one_slice=z == 1, path=path)
    return Grid(path, (x, y, z), affine, file_shape, str(image.get_data_dtype()))


def volume_count(path: Path | str) -> int:
    """How many volumes a file holds: 1, or the length of its fourth axis. Reads the header only."""
    path = Path(path)
    shape = _trim(_open(path).shape)
    if len(shape) > 4:
        raise ImageError(f"{path}: expected at most four axes, found shape {shape}")
    return int(shape[3]) if len(shape) == 4 else 1


def write_labels_like(path: Path | str, labels: npt.NDArray[Any], reference: NiftiVolume) -> None:
    """Writes integer labels (X, Y, Z) on the grid of `reference`, with its header and its number of axes.

    sform, qform, their codes, units, voxel sizes and extensions stay as they are; the type becomes the smallest
    unsigned integer that fits; scaling and display range are reset. The file appears under its name only when it is
    complete. Raises `ImageError` for another shape, for values that are no integers and for negative ones.
    """
    labels = np.asarray(labels)
    if labels.shape != reference.shape:
        raise ImageError(
            f"{path}: the labels have shape {labels.shape}, the image {reference.path} {reference.shape}"
        )
    if labels.dtype.kind not in "bui" or (labels.dtype.kind == "i" and labels.min(initial=0) < 0):
        raise ImageError(f"{path}: labels must be integers from 0 up, found type {labels.dtype}")
    dtype = np.min_scalar_type(int(labels.max(initial=0)))
    header = reference.header.copy()
    header.set_data_dtype(dtype)
    header["cal_min"], header["cal_max"] = 0, 0  # they were the display range of the image
    kind: Any = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    image = kind(labels.astype(dtype).reshape(reference.file_shape), None, header)
    image.header.set_slope_inter(1, 0)
    save_nifti(Path(path), image)


def save_nifti(path: Path, image: Any) -> None:
    """Saves a nibabel image so that `path` never names an incomplete file."""
    with replacing(path) as partial:
        image.to_filename(partial)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden name beside `path` to write to; it becomes `path` when the block ends well and is removed otherwise."""
    partial = path.with_name(f"{PARTIAL}{os.getpid()}-{path.name}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def is_nifti_name(name: str) -> bool:
    """Whether a file name ends like a NIfTI file and is no hidden or resource-fork file (`._case.nii.gz`)."""
    return name.lower().endswith(ENDINGS) and not name.startswith(".")


def _open(path: Path) -> Any:
    """The image with its header read and checked, its voxels still on disk."""
    if not path.is_file():
        raise ImageError(f"{path}: no such file")
    if not path.name.lower().endswith(ENDINGS):
        raise ImageError(f"{path}: expected a NIfTI file ending in .nii or .nii.gz")
    try:
        with np.errstate(all="ignore"):  # header fields that are NaN
            image: Any = nib.load(path, mmap=False)
            shape, dtype = tuple(map(int, image.shape)), image.get_data_dtype()
            offset = int(image.dataobj.offset)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    if not isinstance(image, (nib.Nifti1Image, nib.Nifti2Image)):
        raise ImageError(f"{path}: expected a NIfTI file, found {type(image).__name__}")
    if dtype.kind not in "uif":
        raise ImageError(f"{path}: expected one real number per voxel, found type {dtype}")
    if len(shape) < 2 or min(shape) < 1:
        raise ImageError(f"{path}: expected a volume, found shape {shape}")
    held = path.stat().st_size * (_DEFLATE_RATIO if path.name.lower().endswith(".gz") else 1)
    claimed = offset + math.prod(shape) * dtype.itemsize
    if claimed > held:
        raise ImageError(
            f"{path}: the header claims shape {shape}, {claimed} bytes, but the file can hold at most {held}:"
            " it is truncated or damaged"
        )
    return image


def _load(
    path: Path, volume: int | None, dtype: np.dtype[Any] | None
) -> tuple[Any, npt.NDArray[Any], npt.NDArray[np.float64], tuple[int, ...]]:
    """Image, voxels (three axes, scaled), affine and shape on disk. `dtype` None keeps the type of the values."""
    image = _open(path)
    file_shape = tuple(map(int, image.shape))
    shape = _trim(file_shape)
    picked = len(shape) == 4 and volume is not None and 0 <= volume < shape[3]
    if len(shape) > 3 and not picked:
        wanted = "one volume" if volume is None else f"a fourth axis that holds volume {volume}"
        raise ImageError(f"{path}: expected {wanted}, found shape {file_shape}")
    if len(shape) <= 3 and volume not in (None, 0):
        raise ImageError(f"{path}: expected volume {volume}, found one volume of shape {shape}")
    try:
        with np.errstate(all="ignore"):  # what overflows becomes infinite
            affine = np.array(image.affine, dtype=np.float64)
            proxy = image.dataobj[..., volume] if picked else image.dataobj
            array = np.asanyarray(proxy, dtype=dtype)
    except (*_UNREADABLE, MemoryError) as error:
        raise _unreadable(path, error) from error
    flat = shape[:3] + (1,) * (3 - len(shape[:3]))
    affine = _usable_affine(affine, one_slice=flat[2] == 1, path=path)
    return image, array.reshape(flat), affine, flat if picked else file_shape


def _trim(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape without the axes of length one behind the third."""
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return tuple(shape)


def _usable_affine(
    affine: npt.NDArray[np.float64], *, one_slice: bool, path: Path
) -> npt.NDArray[np.float64]:
    axes = affine[:3, :3]
    with np.errstate(all="ignore"):  # damaged headers hold numbers whose squares overflow
        normal = np.cross(axes[:, 0], axes[:, 1])
        if one_slice and not np.nan_to_num(axes[:, 2]).any() and normal.any():
            affine[:3, 2] = normal / np.linalg.norm(normal)
        lengths = np.linalg.norm(axes, axis=0)
    if not np.isfinite(affine).all() or not np.isfinite(lengths).all() or (lengths == 0).any():
        raise ImageError(
            f"{path}: the affine must be finite with no spacing of 0, found {affine.tolist()}: mend the header"
        )
    if abs(np.linalg.det(axes / lengths)) < 1e-6:
        raise ImageError(
            f"{path}: the affine is singular (two axes point the same way), found {affine.tolist()}: mend the header"
        )
    return affine


def _unreadable(path: Path, error: BaseException) -> ImageError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return ImageError(f"{path}: cannot be read as NIfTI ({reason})")
