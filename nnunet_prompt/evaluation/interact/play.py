"""One case of a closed loop: prompts, mask, scores, and again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.arguments import finite_number, one_of, true_or_false, whole_number
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.evaluation.interact.protocols import (
    PROTOCOLS,
    Given,
    ProtocolName,
    View,
    generator,
    next_prompts,
    slice_axis,
)
from nnunet_prompt.evaluation.metrics import score_masks, surface_dice
from nnunet_prompt.prompts.checks import BoolArray

Prompt = Given | BoolArray


class Session(Protocol):
    """The part of `PromptSession` that is used here."""

    def reset(self) -> None: ...

    def add(self, prompt: Any, label: int = 1) -> None: ...

    def predict(self) -> npt.NDArray[np.integer[Any]]: ...


@dataclass(frozen=True, slots=True)
class Play:
    """How a closed loop is played.

    protocol: see `interact.protocols`
    interactions: how many at most
    tolerance_mm: of the normalised surface Dice
    feedback: the mask so far is passed on as a mask prompt beside the prompts
    seed: of the simulated user

    Raises `NNUNetPromptError` for anything else.
    """

    protocol: ProtocolName = "clicks"
    interactions: int = 6
    tolerance_mm: float = 2.0
    feedback: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("protocol", self.protocol, PROTOCOLS)
        whole_number("interactions", self.interactions, lowest=1, example=6)
        whole_number("seed", self.seed, lowest=0, example=0)
        true_or_false("feedback", self.feedback)
        if finite_number("tolerance_mm", self.tolerance_mm, 2.0) < 0:
            raise NNUNetPromptError(
                f"tolerance_mm: expected 0 or more, such as 2.0, found {self.tolerance_mm}"
            )


@dataclass(frozen=True, slots=True)
class Row:
    """The scores after one interaction with one label of a case; `prompts` is how many have been given so far.

    Undefined distances are None.
    """

    case: str
    label: int
    interaction: int
    prompts: int
    dice: float
    hd95_mm: float | None
    nsd: float | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class LabelCase:
    """One label of an open case: its reference (X, Y, Z), perhaps an automatic mask to begin with, voxel size in mm."""

    case: str
    label: int
    target: BoolArray
    start: BoolArray | None
    spacing_mm: tuple[float, float, float]


def play_label(session: Session, case: LabelCase, play: Play) -> list[Row]:
    """Plays one label; the session has the case's image open and is left without prompts.

    An automatic mask is shown as the label's mask prompt from the beginning, and counts as interaction -1. Where
    nothing is left to correct, the last scores are repeated, so that every label has as many rows.
    """
    session.reset()
    rng = generator(play.seed, case.case, case.label)
    found = np.zeros_like(case.target) if case.start is None else case.start
    given = 0
    rows = []
    if case.start is not None:
        session.add(case.start, case.label)
        rows.append(_scored(case, found, play, interaction=-1, prompts=0))
    axis = slice_axis(case.spacing_mm)
    for step in range(play.interactions):
        view = View(case.target, found, case.spacing_mm, axis)
        prompts = next_prompts(play.protocol, step, view, rng)
        if prompts:
            if play.feedback and found.any():
                session.add(found, case.label)
            for prompt in prompts:
                session.add(prompt, case.label)
            given += len(prompts)
            found = np.asarray(session.predict() == case.label)
        rows.append(_scored(case, found, play, interaction=step, prompts=given))
    session.reset()
    return rows


def _scored(
    case: LabelCase, found: BoolArray, play: Play, *, interaction: int, prompts: int
) -> Row:
    scores = score_masks(case.target, found, spacing_mm=case.spacing_mm)
    nsd = surface_dice(
        case.target, found, spacing_mm=case.spacing_mm, tolerance_mm=play.tolerance_mm
    )
    return Row(
        case.case,
        case.label,
        interaction,
        prompts,
        scores.dice,
        *(None if np.isnan(v) else float(v) for v in (scores.hd95_mm, nsd)),
    )
