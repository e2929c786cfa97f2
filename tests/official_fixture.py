"""Labels back to the official values of a download: the inverse of the converters."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.care_labels import UNIFIED, atoms_of, label_ids


def to_official(labels: npt.NDArray[Any], task: str, *, unified: bool = False) -> npt.NDArray[Any]:
    """Writes the official values of `task`: the inverse of what its converter does.

    `labels` are those of `table_for(task)`, or of the unified set if `unified`. The result is int32 of the same
    shape. Raises `DatasetError` for a label that the task does not have. For `lascarqs` the scar covers the cavity;
    `la_masks` gives the two masks instead.
    """
    labels = np.asarray(labels)
    ids = label_ids(UNIFIED if unified else task)
    official = {0: 0} | {ids[a.name]: a.official[task] for a in atoms_of(task)}
    lookup = np.full(max(ids.values()) + 1, -1, np.int32)
    lookup[list(official)] = list(official.values())
    inside = (labels >= 0) & (labels < lookup.size)
    values = lookup[np.where(inside, labels, 0)]
    wrong = labels[~inside | (values < 0)]
    if wrong.size:
        raise DatasetError(
            f"task {task}: expected labels {sorted(official)}, found {wrong.flat[0]}"
        )
    return values


def la_masks(
    labels: npt.NDArray[Any], task: str = "lascarqs"
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Cavity mask and scar mask of the labels of a left atrium: the inverse of `la_labels`."""
    ids = label_ids(task)
    cavity = np.isin(labels, [ids["la_cavity"], ids["la_scar_in_cavity"]])
    return cavity, np.isin(labels, [ids["la_scar_in_cavity"], ids["la_scar_outside"]])
