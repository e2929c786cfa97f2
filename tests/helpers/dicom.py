"""DICOM series, written slice by slice by SimpleITK."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

AXES = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)  # a sagittal stack: columns to posterior, rows to inferior


def write_series(
    folder: Path,
    array: npt.NDArray[Any],
    *,
    places: Sequence[float] | None = None,
    uid: str = "1.2.3.4",
    spacing: tuple[float, float] = (1.5, 2.0),
) -> Path:
    """One file per slice of `array` (slices, rows, columns) at `places` mm along the left axis, 3 apart by default."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k, plane in enumerate(array.astype(np.int16)):
        image = sitk.GetImageFromArray(plane)
        image.SetSpacing((spacing[1], spacing[0]))  # columns, rows
        place = 3.0 * k if places is None else places[k]
        for key, value in {
            "0008|0060": "MR",
            "0008|0016": "1.2.840.10008.5.1.4.1.1.4",
            "0008|0018": f"{uid}.{k + 1}",
            "0020|000d": "1.2.3",
            "0020|000e": uid,
            "0020|0013": str(k + 1),
            "0020|0032": f"{place}\\-7\\30",
            "0020|0037": "\\".join(str(a) for a in AXES),
        }.items():
            image.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"IM{k:04d}"))
        writer.SetImageIO("GDCMImageIO")
        writer.Execute(image)
    return folder
