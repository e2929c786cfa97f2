"""One run of `learn`: the kinds are tried, the chosen one is trained, and what there is then is written."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from nnunet_prompt.common.log import progress_bar
from nnunet_prompt.inference.model_folder import LoadedModel
from nnunet_prompt.learn.about import about_support
from nnunet_prompt.learn.choose import (
    FEWEST,
    Trials,
    left_out,
    plan_trials,
    try_kinds,
)
from nnunet_prompt.learn.options import Learned, LearnOptions
from nnunet_prompt.learn.student import KINDS, Kind, Student
from nnunet_prompt.learn.support import Support
from nnunet_prompt.networks.adapter_file import Adapter, write_adapter
from nnunet_prompt.networks.provenance import provenance_of
from nnunet_prompt.networks.tunable import tuned_tensors

RESERVE = 0.95  # share of the time that is planned; the rest is for asking and writing
MEASURED = 4  # steps, to know how many fit
_log = logging.getLogger(__name__)


class Pace:
    """The time that training steps take, by kind, and until when there is time for them."""

    def __init__(self) -> None:
        self.until = float("inf")
        self._taken: dict[str, list[float]] = {}

    def step(self, student: Student, bar: Any) -> bool:
        """Trains a student by one step, counts it in the bar, and returns whether there is time for more."""
        began = time.monotonic()
        student.step()
        now = time.monotonic()
        self._taken.setdefault(student.kind.method, []).append(now - began)
        bar.update(1)
        return now < self.until

    def seconds(self, kind: Kind) -> float:
        """The mean of a kind's steps, without the first, in which torch sets itself up."""
        taken = self._taken[kind.method]
        return sum(taken[1:]) / len(taken[1:]) if len(taken) > 1 else taken[0]

    def fitting(self, kind: Kind) -> int:
        """How many steps fit into the time that is left; at least 1."""
        left = (self.until - time.monotonic()) * RESERVE
        return max(1, int(left / self.seconds(kind)))


class Lesson:
    """One run: the kinds are tried, the chosen one is trained, and what there is then is written."""

    def __init__(
        self,
        support: Support,
        model: LoadedModel,
        options: LearnOptions,
        deadline: float,
        earlier: Adapter | None = None,
    ) -> None:
        self.support, self.model, self.options, self.earlier = support, model, options, earlier
        self.deadline = deadline
        self.trials, self.pace = Trials(), Pace()
        self.student: Student | None = None
        self.interrupted = False

    def run(self) -> None:
        """Learns until it is done, the time is over, or Ctrl-C is pressed: then with what there is."""
        try:
            self._train(_given(self.options, self.earlier) or self._chosen())
        except KeyboardInterrupt:
            self.interrupted = True
            there = [one for one in (self.student, self.trials.best) if one is not None]
            if not there:
                raise
            self.student = max(there, key=lambda one: one.done)

    def write(self, output: Path) -> Learned:
        """Writes the adapter."""
        student = self.student
        assert student is not None  # run sets it
        dice = {method: tuple(values) for method, values in self.trials.dice.items()}
        learned = Learned(
            file=output,
            kind=student.kind.method,
            structures=self.support.table.names,
            done=student.done,
            iterations=student.iterations,
            dice=dice,
            interrupted=self.interrupted,
        )
        write_adapter(output, self._adapter(student, learned))
        return learned

    def _chosen(self) -> Kind:
        """Tries the kinds in half of the time."""
        cases = left_out(self.support, self.options.seed)
        if not cases:
            _log.info("no case can be left out, so the kind is %s", KINDS[0].method)
            return KINDS[0]
        half = time.monotonic() + (self.deadline - time.monotonic()) / 2
        fitting = self.options.iterations or self._fitting(half)
        if self.options.iterations is None and fitting < FEWEST * len(KINDS):
            _log.warning(
                "too little time to compare kinds of adapters (%d iterations, expected %d), so it is %s; give more with"
                " --minutes",
                fitting,
                FEWEST * len(KINDS),
                KINDS[0].method,
            )
            return KINDS[0]
        plan = plan_trials(fitting, len(cases))
        self.pace.until = half
        with progress_bar("choosing", total=plan.total, unit="it") as bar:
            try_kinds(
                self.support,
                self.model,
                self.trials,
                plan=plan,
                seed=self.options.seed,
                step=lambda student: self.pace.step(student, bar),
            )
        kind = self.trials.kind()
        _log.info("chosen: %s", kind.method)
        return kind

    def _fitting(self, until: float) -> int:
        """The iterations that fit into the time until then, for all kinds alike."""
        for kind in KINDS:
            self._measure(kind)
        self.pace.until = until
        return round(len(KINDS) / sum(1 / self.pace.fitting(kind) for kind in KINDS))

    def _measure(self, kind: Kind) -> None:
        student = self._student(kind, MEASURED)
        with progress_bar("measuring", hidden=True) as bar:
            for _ in range(MEASURED):
                self.pace.step(student, bar)

    def _train(self, kind: Kind) -> None:
        """Trains on all cases in the time that is left."""
        iterations = self.options.iterations
        if iterations is None:
            if self.options.kind is not None or not self.trials.dice:
                self._measure(kind)
            self.pace.until = self.deadline
            iterations = self.pace.fitting(kind)
        self.pace.until = self.deadline
        student = self._student(kind, iterations)
        tried = self.trials.students.get(kind.method)
        if self.earlier is not None:
            student.resume(self.earlier)
        elif tried is not None:
            student.go_on_from(tried)
        with progress_bar(kind.method, total=iterations, unit="it") as bar:
            for _ in range(iterations):
                more = self.pace.step(student, bar)
                self.student = student
                if not more:
                    break
        if student.done < iterations:
            _log.warning("the time is over after %d of %d iterations", student.done, iterations)
        chosen = "" if self.trials.dice else f"--kind {kind.method} "
        again = f"{chosen}--iterations {student.iterations} --seed {self.options.seed}"
        exact = self.options.iterations is not None or not self.trials.dice
        _log.info("%s again: %s", "the same" if exact else "as long", again)

    def _student(self, kind: Kind, iterations: int) -> Student:
        return Student(
            self.support,
            self.support.cases,
            self.model,
            kind=kind,
            iterations=iterations,
            seed=self.options.seed,
        )

    def _adapter(self, student: Student, learned: Learned) -> Adapter:
        about = about_support(self.support, self.model)
        about["learned"] = {
            **about["learned"],
            "iterations": learned.done,
            "seed": self.options.seed,
            "left_out_dice": {k: list(v) for k, v in learned.dice.items()},
        }
        return Adapter(
            tuning=student.kind.tuning,
            base_sha256=student.base_sha256,
            tensors=tuned_tensors(student.network),
            about=about,
            origins=provenance_of(self.model.weights[0]),
        )


def _given(options: LearnOptions, earlier: Adapter | None) -> Kind | None:
    """The kind that is asked for, or that of the adapter to train on."""
    wanted = options.kind if earlier is None else earlier.tuning.method
    return next((kind for kind in KINDS if kind.method == wanted), None)
