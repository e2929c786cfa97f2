"""Images that have to be answered, whatever is wrong with their files.

A damaged file should be repaired by who owns it, and `read_nifti` refuses it. Where there is nobody to ask, these
readers take the voxels that are there and what is left of the geometry, and report in `notes` what they did:

    an affine that is not finite, singular, without spacing or     `mended_affine` finds the nearest one
    with one that no image has
    a unit in which the voxels have a size that no image has       the numbers are mm
    several volumes                                                the first of them
    a bad check sum, extensions, magic, ending of the name         the voxels all the same
"""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.io.nifti import NiftiVolume, read_nifti
from nnunet_prompt.io.nifti_file import UNREADABLE, check_type, first_line, trim
from nnunet_prompt.io.nifti_geometry import corrected, without_unit
from nnunet_prompt.io.nifti_header import MAX_EXTENSIONS, bare_header, first_bytes
from nnunet_prompt.io.repair_affine import mended_affine, plausible

MAX_VOXELS = 2**29  # a header that claims more is damaged


def read_mended(path: Path | str, *, max_voxels: int = MAX_VOXELS) -> NiftiVolume:
    """As `read_nifti` for a file that it reads; else what can be saved of it, and in `notes` what was done.

    The header of a file that has to be saved is without its extensions. Raises `ImageError` if there are no voxels to
    be had: the file is missing, truncated, without one real number per voxel, or claims none or over `max_voxels`.
    """
    path = Path(path)
    empty = read_mended_grid(path, max_voxels=max_voxels)  # before anything is allocated
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of nibabel, about extensions
            volume = read_nifti(path)
    except Exception as error:  # a damaged header can raise anything
        refusal = first_line(error)
    else:
        return mended_place(volume)
    array, notes = _voxels(path, empty)
    notes = (*empty.notes, *notes) or (f"taken all the same, though {refusal}",)
    finite = np.isfinite(array)
    replaced = int(array.size - np.count_nonzero(finite))
    array = np.where(finite, array, np.float32(0)) if replaced else array
    return replace(empty, array=array, replaced=replaced, notes=notes)


def mended_place(volume: NiftiVolume) -> NiftiVolume:
    """A volume that was read, with the affine and the notes of `read_mended_grid` if no body can have its own."""
    if plausible(volume.affine):
        return volume
    grid = read_mended_grid(volume.path, max_voxels=max(MAX_VOXELS, volume.array.size))
    return replace(volume, affine=grid.affine, notes=grid.notes)


def read_mended_grid(path: Path | str, *, max_voxels: int = MAX_VOXELS) -> NiftiVolume:
    """The grid of a file of which only the header is read: a volume of zeros that takes no memory.

    Of several volumes it is the grid of the first. Raises `ImageError` if the header cannot be read, or is not that of
    1 to `max_voxels` voxels.
    """
    path = Path(path)
    header = bare_header(path)
    stated = tuple(map(int, header.get_data_shape()))
    stated = (
        *stated[:3],
        *(max(n, 1) for n in stated[3:]),
    )  # 0 is how some write an axis that is not there
    axes = int(header["dim"][0])
    if not 2 <= axes <= 7 or min(stated) < 1 or math.prod(stated) > max_voxels:
        raise ImageError(
            f"{path}: the header claims the shape {stated}, expected a volume of at most {max_voxels} voxels:"
            " no usable grid"
        )
    x, y, z = (*stated, 1)[:3]
    taken = mended_affine(header, shape=(x, y, z), path=path)
    affine, notes = taken.affine, taken.notes
    if len(trim(stated)) > 3:
        notes = (*notes, f"holds several volumes, shape {stated}: only the first is used")
        stated = stated[:3]
    zeros = np.broadcast_to(np.float32(0), (x, y, z))
    return NiftiVolume(path, zeros, affine, _writable(header, affine), stated, notes=notes)


def _writable(header: Any, affine: npt.NDArray[np.float64]) -> Any:
    """The header for a mask: it starts where nibabel puts the voxels, and nibabel can read its geometry again."""
    header = header.copy()
    header.set_data_offset(0)
    header["magic"] = header.single_magic
    try:
        with np.errstate(all="ignore"):
            corrected(header).get_best_affine()
    except (ValueError, ArithmeticError):  # a qform whose quaternion is none
        header = without_unit(header)
        header.set_sform(affine, code=1)
        header["pixdim"][1:4] = np.linalg.norm(affine[:3, :3], axis=0)
    return header


def _voxels(path: Path, grid: NiftiVolume) -> tuple[npt.NDArray[np.float32], tuple[str, ...]]:
    """The first volume, scaled, and what is odd about the bytes that it comes from."""
    header = bare_header(path)
    try:
        dtype = header.get_data_dtype()
        check_type(path, dtype)
        offset = int(header["vox_offset"])
        if not 0 <= offset <= MAX_EXTENSIONS:
            raise ImageError(
                f"{path}: the header claims {offset} bytes before the voxels, expected at most {MAX_EXTENSIONS}"
            )
        content, notes = _content(path, offset + math.prod(grid.shape) * dtype.itemsize)
        slope, inter = (float(header[f"scl_{name}"]) for name in ("slope", "inter"))
        if slope == 0 or not (math.isfinite(slope) and math.isfinite(inter)):
            slope, inter = 1.0, 0.0  # what a slope of 0 means
        with np.errstate(all="ignore"):  # what overflows becomes infinite
            claims = (grid.shape, dtype, offset, slope, inter)
            proxy: Any = nib.arrayproxy.ArrayProxy(BytesIO(content), claims, mmap=False)
            return np.asanyarray(proxy, dtype=np.float32), notes
    except ImageError:
        raise
    except (*UNREADABLE, MemoryError) as error:
        raise ImageError(f"{path}: its voxels cannot be read ({first_line(error)})") from error


def _content(path: Path, size: int) -> tuple[bytes, tuple[str, ...]]:
    """At least `size` bytes of a file, unpacked, and whether its end is damaged."""
    content, problem = first_bytes(
        path, size + 1
    )  # at the end of a compressed file its check sum is looked at
    if len(content) < size:
        raise ImageError(
            f"{path}: holds {len(content)} bytes, its header claims {size}: it is truncated"
        )
    return content, (f"its end is damaged, so voxels may be wrong ({problem})",) if problem else ()
