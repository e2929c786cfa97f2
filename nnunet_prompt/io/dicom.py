"""A DICOM series: a folder with one file per slice, read by SimpleITK."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.io.itk_file import run_itk, volumes_of
from nnunet_prompt.io.nifti import NiftiVolume

UNEVEN = 0.02  # distances between slices may differ by this share of their median
_MAGIC = (128, b"DICM")  # what marks a DICOM file, and where
_POSITION, _ORIENTATION = "0020|0032", "0020|0037"


def dicom_files(folder: Path) -> list[Path]:
    """The files of a folder that are marked as DICOM, sorted; subfolders are not searched."""
    return sorted(p for p in folder.iterdir() if p.is_file() and _is_dicom(p))


def read_series(folder: Path) -> tuple[NiftiVolume, ...]:
    """The volume of the one series in a folder.

    Raises `ImageError` for no series or several, which it names, and for slices that are missing, twice at one place,
    or at uneven distances: ITK would stack them as if nothing were wrong.
    """
    import SimpleITK as sitk

    names = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    files = {n: sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), n) for n in names}
    if not files:
        raise ImageError(f"{folder}: no DICOM series in it")
    if len(files) > 1:
        found = " and ".join(f"{name} ({len(some)} files)" for name, some in files.items())
        raise ImageError(
            f"{folder}: holds the DICOM series {found}: give a folder that holds one of them"
        )
    (paths,) = files.values()
    _check_distances(folder, paths)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(paths)
    return volumes_of(folder, run_itk(folder, reader.Execute))


def _check_distances(folder: Path, paths: Sequence[str]) -> None:
    """Raises `ImageError` unless the slices lie at even distances; one file may hold all of them."""
    if len(paths) < 3:
        return
    places = [_place(Path(path)) for path in paths]
    if any(place is None for place in places):
        return  # no positions, no distances, such as in secondary captures
    normal = np.cross(places[0][1][:3], places[0][1][3:])  # type: ignore[index]
    along = np.sort([float(normal @ place[0]) for place in places])  # type: ignore[index]
    steps = np.diff(along)
    middle = float(np.median(steps))
    if np.abs(steps - middle).max() > UNEVEN * middle or middle <= 0:
        raise ImageError(
            f"{folder}: its DICOM slices are at distances of {steps.min():.3f} to {steps.max():.3f} mm, expected equal"
            " ones: slices are missing or there is more than one volume; convert the series with dcm2niix"
        )


def _place(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Position and orientation of a slice, in mm and LPS."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    run_itk(path, reader.ReadImageInformation)
    if not (reader.HasMetaDataKey(_POSITION) and reader.HasMetaDataKey(_ORIENTATION)):
        return None
    position, axes = (
        np.array([float(n) for n in reader.GetMetaData(key).split("\\")])
        for key in (_POSITION, _ORIENTATION)
    )
    return position, axes


def _is_dicom(path: Path) -> bool:
    offset, magic = _MAGIC
    try:
        with path.open("rb") as file:
            return file.read(offset + len(magic))[offset:] == magic
    except OSError:
        return False
