"""A label map of three structures, two of which overlap, and prompts that nothing disturbs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.prompts.encode import style_for
from nnunet_prompt.training.mixture import PromptMixture
from nnunet_prompt.training.transform import Targets

# wall = wall + scar; the scar is decoded first
TABLE = StructureTable(
    (
        Structure("cavity", 1, (1,), 1),
        Structure("wall", 2, (2, 3), 2),
        Structure("scar", 3, (3,), 3),
    ),
    annotated={"partly": frozenset({"cavity", "wall"}), "nothing": frozenset()},
)
LABELS = np.array(
    [
        [[0, 0, 0, 0], [0, 1, 1, 2], [0, 0, 3, 2]],
        [[0, 0, 0, 0], [0, 1, 2, 2], [0, 0, 2, 4]],
    ],
    np.int16,
)  # (2, 3, 4)
STYLE = style_for((4.0, 1.5, 1.25))
CLEAN = PromptMixture(
    promptless=0,
    few=0,
    slices=1,
    scribbles=0,
    mask=0,
    continued=0,
    p_jitter=0,
    p_sparse=0,
    p_wrong=0,
    p_beyond=0,
    p_negative_area=0,
    p_beside=0,
    p_disturb=0,
    p_union=0,
    p_component=0,
    hide=False,
)


def targets(mixture: PromptMixture = CLEAN, **changes: Any) -> Targets:
    return replace(Targets(TABLE, STYLE, mixture), **changes)
