"""How unsure a support set leaves an answer: which voxels change where one of its cases is left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.inference.merge import LabelMap
from nnunet_prompt.inference.model_folder import LoadedModel
from nnunet_prompt.io.atomic import make_folder
from nnunet_prompt.io.image_files import write_label_file
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.io.probability_file import WHOLE
from nnunet_prompt.io.threads import checkpoint

FOLDER = "uncertainty"  # beside the masks


def check_support(model: LoadedModel) -> None:
    """Raises `ModelError` for a model without a support set of two cases or more."""
    support: Any = getattr(model.network, "support", None)
    if support is None or len(support.cases) < 2:
        found = "none" if support is None else "one case"
        raise ModelError(
            f"{model.folder}: uncertainty: expected a support set of two cases or more, found {found}; give --with what"
            " `nnunet-prompt learn --kind vector` wrote"
        )


def disagreement(
    model: LoadedModel, labels: LabelMap, answer: Callable[[], LabelMap]
) -> npt.NDArray[np.uint8]:
    """round(255 share) of the answers that differ from `labels`, each with one case of the support left out."""
    check_support(model)
    support: Any = model.network.support
    cases, differ = support.cases, np.zeros(labels.shape, np.uint8, order="F")
    for case in cases:
        checkpoint()
        with support.without(case):
            differ += answer() != labels
    levels = np.rint(np.arange(len(cases) + 1) * WHOLE / len(cases)).astype(np.uint8)
    return np.asarray(levels[differ.T].T)


def uncertainty_path(mask: Path) -> Path:
    """Where the map of a mask belongs: OUTPUT/uncertainty/CASE.nii.gz."""
    return mask.parent / FOLDER / mask.name


def write_uncertainty(levels: npt.NDArray[np.uint8], mask: Path, reference: NiftiVolume) -> None:
    """Writes the map of a mask on the grid of `reference`."""
    path = uncertainty_path(mask)
    make_folder(path.parent)
    write_label_file(path, levels, reference, name=path.name)
