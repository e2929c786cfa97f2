"""How a support set is learned, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nnunet_prompt.common.arguments import finite_number, one_of, whole_number
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.evaluation.names import NamesLike

KINDS = ("affine", "lora", "decoder")
GIVEN = (*KINDS, "vector")  # the last is not trained and never chosen: it is experimental
_LARGEST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class LearnOptions:
    """How a support set is learned.

    minutes: time limit for all of it, on the clock
    iterations: length of the last training, and of all trainings with a case left out together; None: as many as fit
        into the time. With the same number and seed the result is the same, unless the time limit cuts it short
    kind: affine, lora or decoder; None: chosen by leaving cases out. Or vector, experimental: the task vectors of the
        support, for a model of nnUNetTrainerPromptSupport (see `networks.task_vector`); needs no training
    seed: of all that is left to chance
    names: names of the label values, as `evaluate` takes them
    resume: train the existing adapter of that name for as long again

    Raises `NNUNetPromptError` for anything else.
    """

    minutes: float = 10.0
    iterations: int | None = None
    kind: str | None = None
    seed: int = 0
    names: NamesLike = None
    resume: bool = False

    def __post_init__(self) -> None:
        if finite_number("minutes", self.minutes, 10.0) <= 0:
            raise NNUNetPromptError(f"minutes: expected more than 0, found {self.minutes}")
        if self.iterations is not None:
            whole_number("iterations", self.iterations, lowest=1, highest=_LARGEST, example=500)
        whole_number("seed", self.seed, lowest=0, highest=2**32 - 1, example=0)
        if self.kind is not None:
            one_of("kind", self.kind, GIVEN)


@dataclass(frozen=True, slots=True)
class Learned:
    """What became of it.

    file: the adapter
    kind: its kind
    structures: what it answers to
    done: iterations of the training that it comes from
    iterations: those that were planned
    dice: of left-out cases, by kind; empty where none was left out
    interrupted: stopped by Ctrl-C; the adapter is the best so far
    """

    file: Path
    kind: str
    structures: tuple[str, ...]
    done: int
    iterations: int
    dice: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    interrupted: bool = False
