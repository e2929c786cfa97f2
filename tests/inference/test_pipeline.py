"""Cases go through three stages side by side, and none costs another its result."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from nnunet_prompt.inference.pipeline import Outcome, Stages, pipelined
from nnunet_prompt.io.threads import checkpoint

PATIENCE = 60  # seconds, for what must happen


def told(outcome: Outcome[Any, Any]) -> tuple[Any, ...]:
    return outcome.item, outcome.value, outcome.stage, str(outcome.error or "")


class TestPipelined:
    def test_each_item_goes_through_all_stages_in_order(self) -> None:
        outcomes = pipelined(
            range(5), load=lambda i: i + 1, work=lambda i: i * 10, write=lambda i: f"<{i}>"
        )
        assert [told(o) for o in outcomes] == [(i, f"<{(i + 1) * 10}>", None, "") for i in range(5)]

    def test_nothing_to_do(self) -> None:
        assert list(pipelined([], load=int, work=int, write=int)) == []

    def test_a_stage_that_fails_costs_only_its_own_item(self) -> None:
        def fail(stage: str) -> Any:
            def maybe(item: str) -> str:
                if item == stage:
                    raise MemoryError(f"no {stage}")
                return item

            return maybe

        items = ["load", "fine", "work", "write", "good"]
        outcomes = pipelined(items, load=fail("load"), work=fail("work"), write=fail("write"))
        assert [told(o) for o in outcomes] == [
            ("load", None, "load", "no load"),
            ("fine", "fine", None, ""),
            ("work", None, "work", "no work"),
            ("write", None, "write", "no write"),
            ("good", "good", None, ""),
        ]

    def test_the_stages_are_side_by_side(self) -> None:
        """Item 2 is loaded and item 0 written while item 1 is worked on: none can go on without the others."""
        meeting = threading.Barrier(3)

        def stage(number: int) -> Any:
            def meet(item: int) -> int:
                if item == number:
                    meeting.wait(PATIENCE)
                return item

            return meet

        outcomes = list(pipelined(range(3), load=stage(2), work=stage(1), write=stage(0)))
        assert [o.error for o in outcomes] == [None] * 3

    def test_work_is_done_by_the_caller(self) -> None:
        def where(item: Any) -> list[int]:
            return [*item, threading.get_ident()]

        (outcome,) = pipelined([()], load=where, work=where, write=where)
        here = threading.get_ident()
        loaded, worked, written = outcome.value or []
        assert worked == here and here not in (loaded, written) and loaded != written

    def test_no_more_than_three_items_are_alive(self) -> None:
        alive: list[weakref.ref[Any]] = []
        most = 0

        def load(item: int) -> Any:
            nonlocal most
            made = np.zeros(item + 1)
            alive.append(weakref.ref(made))
            most = max(most, sum(ref() is not None for ref in alive))
            return made

        def work(array: Any) -> Any:
            if len(array) % 3 == 0:
                raise ValueError("odd")
            return array  # the same, so that it lives until it is written

        outcomes = list(pipelined(range(30), load=load, work=work, write=len))
        assert most <= 4  # being loaded, worked on, waiting for the writer or being written
        gc.collect()
        assert sum(ref() is not None for ref in alive) == 0  # not even in the errors
        assert [o.stage for o in outcomes[:4]] == [None, None, "work", None]
        assert outcomes[2].error is not None and outcomes[2].error.__traceback__ is not None

    def test_ctrl_c_lets_the_last_item_be_written_and_stops_the_next_one(self) -> None:
        before = threading.active_count()
        begun, written, went_on = threading.Event(), [], []

        def load(item: int) -> int:
            if item == 2:
                begun.set()
                while True:
                    checkpoint()
            return item

        def work(item: int) -> int:
            if item == 1:
                begun.wait(PATIENCE)
                raise KeyboardInterrupt
            return item

        def write(item: int) -> None:
            begun.wait(PATIENCE)
            written.append(item)

        with pytest.raises(KeyboardInterrupt):
            went_on += pipelined(range(9), load=load, work=work, write=write)
        assert written == [0] and went_on == []
        assert threading.active_count() == before

    def test_a_caller_who_wants_no_more(self) -> None:
        before, loaded = threading.active_count(), []
        outcomes = pipelined(range(99), load=loaded.append, work=str, write=str)
        with closing(outcomes):
            next(outcomes)
        assert len(loaded) <= 3 and threading.active_count() == before

    def test_an_error_of_the_items_themselves_is_raised(self) -> None:
        def items() -> Iterator[int]:
            yield 1
            raise OSError("no more")

        before, written = threading.active_count(), []
        with pytest.raises(OSError, match="no more"):
            list(pipelined(items(), load=int, work=int, write=written.append))
        assert threading.active_count() == before


class TestStages:
    def test_one_item_per_stage_however_many_threads(self) -> None:
        stages, busy, most = Stages(), {"load": 0, "work": 0, "write": 0}, {}
        alive, most_alive, lock = 0, 0, threading.Lock()

        def stage(name: str) -> Any:
            def run(item: int) -> int:
                nonlocal alive, most_alive
                with lock:
                    busy[name] += 1
                    alive += name == "load"
                    most[name] = max(most.get(name, 0), busy[name])
                    most_alive = max(most_alive, alive)
                with lock:
                    busy[name] -= 1
                    alive -= name == "write"
                return item + 1

            return run

        outcomes: list[Outcome[int, int]] = []

        def thread(item: int) -> None:
            functions = {name: stage(name) for name in busy}
            outcomes.append(stages.run(item, **functions))

        several = [threading.Thread(target=thread, args=(i,)) for i in range(12)]
        for one in several:
            one.start()
        for one in several:
            one.join(PATIENCE)
        assert sorted(o.value or 0 for o in outcomes) == list(range(3, 15))
        assert most == {"load": 1, "work": 1, "write": 1} and most_alive <= 3

    def test_an_error_leaves_the_stages_open_for_the_next(self) -> None:
        stages = Stages()
        for stage in ("load", "work", "write"):
            functions: dict[str, Any] = {"load": str, "work": str, "write": str, stage: int}
            outcome = stages.run("x", **functions)
            assert (outcome.stage, outcome.value) == (stage, None)
            assert isinstance(outcome.error, ValueError)
        assert stages.run("x", load=str, work=str, write=str).value == "x"
