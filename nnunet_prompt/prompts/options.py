"""The kinds of prompts that are simulated, and how they are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["few", "slices", "scribbles", "mask", "continue", "none"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FewForm = Literal["clicks", "slice box", "3D box", "scribble"]


@dataclass(frozen=True, slots=True)
class SimulationOptions:
    """How prompts are drawn. Lengths are in voxels, `p_` are probabilities.

    boxes, points: whether "slices" and "few" may have boxes or points
    scribbles: whether "few" may be a scribble
    max_points: per slice, or per volume
    fixed_points: exactly `max_points`, where there is room
    min_voxels: a slice with less of the object gets no prompt
    jitter: box edges move by up to this either way, and points that stay in the image likewise
    p_drop: a slice is left out
    p_wrong: one point lies outside the object
    p_negatives: points or strokes of another structure serve as negatives
    p_beyond: negatives also lie in slices that do not show the object
    p_negative_area: other structures are forbidden by boxes or a negative mask
    p_beside: a mask that is continued has prompts beside it
    p_disturb: a rough mask is shifted, eroded or dilated as a whole in addition
    p_satisfied: of clicks on errors some lie where the mask is right already
    p_contradict: a negative point lies inside the object
    slice_axis: the axis through the slices
    """

    boxes: bool = True
    points: bool = True
    scribbles: bool = True
    max_points: int = 5
    fixed_points: bool = False
    min_voxels: int = 1
    jitter: int = 0
    p_drop: float = 0.0
    p_wrong: float = 0.0
    p_negatives: float = 1.0
    p_beyond: float = 0.0
    p_negative_area: float = 0.0
    p_beside: float = 0.0
    p_disturb: float = 0.0
    p_satisfied: float = 0.0
    p_contradict: float = 0.0
    slice_axis: int = 0


EXACT = SimulationOptions()
