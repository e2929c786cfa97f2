"""Which structures are one connected component in the label maps of the training cases."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from nnunet_prompt.data.structures import StructureTable
from nnunet_prompt.inference.components import CONNECTED

MOST_CASES = (
    50  # evenly spread over the training cases; more would cost time and decide nothing else
)
FEWEST_CASES = 5  # that show a structure: fewer do not make a rule
SHARE = (
    0.99  # of a structure's voxels in its largest component: annotators leave single voxels behind
)


def one_component(trainer: Any) -> tuple[str, ...]:
    """The names of the structures that are one component in each training case that annotates and shows them.

    The preprocessed label maps of a trainer's fold are read. A structure is the union of its members.
    """
    cases, _ = trainer.do_split()
    dataset = trainer.dataset_class(trainer.preprocessed_dataset_folder, cases)
    step = max(1, len(cases) // MOST_CASES)
    label_maps = (
        (name, np.asarray(dataset.load_case(name)[1][0])) for name in sorted(cases)[::step]
    )
    return find_one_component(label_maps, trainer.table)


def find_one_component(
    label_maps: Iterable[tuple[str, npt.NDArray[Any]]], table: StructureTable
) -> tuple[str, ...]:
    """As `one_component`, of pairs (case, label map of nnU-Net's label ids)."""
    shown = dict.fromkeys(table.names, 0)
    left = {s.name: s for s in table.structures}
    for case, labels in label_maps:
        annotated = table.annotated_labels(case)
        for structure in list(left.values()):
            if structure.label not in annotated:
                continue
            mask = np.isin(labels, structure.members)
            if not mask.any():
                continue
            shown[structure.name] += 1
            if not _is_one(mask):
                del left[structure.name]
    return tuple(name for name in left if shown[name] >= FEWEST_CASES)


def _is_one(mask: npt.NDArray[np.bool_]) -> bool:
    (window,) = ndimage.find_objects(mask.astype(np.uint8))
    labelled, _ = ndimage.label(mask[window], CONNECTED)
    sizes = np.bincount(labelled.ravel())[1:]
    return bool(sizes.max() >= SHARE * sizes.sum())
