"""The files of a support set: which image belongs to which label map."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nnunet_prompt.common.errors import DatasetError, ImageError
from nnunet_prompt.data.plans_reader import ImageReader
from nnunet_prompt.evaluation.pairs import files_by_case
from nnunet_prompt.inference.inputs import input_files
from nnunet_prompt.io.image_cases import group_channels
from nnunet_prompt.io.image_files import image_ending
from nnunet_prompt.io.names import composed
from nnunet_prompt.io.nifti import NiftiVolume, read_stored_labels
from nnunet_prompt.io.nifti_file import ENDINGS as NIFTI

MOST = 10  # cases; of more, train a model


def support_files(
    images: Path, labels: Path, reader: ImageReader, channels: int
) -> list[tuple[str, list[Path], Path]]:
    """Name, image files and label map of each case of two folders; images without a label map are left out.

    Raises `NNUNetPromptError` for label maps without an image, two of one case, and none or more than `MOST`.
    """
    found = files_by_case(labels)
    paths = input_files(images, reader)
    cases = {
        composed(case.case): case for case in group_channels(paths, keys=found, n_channels=channels)
    }
    missing = next((name for name in found if name not in cases), None)
    if missing is not None:
        raise DatasetError(
            f"{found[missing][0]}: no image of the case {missing} in {images}, found"
            f" {', '.join(list(cases)[:3])}; every label map needs its image"
        )
    if not 1 <= len(found) <= MOST:
        raise DatasetError(
            f"{labels}: expected label maps of 1 to {MOST} cases, found {len(found)}; of more, train a model"
            " (`nnunet-prompt train`)"
        )
    several = next((paths for paths in found.values() if len(paths) > 1), None)
    if several:
        raise DatasetError(
            f"{several[0]} and {several[1].name} are label maps of one case: keep one"
        )
    picked = {name: cases[name].pick(channels).values() for name in found}
    return [(name, list(picked[name]), paths[0]) for name, paths in found.items()]


def read_labels(path: Path, reader: ImageReader) -> NiftiVolume:
    """A label map in any format that the reader knows. Raises `ImageError` for values that are not whole."""
    if image_ending(path.name) in NIFTI:
        return read_stored_labels(path)
    volume = reader.read(path)[0]
    if not np.array_equal(volume.array, np.rint(volume.array)):
        raise ImageError(f"{path}: label values must be integers: give a label map, not an image")
    return volume
