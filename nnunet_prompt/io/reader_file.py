"""Image files that one of nnU-Net's own readers reads and writes: natural images, 3D TIFF, and any other reader.

The reader hands over (C, Z, Y, X) and its `properties`; here arrays are (X, Y, Z) as everywhere, so a voxel of a PNG
is (column, row, 0). Such files state nothing about the patient: their axes count as left, posterior, superior, which is
what ITK takes for them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import ImageError, ModelError
from nnunet_prompt.io.atomic import PARTIAL
from nnunet_prompt.io.itk_file import finite
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.io.nifti_header import check_is_file

NATURAL, TIFF = "NaturalImage2DIO", "Tiff3DIO"
ENDINGS = (".png", ".bmp", ".tif", ".tiff")
_TIFFS = (".tif", ".tiff")
_CHANNEL = re.compile(r".*_[0-9]{4}", re.DOTALL)
_LARGEST = 65535  # nnU-Net's writers know 16 bits


@dataclass(frozen=True, slots=True, eq=False)
class ReaderGrid:
    """The facts that a reader of nnU-Net needs to write a label map for an image: its name and the image's
    `properties`.
    """

    reader: str
    properties: Mapping[str, Any]


def reader_class(name: str) -> Any:
    """nnU-Net's reader of that name. Raises `ModelError` where nnU-Net has none."""
    from nnunetv2.imageio.base_reader_writer import BaseReaderWriter
    from nnunetv2.imageio.reader_writer_registry import recursive_find_reader_writer_by_name

    try:
        found = recursive_find_reader_writer_by_name(name)
    except RuntimeError:
        found = None
    if not (isinstance(found, type) and issubclass(found, BaseReaderWriter)):
        raise ModelError(
            f"plans.json: image_reader_writer is {name!r}, which this nnU-Net does not have; install the nnU-Net that"
            " the model was planned with"
        )
    return found


def read_with(name: str, path: Path) -> tuple[NiftiVolume, ...]:
    """The channels of one file, as nnU-Net's reader `name` reads it: float32. Raises `ImageError` and `ModelError`."""
    check_is_file(path)
    reader = reader_class(name)()
    try:
        # for the spacing, Tiff3DIO takes _0000 off the names of images, and nothing off those of label maps
        stem = path.name.removesuffix(path.suffix)
        if name == TIFF and not _CHANNEL.fullmatch(stem):
            data, properties = reader.read_seg(str(path))
        else:
            data, properties = reader.read_images([str(path)])
        z, y, x = (float(s) for s in properties["spacing"])
    except Exception as error:  # a reader may be anybody's, and nnU-Net's own raise what they meet
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{path}: cannot be read by {name} ({reason})") from None
    grid = ReaderGrid(name, dict(properties))
    affine = np.diag([-x, -y, z, 1.0])
    volumes = []
    for channel in np.asarray(data):
        array, replaced = finite(channel.T.astype(np.float32))
        volumes.append(NiftiVolume(path, array, affine, grid, array.shape, replaced))
    return tuple(volumes)


def natural_or_tiff(path: Path, *, colours: bool = False) -> str:
    """Which of nnU-Net's two readers a file without a model needs: by its ending, and a TIFF by its axes.

    `colours` shows whether three or four samples per pixel are possible, which they are not in a label map.
    """
    if not path.name.lower().endswith(_TIFFS):
        return NATURAL
    from tifffile import TiffFile, TiffFileError

    check_is_file(path)
    try:
        with TiffFile(path) as file:
            found = file.series[0]
            samples = colours and len(found.shape) == 3 and found.axes.endswith("S")
            return NATURAL if samples or len(found.shape) == 2 else TIFF
    except (OSError, TiffFileError, IndexError, ValueError) as error:
        raise ImageError(f"{path}: cannot be read as TIFF ({error})") from None


def write_with(path: Path, labels: npt.NDArray[Any], grid: ReaderGrid, *, name: str) -> None:
    """Has nnU-Net's writer write integer labels (X, Y, Z), with what it writes beside them, such as a spacing.

    `name` is the name that the label file will have in the end. Files appear only when they are complete, the label
    file last. Raises `ImageError` for labels that the format does not hold.
    """
    if labels.max(initial=0) > _LARGEST:
        raise ImageError(
            f"{path}: {path.suffix} holds labels up to {_LARGEST}, found {labels.max()}"
        )
    with TemporaryDirectory(prefix=PARTIAL, dir=path.parent) as folder:
        written = Path(folder) / name
        try:
            reader_class(grid.reader)().write_seg(labels.T, str(written), dict(grid.properties))
        except (OSError, ValueError, TypeError, KeyError, RuntimeError, AssertionError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ImageError(f"{path}: cannot be written by {grid.reader} ({reason})") from None
        for beside in Path(folder).iterdir():
            if beside != written:
                beside.replace(path.with_name(beside.name))
        written.replace(path)
