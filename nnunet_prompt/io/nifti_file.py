"""How a NIfTI file is opened, and what must be right about it before its voxels are touched.

`nifti` is what everybody else uses.
"""

from __future__ import annotations

import logging
import math
import threading
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import ImageError, system_reason
from nnunet_prompt.io.atomic import PACKED, unpack
from nnunet_prompt.io.nifti_geometry import Taken, restore_fields, taken_geometry
from nnunet_prompt.io.nifti_header import check_end, check_extensions, check_is_file

ENDINGS = (".nii.gz", ".nii")
EXACT = ("i1", "u1", "i2", "u2")  # integers that float32 holds exactly and that take less
_DEFLATE_RATIO = 1032  # no deflate stream grows by more than this when it is unpacked
UNREADABLE = (
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


class _Quiet(logging.Filter):
    """Silences nibabel in the thread that has entered it, for what it reports of a header has no name of a file."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = threading.local()
        logging.getLogger("nibabel.global").addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is printed."""
        return not getattr(self.inside, "here", False)

    def __enter__(self) -> None:
        self.inside.here = True

    def __exit__(self, *_: object) -> None:
        self.inside.here = False


_QUIET = _Quiet()


def open_checked(path: Path) -> Any:
    """The image with its header read and checked, its voxels still on disk; raises `ImageError`.

    What the header states of where voxels lie is as it is on disk, and `image.affine` is not to be trusted.
    """
    check_is_file(path)
    if not path.name.lower().endswith(ENDINGS):
        raise ImageError(f"{path}: expected a NIfTI file ending in .nii or .nii.gz")
    stored = check_extensions(path)
    try:
        with np.errstate(all="ignore"), _QUIET:  # header fields that are NaN
            image: Any = nib.load(path, mmap=False)
            shape, dtype = tuple(map(int, image.shape)), image.get_data_dtype()
            offset = int(image.dataobj.offset)
    except UNREADABLE as error:
        raise _unreadable(path, error) from error
    if not isinstance(image, (nib.Nifti1Image, nib.Nifti2Image)):
        raise ImageError(f"{path}: expected a NIfTI file, found {type(image).__name__}")
    check_type(path, dtype)
    if len(shape) < 2 or min(shape) < 1:
        raise ImageError(f"{path}: expected a volume, found shape {shape}")
    held = path.stat().st_size * (_DEFLATE_RATIO if path.name.lower().endswith(PACKED) else 1)
    claimed = offset + math.prod(shape) * dtype.itemsize
    if claimed > held:
        raise ImageError(
            f"{path}: the header claims shape {shape}, {claimed} bytes, but the file can hold at most {held}:"
            " it is truncated or damaged"
        )
    if stored is not None:
        restore_fields(image.header, stored)
    return image


def geometry_of(path: Path, image: Any) -> Taken:
    """Where the voxels of an image of `open_checked` lie; raises `ImageError` for an affine that no voxels can have."""
    x, y, z = (*map(int, image.shape[:3]), 1)[:3]
    taken = taken_geometry(image.header, (x, y, z), path)
    return replace(taken, affine=usable_affine(taken.affine, one_slice=z == 1, path=path))


def check_type(path: Path, dtype: np.dtype[Any]) -> None:
    """Raises `ImageError` for colours and complex numbers."""
    if dtype.kind not in "uif":
        raise ImageError(f"{path}: expected one real number per voxel, found type {dtype}")


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """The content of a file: voxels (three axes, scaled, perhaps read-only), where they lie, and the shape on disk."""

    array: npt.NDArray[Any]
    taken: Taken
    header: Any
    file_shape: tuple[int, ...]


def load(path: Path, volume: int | None, dtype: np.dtype[Any] | None) -> Content:
    """Reads a file; raises `ImageError`.

    `dtype` None keeps the type of the values, and narrow integers that are not scaled keep it in any case.
    """
    image = open_checked(path)
    file_shape = tuple(map(int, image.shape))
    shape = trim(file_shape)
    picked = len(shape) == 4 and volume is not None and 0 <= volume < shape[3]
    if len(shape) > 3 and not picked:
        wanted = "one volume" if volume is None else f"a fourth axis that holds volume {volume}"
        raise ImageError(f"{path}: expected {wanted}, found shape {file_shape}")
    if len(shape) <= 3 and volume not in (None, 0):
        raise ImageError(f"{path}: expected volume {volume}, found one volume of shape {shape}")
    try:
        with np.errstate(all="ignore"), _QUIET:  # what overflows becomes infinite
            voxels = _voxels(path, image)
            dtype = None if is_exact(image) else dtype
            array = np.asanyarray(voxels[..., volume] if picked else voxels, dtype=dtype)
    except (*UNREADABLE, MemoryError) as error:
        raise _unreadable(path, error) from error
    flat = shape[:3] + (1,) * (3 - len(shape[:3]))
    taken = geometry_of(path, image)
    array = array.astype(array.dtype.newbyteorder("="), copy=False).reshape(flat)
    return Content(array, taken, image.header, flat if picked else file_shape)


def is_exact(image: Any) -> bool:
    """Whether the voxels are narrow integers that the header does not scale."""
    plain = (image.dataobj.slope, image.dataobj.inter) == (1, 0)
    return plain and image.get_data_dtype().str[1:] in EXACT


def _voxels(path: Path, image: Any) -> Any:
    """An array, or what becomes one: unpacked in one go where that works, since nibabel does it in small pieces.

    Raises `OSError` where the end of the compressed file is damaged.
    """
    if not path.name.lower().endswith(PACKED):
        return image.dataobj
    dtype, count, offset = image.get_data_dtype(), math.prod(image.shape), int(image.dataobj.offset)
    size = offset + count * dtype.itemsize
    content = unpack(path, size)
    if content is None:
        check_end(path, size)
        return image.dataobj
    if is_exact(image):
        return np.frombuffer(content, dtype, count, offset).reshape(image.shape, order="F")
    return type(image).from_bytes(content).dataobj


def trim(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape without the axes of length one behind the third."""
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return tuple(shape)


def usable_affine(
    affine: npt.NDArray[np.float64], *, one_slice: bool, path: Path
) -> npt.NDArray[np.float64]:
    """The affine, a slice without thickness repaired; raises `ImageError` for one that no voxels can have."""
    axes = affine[:3, :3]
    with np.errstate(all="ignore"):  # damaged headers hold numbers whose squares overflow
        normal = np.cross(axes[:, 0], axes[:, 1])
        if one_slice and not np.nan_to_num(axes[:, 2]).any() and normal.any():
            affine[:3, 2] = normal / np.linalg.norm(normal)
        lengths = np.linalg.norm(axes, axis=0)
    if not np.isfinite(affine).all() or not np.isfinite(lengths).all() or (lengths == 0).any():
        raise ImageError(
            f"{path}: the affine must be finite with no spacing of 0, found {affine.tolist()}: correct the header"
        )
    if abs(np.linalg.det(axes / lengths)) < 1e-6:
        raise ImageError(
            f"{path}: the affine is singular (two axes point the same way), found {affine.tolist()}: correct the header"
        )
    return affine


def first_line(error: BaseException) -> str:
    """The message of an error in one line; its type if there is no message."""
    return " ".join(str(error).split()) or type(error).__name__


def _unreadable(path: Path, error: BaseException) -> ImageError:
    reason = system_reason(error)
    if reason is not None:  # the disc, not the file
        return ImageError(f"{path}: cannot be read: {reason}")
    return ImageError(f"{path}: cannot be read as NIfTI ({first_line(error)})")
