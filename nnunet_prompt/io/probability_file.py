"""Probability maps beside masks: OUT/probabilities/CASE__VALUES.nii.gz, uint8, round(255 p), on the grid of the mask.

VALUES are the label values that count as inside, joined by + where they are several ("200+2221", a structure with its
parts), as the keys of metrics.json. They lie in a folder of their own, which is not searched where masks are, and no
case of a data set ends like them, so that none is taken for a mask.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import ImageError, NNUNetPromptError
from nnunet_prompt.io.image_files import (
    image_ending,
    read_label_file,
    without_image_ending,
    write_label_file,
)
from nnunet_prompt.io.names import composed
from nnunet_prompt.io.nifti import NiftiVolume

FOLDER = "probabilities"
WHOLE = 255  # stands for the probability 1
_NAME = re.compile(r"(?P<case>.+)__(?P<key>[1-9]\d*(?:\+[1-9]\d*)*)")


def key_of(values: Iterable[int]) -> str:
    """The key of label values: in order, each once, joined by +.

    >>> key_of([2221, 200])
    '200+2221'
    """
    return "+".join(map(str, sorted(set(values))))


def probability_path(mask: Path, key: str) -> Path:
    """Where the probability of `key` belongs that goes with a mask."""
    stem = without_image_ending(mask.name)
    return mask.parent / FOLDER / f"{stem}__{key}{mask.name[len(stem) :]}"


def probabilities_of(mask: Path) -> list[Path]:
    """The probability maps that lie beside a mask, sorted."""
    stem = without_image_ending(mask.name)
    found = (mask.parent / FOLDER).glob(f"{escape(stem)}__*")
    return sorted(p for p in found if (parts := name_parts(p.name)) and parts[0] == stem)


def name_parts(name: str) -> tuple[str, str] | None:
    """Case and key of a file name; None for what is no probability map.

    >>> name_parts("heart_01__200+2221.nii.gz")
    ('heart_01', '200+2221')
    """
    if not image_ending(name):
        return None
    found = _NAME.fullmatch(without_image_ending(name))
    return None if found is None else (found["case"], found["key"])


def probability_files(folder: Path) -> dict[str, dict[str, Path]]:
    """The probability maps in a folder, or in its subfolder `probabilities`, by case and key.

    Raises `NNUNetPromptError` where there is no such folder or no map in it.
    """
    places = [p for p in (folder, folder / FOLDER) if p.is_dir()]
    if not places:
        raise NNUNetPromptError(
            f"{folder}: no such folder; expected what `nnunet-prompt predict --probabilities` wrote"
        )
    for place in places:
        found: dict[str, dict[str, Path]] = {}
        for path in sorted(place.iterdir()):
            parts = name_parts(path.name)
            if parts is not None and path.is_file():
                found.setdefault(composed(parts[0]), {}).setdefault(parts[1], path)
        if found:
            return found
    raise NNUNetPromptError(
        f"{folder}: no probability map in it; expected files such as CASE__500.nii.gz, as"
        " `nnunet-prompt predict --probabilities` writes them"
    )


def write_probability(path: Path, levels: npt.NDArray[np.uint8], reference: NiftiVolume) -> None:
    """Writes a map of 0 to 255 on the grid of an image; its folder must be there. Raises like `write_label_file`."""
    write_label_file(path, levels, reference)


def read_probability(path: Path) -> NiftiVolume:
    """Reads such a map as uint8, (X, Y, Z). Raises `ImageError` for any other values."""
    volume = read_label_file(path)
    array: npt.NDArray[Any] = volume.array
    low, high = int(array.min(initial=0)), int(array.max(initial=0))
    if low < 0 or high > WHOLE:
        raise ImageError(
            f"{path}: expected a probability map with values from 0 to {WHOLE}, found {low} to {high}"
        )
    return NiftiVolume(
        path, array.astype(np.uint8), volume.affine, volume.header, volume.file_shape
    )
