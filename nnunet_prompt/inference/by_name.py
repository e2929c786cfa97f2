"""Labels that words name instead of points: the structure heads answer for them, in the automatic pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from nnunet_prompt.data.structures import StructureTable
from nnunet_prompt.inference.merge import LabelMap, label_type, slice_gate
from nnunet_prompt.prompts.frames import AxisMap
from nnunet_prompt.prompts.types import CasePrompts

Ask = Callable[[Sequence[str]], LabelMap]  # structures by name to a map of their official values


def add_named(
    labels: LabelMap, prompts: CasePrompts, table: StructureTable, ask: Ask, to_pls: AxisMap
) -> LabelMap:
    """`labels` (file frame), and where they are 0 what `prompts.named` names, as `ask` finds it.

    Each structure is written with the value of its label, only in slices that allow it where `prompts.slices` is given.
    The result has the smallest type for all labels. Nothing is asked where nothing is named.
    """
    if not prompts.named:
        return labels
    kind = np.promote_types(labels.dtype, label_type(prompts.named))
    result = np.array(labels, kind, order="K")
    for together in _rounds(prompts.named, table):
        found = ask(list(together))
        for name, label in together.items():
            here = (found == table.find(name).official) & (result == 0)
            if prompts.slices is not None:
                gate = slice_gate(prompts.slices, [label], to_pls, slice_axis=prompts.slice_axis)
                here &= gate[0]
            result[here] = label
    return result


def _rounds(named: Mapping[int, str], table: StructureTable) -> list[dict[str, int]]:
    """The labels by structure, so that no two of a round share an official value, as a part and its whole may."""
    rounds: list[dict[str, int]] = []
    for label, name in named.items():
        value = table.find(name).official
        for one in rounds:
            if value not in {table.find(other).official for other in one}:
                one[name] = label
                break
        else:
            rounds.append({name: label})
    return rounds
