"""Structures that are one connected component: parts of their masks that lie apart are left out.

nnU-Net's postprocessing keeps the largest component of a structure where that pays in cross-validation. Here the label
maps of the training cases decide which structures these are (`training.components`), so that it holds for the first
mask on, with prompts and without. Voxels are connected by faces, edges and corners.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.inference.merge import LabelMap
from nnunet_prompt.prompts.checks import BoolArray
from nnunet_prompt.sliding_window.tiles import Boxes

_LOG = logging.getLogger(__name__)
CONNECTED = np.ones((3, 3, 3), bool)


def keep_largest(labels: LabelMap, table: StructureTable, names: Collection[str]) -> None:
    """Clears in place, of each structure in `names`, what is not connected to its largest component.

    `labels` (X, Y, Z) holds official values. A structure with members is connected through these, which stay.
    """
    places = ndimage.find_objects(labels)
    for structure in table.structures:
        if structure.name in names:
            _keep_largest(labels, structure, table, places)


def _keep_largest(
    labels: LabelMap,
    structure: Structure,
    table: StructureTable,
    places: Sequence[tuple[slice, ...] | None],
) -> None:
    values = {table.structures[member - 1].official for member in structure.members}
    boxes = [places[v - 1] for v in values if v <= len(places)]
    window = around([box for box in boxes if box is not None])
    if window is None:
        return
    here = labels[window]
    labelled, count = ndimage.label(np.isin(here, list(values)), CONNECTED)
    if count < 2:
        return
    sizes = np.bincount(labelled.ravel())
    apart = (labelled > 0) & (labelled != 1 + int(sizes[1:].argmax()))
    apart &= here == structure.official
    here[apart] = 0
    if removed := int(np.count_nonzero(apart)):
        _LOG.debug(
            "%s: the largest of %d components is kept, %d voxels of the others are removed",
            *(structure.name, count, removed),
        )


def around(boxes: Sequence[tuple[slice, ...]]) -> tuple[slice, ...] | None:
    """The smallest window that holds all windows; None without any."""
    if not boxes:
        return None
    return tuple(
        slice(min(s.start for s in a), max(s.stop for s in a)) for a in zip(*boxes, strict=True)
    )


def not_pointed_at(mask: BoolArray, boxes: Boxes) -> BoolArray | None:
    """The components of `mask` that no box (K, 3, 2) of positive prompts touches; if it touches none, all but the
    largest. None where there are no such.
    """
    labelled, count = ndimage.label(mask, CONNECTED)
    if count < 2:
        return None
    kept = {int(v) for box in boxes for v in np.unique(labelled[_window(box, mask.shape)])} - {0}
    if not kept:
        kept = {1 + int(np.bincount(labelled.ravel())[1:].argmax())}
    apart: npt.NDArray[Any] = mask & ~np.isin(labelled, list(kept))
    return apart if apart.any() else None


def _window(box: npt.NDArray[np.int64], shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(
        slice(int(np.clip(a, 0, n)), int(np.clip(b, 0, n)))
        for (a, b), n in zip(box, shape, strict=True)
    )
