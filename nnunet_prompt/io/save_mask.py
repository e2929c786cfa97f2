"""Writes a mask beside its image, in any format, on the image's grid."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.arguments import as_path, shown
from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.io import itk_file, nifti_file
from nnunet_prompt.io.guard import check_targets
from nnunet_prompt.io.image_files import image_ending, read_image_file, write_label_file
from nnunet_prompt.io.in_memory import KINDS, is_in_memory, volumes_in_memory
from nnunet_prompt.io.itk_file import ItkGrid
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.io.nifti_file import geometry_of, open_checked
from nnunet_prompt.io.reader_file import ReaderGrid

_LPS = np.diag([-1.0, -1.0, 1.0])


def save_mask(mask: npt.NDArray[Any], path: Path | str, *, like: Any) -> Path:
    """Writes a mask or a label map on the grid of `like`, and returns the path.

    mask: (X, Y, Z), booleans or whole numbers from 0 up, in the axis order of `like`; as `predict` returns it
    path: ends in .nii.gz, .nii, .nrrd, .mha or .gipl (.png, .bmp and .tif for an image of that format)
    like: the image: a path, a nibabel or SimpleITK image, (array, affine) or (array, spacing)

    The file gets the geometry of `like`, and its header where both are of one format; the smallest unsigned integer
    type that holds the labels; and it appears under its name only when it is complete. Raises `ImageError` for a mask
    of another shape or of other values and for a format that cannot hold it, and `OutputError` where the file cannot
    be written or is the image.

        save_mask(session.predict(), "out.nii.gz", like="case_001.nii.gz")
    """
    path = as_path("path", path)
    ending = image_ending(path.name)
    if not ending or ending == ".dcm":
        raise ImageError(
            f"{path}: expected a name that ends in .nii.gz, .nii, .nrrd, .mha or .gipl"
        )
    reference = _reference(like)
    if not str(reference.path).startswith("<"):
        check_targets([path], [reference.path], option="another path")
    labels = np.asarray(mask)
    if labels.dtype.kind == "f" and (labels == np.rint(labels)).all():
        labels = labels.astype(np.int64)
    if not path.absolute().parent.is_dir():
        raise ImageError(f"{path}: no such folder: {path.parent}; make it first")
    write_label_file(path, labels, _in_format(reference, ending, path))
    return path


def _reference(like: Any) -> NiftiVolume:
    """The grid and the header of an image; the voxels of a NIfTI file are not read."""
    if is_in_memory(like):
        volume = volumes_in_memory(like)[0]
    elif isinstance(like, NiftiVolume):
        volume = like
    elif isinstance(like, (str, PathLike)):
        path = as_path("like", like)
        if not path.is_dir() and image_ending(path.name) in ("", *nifti_file.ENDINGS):
            image = open_checked(path)
            sizes = (*map(int, image.shape), 1)[:3]
            zeros = np.broadcast_to(np.uint8(0), sizes)
            volume = NiftiVolume(
                path, zeros, geometry_of(path, image).affine, image.header, tuple(image.shape)
            )
        else:
            volume = read_image_file(path)
    else:
        raise ImageError(f"like: expected {KINDS}, found {shown(like)}")
    channels = int(np.prod(volume.file_shape)) != volume.array.size
    return replace(volume, file_shape=volume.shape) if channels else volume


def _in_format(volume: NiftiVolume, ending: str, path: Path) -> NiftiVolume:
    """The same grid with the header of the format that is written."""
    header = volume.header
    if ending in nifti_file.ENDINGS:
        if isinstance(header, nib.Nifti1Header):
            return volume
        made = nib.Nifti1Image(np.broadcast_to(np.uint8(0), volume.shape), volume.affine)
        made.set_sform(volume.affine, 1)
        made.set_qform(volume.affine, 1)
        made.header.set_xyzt_units("mm")
        return replace(volume, header=made.header, file_shape=volume.shape)
    if ending in itk_file.ENDINGS:
        grid = header if isinstance(header, ItkGrid) else _itk_grid(volume)
        return replace(volume, header=grid)
    if not isinstance(header, ReaderGrid):
        raise ImageError(
            f"{path}: {ending} holds no geometry, so only the mask of such an image is written to it; give a name that"
            " ends in .nii.gz"
        )
    return volume


def _itk_grid(volume: NiftiVolume) -> ItkGrid:
    spacing = volume.spacing_mm
    direction = _LPS @ volume.affine[:3, :3] / np.array(spacing)
    origin = _LPS @ volume.affine[:3, 3]
    return ItkGrid(spacing, tuple(map(float, origin)), tuple(map(float, direction.ravel())))
