"""Image files that SimpleITK reads and writes: NRRD, MetaImage, GIPL, and DICOM.

Arrays are in the file frame, as for NIfTI: (X, Y, Z), the first axis is ITK's first index, which changes fastest on
disk. Affines are RAS+; ITK itself counts in LPS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.io.atomic import replacing
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.io.nifti_header import check_is_file

ENDINGS = (".nrrd", ".nhdr", ".mha", ".mhd", ".gipl", ".dcm")
EXACT = ("i1", "u1", "i2", "u2")  # integers that float32 holds exactly and that take less
FLAT_THICKNESS = 999  # nnU-Net: a flat image is so many times thicker than its pixels are wide
_LPS = np.diag([-1.0, -1.0, 1.0])
_GIPL_HEADER = 256  # bytes before the voxels, which are never compressed
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ItkGrid:
    """Where the voxels of an ITK image lie: mm and LPS, two or three numbers per field, the direction row by row."""

    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]

    @property
    def affine(self) -> npt.NDArray[np.float64]:
        """4x4, RAS+, mm; a flat image gets the thickness that nnU-Net gives it."""
        n = len(self.spacing)
        axes, origin = np.eye(3), np.zeros(3)
        axes[:n, :n] = np.reshape(self.direction, (n, n))
        origin[:n] = self.origin
        lengths = [*self.spacing, FLAT_THICKNESS * max(self.spacing)][:3]
        affine = np.eye(4)
        affine[:3, :3] = _LPS @ axes * np.array(lengths)
        affine[:3, 3] = _LPS @ origin
        return affine


def read_itk(path: Path) -> tuple[NiftiVolume, ...]:
    """The channels of a file: one, or as many as its fourth axis has. Raises `ImageError`."""
    import SimpleITK as sitk

    check_is_file(path)
    image = run_itk(path, lambda: sitk.ReadImage(str(path)))
    _check_gipl(path, image)
    return volumes_of(path, image)


def volumes_of(path: Path, image: Any) -> tuple[NiftiVolume, ...]:
    """The channels of a SimpleITK image that `path` stands for; NaN and infinite voxels are 0 and counted.

    Integers of at most 16 bits keep their type, all else is float32. Raises `ImageError` for what is not one real
    number per voxel along two to four axes, and for a grid that no voxels can have.
    """
    import SimpleITK as sitk

    axes = int(image.GetDimension())
    array = sitk.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() != 1 or array.dtype.kind not in "uif":
        raise ImageError(
            f"{path}: expected one real number per voxel, found {image.GetPixelIDTypeAsString()}"
        )
    if not 2 <= axes <= 4:
        raise ImageError(f"{path}: expected two to four axes, found {axes}")
    n = min(axes, 3)
    direction = np.reshape(image.GetDirection(), (axes, axes))[:n, :n]
    grid = ItkGrid(
        tuple(image.GetSpacing()[:n]), tuple(image.GetOrigin()[:n]), tuple(direction.ravel())
    )
    if not np.isfinite(grid.affine).all() or abs(np.linalg.det(direction)) < 1e-6:
        raise ImageError(
            f"{path}: spacing, origin and direction give no usable grid, found {grid}: repair the header"
        )
    channels = array if axes == 4 else array[None]  # (T, Z, Y, X) or (1, Y, X)
    channels = channels[:, None] if axes == 2 else channels
    return tuple(_volume(path, channel, grid) for channel in channels)


def write_itk_labels(path: Path, labels: npt.NDArray[Any], grid: ItkGrid) -> None:
    """Writes integer labels (X, Y, Z) on a grid, in the format that the ending of `path` names.

    The file appears under its name only when it is complete. Raises `ImageError` where the format has no type for them.
    """
    import SimpleITK as sitk

    array = np.ascontiguousarray(labels.T)  # (Z, Y, X)
    image = sitk.GetImageFromArray(array[0] if len(grid.spacing) == 2 else array)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)

    def write() -> None:
        with replacing(path) as partial:  # it distinguishes a full disc from what ITK cannot write
            sitk.WriteImage(image, str(partial), True)

    run_itk(path, write, verb="written")


def run_itk(path: Path, action: Callable[[], Result], *, verb: str = "read") -> Result:
    """Calls `action`; an error of SimpleITK, in several lines, becomes an `ImageError` of one."""
    try:
        return action()
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = lines[-1].replace("sitk::ERROR:", "").strip() if lines else "no reason given"
        raise ImageError(f"{path}: cannot be {verb} by SimpleITK ({said})") from None


def _volume(path: Path, array: npt.NDArray[Any], grid: ItkGrid) -> NiftiVolume:
    exact = array.dtype.str[1:] in EXACT
    array, replaced = (array, 0) if exact else finite(array.astype(np.float32))
    array = array.T  # (X, Y, Z)
    return NiftiVolume(path, array, grid.affine, grid, array.shape[: len(grid.spacing)], replaced)


def finite(array: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], int]:
    """The array with 0 for what is NaN or infinite, and how many voxels that are."""
    good = np.isfinite(array)
    bad = int(array.size - np.count_nonzero(good))
    return (np.where(good, array, np.float32(0)) if bad else array), bad


def _check_gipl(path: Path, image: Any) -> None:
    """ITK reads a GIPL file that ends too early as if it continued."""
    if not path.name.lower().endswith(".gipl"):
        return
    needed = _GIPL_HEADER + image.GetNumberOfPixels() * image.GetSizeOfPixelComponent()
    found = path.stat().st_size
    if found < needed:
        raise ImageError(f"{path}: expected {needed} bytes, found {found}: it is truncated")
