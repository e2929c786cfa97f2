"""Which images `predict -i` means: one image file, the image files of a folder, or a folder with one DICOM series."""

from __future__ import annotations

import logging
from pathlib import Path

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.data.plans_reader import WORLD, ImageReader
from nnunet_prompt.io.dicom import dicom_files
from nnunet_prompt.io.image_files import image_ending, mask_ending
from nnunet_prompt.io.nifti_file import ENDINGS as NIFTI

_log = logging.getLogger(__name__)


def input_files(images: Path, reader: ImageReader) -> list[Path]:
    """The image files of a model, sorted; a folder with a DICOM series stands for itself.

    In a folder these are the files with the ending of the model's data set, or where there are none, those that the
    model's reader knows. Raises `NNUNetPromptError` where there is no image, and where a folder holds image files as
    well as a DICOM series.
    """
    check_there(images)
    if images.is_file():
        return [images]
    named = _named(images)
    known = [p for p in named if p.name.lower().endswith(reader.endings)]
    own = [p for p in known if p.name.lower().endswith(_own_endings(reader))]
    slices = dicom_files(images) if reader.name in WORLD else []
    others = [p for p in own or known if p not in slices]
    if others and slices:
        raise NNUNetPromptError(
            f"{images}: holds image files ({others[0].name}) and a DICOM series ({slices[0].name}), expected one of"
            f" both: give the file (-i {others[0]}), or a folder with the series alone"
        )
    if slices:
        return [images]
    if not others:
        found = f"found {named[0].name}" if named else "found none"
        raise NNUNetPromptError(
            f"{images}: no {' or '.join(_own_endings(reader))} file in it; the model's reader {reader.name} knows"
            f" {', '.join(reader.endings)}, {found}"
        )
    left = [p for p in known if p not in others]
    if left:
        _log.warning(
            f"{images}: {len(left)} image file(s) of other formats are left out ({left[0].name}), the model's data set"
            f" has {reader.ending}; give -i one file to predict it"
        )
    return others


def check_there(images: Path) -> None:
    """Raises `NNUNetPromptError` where no model could find an image."""
    if images.is_file():
        return
    if not images.is_dir():
        raise NNUNetPromptError(f"{images}: no such folder or file; it must hold the images")
    if not _named(images) and not dicom_files(images):
        raise NNUNetPromptError(
            f"{images}: no .nii.gz or other image file and no DICOM series in it"
        )


def mask_name(case: str, image: Path, reader: ImageReader) -> str:
    """The name of the mask of a case, in the format of its image; for DICOM in that of the model's data set."""
    if image.is_dir():
        return case + mask_ending(f"dicom{reader.ending}")
    return case + mask_ending(image.name, reader.ending)


def _named(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise NNUNetPromptError(f"{folder}: cannot be listed: {error.strerror}") from error
    return [p for p in entries if image_ending(p.name) and p.is_file()]


def _own_endings(reader: ImageReader) -> tuple[str, ...]:
    ending = reader.ending.lower()
    return NIFTI if ending in NIFTI else (ending,)
