"""Image files of every format that nnU-Net reads: how they end, label maps in them, and masks beside them.

    .nii.gz .nii                      nibabel
    .nrrd .mha .gipl (.nhdr .mhd)     SimpleITK
    .png .bmp .tif .tiff              nnU-Net's readers of natural images and of 3D TIFF

Whatever the format, arrays are in the file frame (X, Y, Z): the first axis changes fastest on disk. That is nibabel's
order for NIfTI, ITK's and 3D Slicer's index (i, j, k) for NRRD and MetaImage, (column, row, slice) for PNG and TIFF.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.arguments import as_path
from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.io import itk_file, nifti, nifti_file, reader_file
from nnunet_prompt.io.dicom import read_series
from nnunet_prompt.io.geometry import same_geometry
from nnunet_prompt.io.itk_file import ItkGrid, read_itk, write_itk_labels
from nnunet_prompt.io.nifti import (
    Grid,
    NiftiVolume,
    read_grid,
    read_label_volume,
    read_stored,
    write_labels_like,
)
from nnunet_prompt.io.reader_file import ReaderGrid, natural_or_tiff, read_with, write_with

ENDINGS = (*nifti_file.ENDINGS, *itk_file.ENDINGS, *reader_file.ENDINGS)
_MASKS = {".nii": ".nii.gz", ".nhdr": ".nrrd", ".mhd": ".mha", ".dcm": None}  # of what differs


def image_ending(name: str) -> str:
    """The ending of an image file's name, in small letters; "" for a hidden file and for what is no image file."""
    low = name.lower()
    return "" if name.startswith(".") else next((e for e in ENDINGS if low.endswith(e)), "")


def without_image_ending(name: str) -> str:
    """A file name without the ending of an image file."""
    ending = next((e for e in ENDINGS if name.lower().endswith(e) and len(name) > len(e)), "")
    return name[: len(name) - len(ending)]


def mask_ending(image: str, default: str = ".nii.gz") -> str:
    """The ending of the mask of an image file: the image's own, `default` for DICOM."""
    ending = image_ending(image)
    return _MASKS.get(ending, ending) or default


def read_image_file(path: Path | str) -> NiftiVolume:
    """The first channel of an image of any format, or of the DICOM series in a folder. Raises `ImageError`.

    A model reads with its own reader (`plans_reader`); this is for where there is none, so a TIFF is
    recognised by its axes.
    """
    path = as_path("path", path)
    ending = image_ending(path.name.lstrip("."))
    if path.is_dir():
        return read_series(path)[0]
    if ending in itk_file.ENDINGS:
        return read_itk(path)[0]
    if ending in reader_file.ENDINGS:
        return read_with(natural_or_tiff(path, colours=True), path)[0]
    return read_stored(path)


def read_image_grid(path: Path | str) -> Grid:
    """Where the voxels of such an image lie; of NIfTI only the header is read. Raises `ImageError`."""
    path = as_path("path", path)
    if not path.is_dir() and image_ending(path.name.lstrip(".")) in ("", *nifti_file.ENDINGS):
        return read_grid(path)
    volume = read_image_file(path)
    return Grid(path, volume.shape, volume.affine, volume.file_shape, dtype=str(volume.array.dtype))


def read_label_file(path: Path | str) -> NiftiVolume:
    """Reads a label map of any format as int32, (X, Y, Z). Raises `ImageError` for values that are no integers."""
    path = as_path("path", path)
    ending = image_ending(path.name.lstrip("."))
    if ending in nifti_file.ENDINGS or not ending:
        return read_label_volume(path)
    if ending in itk_file.ENDINGS:
        volumes = read_itk(path)
    else:
        volumes = read_with(natural_or_tiff(path), path)
    if len(volumes) != 1:
        raise ImageError(f"{path}: expected one label per voxel, found {len(volumes)} channels")
    (volume,) = volumes
    rounded = np.rint(volume.array)
    off = np.abs(volume.array - rounded) > nifti.INTEGER_TOLERANCE
    if off.any():
        raise ImageError(
            f"{path}: label values must be integers, found {volume.array[off].flat[0]:g}:"
            " give a label map, not an image or a probability map"
        )
    return replace(volume, array=rounded.astype(np.int32))


def is_mask_of(target: Path, image: Path, allowed: Collection[int]) -> bool:
    """Whether a file is a whole label map on the grid of an image, with `allowed` labels and 0 only.

    Of any format; `image` may be a folder with a DICOM series. False for what cannot be read.
    """
    try:
        mask, grid = read_label_file(target), read_image_grid(image)
    except (ImageError, OSError):
        return False
    strays = set(np.unique(mask.array).tolist()) - {0, *allowed}
    return same_geometry(mask, grid) and not strays


def write_label_file(
    path: Path, labels: npt.NDArray[Any], reference: NiftiVolume, *, name: str | None = None
) -> None:
    """Writes integer labels (X, Y, Z) on the grid of an image, with its geometry and in its format.

    `name` is the name that the file will have in the end, where `path` is a passing one. The file appears only when it
    is complete. Raises `ImageError` like `write_labels_like`, and for labels that the format does not hold.
    """
    if not isinstance(reference.header, (ItkGrid, ReaderGrid)):
        write_labels_like(path, labels, reference)
        return
    labels = np.asarray(labels)
    if labels.shape != reference.shape:
        raise ImageError(
            f"{path}: the labels have shape {labels.shape}, the image {reference.path} {reference.shape}"
        )
    if labels.dtype.kind not in "bui" or labels.min(initial=0) < 0:
        raise ImageError(f"{path}: labels must be integers from 0 up, found type {labels.dtype}")
    labels = labels.astype(np.min_scalar_type(int(labels.max(initial=0))), copy=False)
    if isinstance(reference.header, ItkGrid):
        write_itk_labels(path, labels, reference.header)
    else:
        write_with(path, labels, reference.header, name=path.name if name is None else name)
