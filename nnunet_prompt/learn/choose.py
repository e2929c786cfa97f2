"""Which kind of adapter suits a support set: each kind learns it with one case left out, and is asked for that case."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from nnunet_prompt.inference.model_folder import LoadedModel
from nnunet_prompt.learn.student import KINDS, Kind, Student
from nnunet_prompt.learn.support import Support

LEFT_OUT = 3  # cases at most; each costs one training for each kind
CLEAR = 0.1  # lead in mean Dice over the next kind that ends the choice early
FEWEST = 50  # iterations of such a training; after fewer, all kinds still answer nothing
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Trials:
    """The Dice of left-out cases, by method and in the order in which they were left out, and the best students."""

    dice: dict[str, list[float]] = field(default_factory=dict)
    students: dict[str, Student] = field(default_factory=dict)  # the best of each method

    def add(self, student: Student, dice: float) -> None:
        """Takes the answer of a student that has learned all cases but one."""
        method = student.kind.method
        if dice > max(self.dice.get(method, ()), default=-1.0):
            self.students[method] = student
        self.dice.setdefault(method, []).append(dice)

    @property
    def best(self) -> Student | None:
        """The student with the highest Dice of all; None before the first answer."""
        method = max(self.students, key=lambda one: max(self.dice[one]), default=None)
        return None if method is None else self.students[method]

    def kind(self) -> Kind:
        """The kind with the best mean over the cases that all kinds were asked for; the first kind where none was."""
        common = min((len(self.dice.get(kind.method, ())) for kind in KINDS), default=0)
        if not common:
            return KINDS[0]
        return max(KINDS, key=lambda kind: float(np.mean(self.dice[kind.method][:common])))

    def is_clear(self) -> bool:
        """Whether one kind leads all others by more than `CLEAR`; only where each was asked for the same cases."""
        first, second, *_ = sorted((float(np.mean(d)) for d in self.dice.values()), reverse=True)
        return first - second > CLEAR


def left_out(support: Support, seed: int) -> list[int]:
    """The indices of the cases to leave out, at most `LEFT_OUT` of those that show a structure; none of one alone."""
    shown = [i for i, case in enumerate(support.cases) if (case.labels > 0).any()]
    if len(support.cases) < 2 or len(shown) < 2:
        return []
    drawn = np.random.default_rng(seed).permutation(len(shown))[:LEFT_OUT]
    return [shown[i] for i in drawn]


@dataclass(frozen=True, slots=True)
class Plan:
    """How many cases are left out, one after the other, and for how many iterations each kind then trains."""

    cases: int
    iterations: int

    @property
    def total(self) -> int:
        """The iterations of all of them."""
        return self.cases * self.iterations * len(KINDS)


def plan_trials(iterations: int, available: int) -> Plan:
    """As many cases of those `available` as fit into `iterations`, all kinds together; one always is.

    No trial is shorter than `FEWEST`, so that few iterations leave out fewer cases.
    """
    cases = max(1, min(available, iterations // (FEWEST * len(KINDS))))
    return Plan(cases, max(FEWEST, iterations // (cases * len(KINDS))))


def try_kinds(
    support: Support,
    model: LoadedModel,
    trials: Trials,
    *,
    plan: Plan,
    seed: int,
    step: Callable[[Student], bool],
) -> None:
    """Trains each kind on all cases but one, for each case to leave out, and adds the Dice of that case to `trials`.

    `step` trains a student by one step and returns whether there is time for more; without it, the rest is left out,
    as it is where one kind is clearly the best.
    """
    for index in left_out(support, seed)[: plan.cases]:
        cases = [case for i, case in enumerate(support.cases) if i != index]
        for kind in KINDS:
            student = Student(
                support, cases, model, kind=kind, iterations=plan.iterations, seed=seed
            )
            for _ in range(plan.iterations):
                if not step(student):
                    _log.warning("no time left to compare the kinds of adapters on more cases")
                    return
            trials.add(student, student.dice(support.cases[index]))
        _log.info("left out %s: %s", support.cases[index].name, _line(trials.dice))
        if trials.is_clear():
            return


def _line(dice: Mapping[str, Sequence[float]]) -> str:
    return ", ".join(f"{method} Dice {values[-1]:.3f}" for method, values in dice.items())
