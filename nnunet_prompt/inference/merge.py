"""From logits to one label map. Numpy only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.data.structures import StructureTable
from nnunet_prompt.prompts.frames import AxisMap

Logits = npt.NDArray[np.floating[Any]]
LabelMap = npt.NDArray[np.integer[Any]]
HIGHEST = 40.0  # logits are clipped to it, where a probability is one
STEP = 100.0  # of priority, above any difference of clipped logits


def label_type(labels: Iterable[int]) -> np.dtype[Any]:
    """The smallest unsigned integer type for these labels: label maps are as large as the image."""
    return np.min_scalar_type(max(labels, default=0))


def compact(table: StructureTable) -> tuple[StructureTable, npt.NDArray[np.integer[Any]]]:
    """The table with the official values numbered from 1 on, and the values by number, 0 first.

    While the network runs, a label map of a byte per voxel takes half the memory of one with values such as 820.
    """
    official = sorted({s.official for s in table.structures})
    numbers = {value: number for number, value in enumerate(official, 1)}
    structures = tuple(replace(s, official=numbers[s.official]) for s in table.structures)
    values = np.array([0, *official], label_type(official))
    return replace(table, structures=structures), values


def merge_objects(
    logits: Logits, labels: Sequence[int], gate: npt.NDArray[np.bool_] | None = None
) -> LabelMap:
    """Per voxel the label with the highest object probability above one half, else 0.

    `logits` is (L, ...) in the order of `labels`. `gate` (L, ...), broadcastable, shows where a label may appear.
    """
    kind = label_type(labels)
    if not labels:
        return np.zeros(logits.shape[1:], kind)
    allowed = logits if gate is None else np.where(gate, logits, -np.inf)
    best = allowed.argmax(0)
    inside = np.take_along_axis(allowed, best[None], 0)[0] > 0
    return np.asarray(np.where(inside, np.asarray(labels, kind)[best], kind.type(0)))


def slice_gate(
    slices: Mapping[int, frozenset[int]],
    labels: Sequence[int],
    to_slices: AxisMap,
    *,
    slice_axis: int = 2,
) -> npt.NDArray[np.bool_]:
    """Where each label may appear, given the labels prompted in each slice.

    `to_slices` maps the frame of the result to the frame whose `slice_axis` counts the slices (PLS and its third axis
    in prompts.json) by permutation, flip and shift. The result is (L, ...) with length 1 along the other two axes.
    """
    axis = to_slices.axes[slice_axis]
    scale, offset = int(to_slices.scale[slice_axis]), int(to_slices.offset[slice_axis])
    index = np.arange(to_slices.source_shape[axis]) * scale + offset
    nobody: frozenset[int] = frozenset()
    gate = np.array(
        [[label in slices.get(int(i), nobody) for i in index] for label in labels], bool
    )
    shape = [1, 1, 1]
    shape[axis] = index.size
    return gate.reshape(len(labels), *shape)


def ranks(table: StructureTable) -> dict[str, int]:
    """The rank of each structure that the table's priority names: 1 for the last, more for those before."""
    return {name: len(table.priority) - i for i, name in enumerate(table.priority)}


def decode_structures(
    logits: Logits, table: StructureTable, wanted: Sequence[str] = ()
) -> LabelMap:
    """Official values from the logits (K, ...) of the structure heads; 0 where no structure is above one half.

    Where several structures claim a voxel, the table's priority decides, and among structures that it does not name
    the higher probability. `wanted` (names or official values) restricts the structures that may appear.
    """
    chosen = table.chosen(wanted)
    rank = ranks(table)
    official = [s.official for s in chosen]
    kind = label_type(official)
    score = np.stack(
        [
            np.where(here > 0, np.clip(here, 0, HIGHEST) + STEP * rank.get(s.name, 0), -1.0)
            for s in chosen
            for here in (np.asarray(logits[s.label - 1], np.float32),)
        ]
    )
    best = score.argmax(0)
    inside = np.take_along_axis(score, best[None], 0)[0] > 0
    return np.asarray(np.where(inside, np.array(official, kind)[best], kind.type(0)))
