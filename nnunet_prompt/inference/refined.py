"""Automatic masks that prompts correct: what `predict --refine` adds to prompts and to the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.inference.merge import LabelMap, label_type
from nnunet_prompt.io.geometry import geometry_difference, same_geometry
from nnunet_prompt.io.image_files import read_label_file
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.prompts.frames import pls_map
from nnunet_prompt.prompts.types import CasePrompts, PromptSet


def read_automatic(path: Path, image: NiftiVolume) -> LabelMap:
    """The automatic mask of a case, (X, Y, Z). Raises `ImageError` if it is missing or on another grid than `image`."""
    if not path.is_file():
        raise ImageError(
            f"{path}: not found; --refine names a folder with an automatic mask of each case, such as what"
            " `nnunet-prompt predict` without -p wrote"
        )
    mask = read_label_file(path)
    if not same_geometry(mask, image):
        raise ImageError(
            f"{path}: has another geometry than {image.path}: {geometry_difference(mask, image)};"
            " give the mask that was predicted for this image"
        )
    return mask.array


def with_masks(prompts: CasePrompts, automatic: LabelMap, image: NiftiVolume) -> CasePrompts:
    """The prompts of a case, each label's part of the automatic mask as its rough mask where it has none of its own."""
    array = automatic
    if prompts.frame != "file":
        array = pls_map(image.affine, image.shape).apply(automatic)
    labels: dict[int, PromptSet] = {}
    for label, given in prompts.labels.items():
        mask = array == label
        labels[label] = replace(given, mask=mask) if given.mask is None and mask.any() else given
    return replace(prompts, labels=labels)


def corrected(automatic: LabelMap, answer: LabelMap, prompted: Sequence[int]) -> LabelMap:
    """The automatic mask with the prompted labels as the prompts have them; the others stay where nothing new lies."""
    kind = np.result_type(label_type([int(automatic.max(initial=0))]), answer.dtype)
    kept = np.where(np.isin(automatic, prompted), 0, automatic)
    return np.where(answer > 0, answer, kept).astype(kind)
