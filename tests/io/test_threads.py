"""Many cases at once: in their order, lazily, and with nothing left running."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from nnunet_prompt.common.errors import DatasetError, NNUNetPromptError
from nnunet_prompt.io import threads as workers
from nnunet_prompt.io.resources import Limits
from nnunet_prompt.io.threads import AHEAD, WORKERS_VARIABLE, checkpoint, in_order, worker_count
from tests.helpers.each import each


@pytest.fixture(autouse=True)
def three_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WORKERS_VARIABLE, "3")


def test_the_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert worker_count() == 3
    monkeypatch.setenv(WORKERS_VARIABLE, " ")
    granted = "nnunet_prompt.io.threads.container_limits"
    monkeypatch.setattr(granted, lambda: Limits(5, None))  # of the machine's processors
    assert worker_count() == 5


@each("stated", ["0", "-1", "two", "1.5"])
def test_a_number_that_is_none(monkeypatch: pytest.MonkeyPatch, stated: str) -> None:
    monkeypatch.setenv(WORKERS_VARIABLE, stated)
    with pytest.raises(
        NNUNetPromptError, match=f"nnUNet_def_n_proc is '{stated}', expected a number from 1 up"
    ):
        worker_count()
    with pytest.raises(NNUNetPromptError):
        next(in_order(str, [1]))


@each("count", ["1", "2", "9"])
def test_results_come_in_the_order_of_the_items(
    monkeypatch: pytest.MonkeyPatch, count: str
) -> None:
    monkeypatch.setenv(WORKERS_VARIABLE, count)

    def late(item: int) -> int:
        time.sleep(0.002 * (item % 3 == 0))
        return item**2

    assert list(in_order(late, range(20))) == [i**2 for i in range(20)]
    assert list(in_order(late, [])) == []


def test_one_worker_is_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WORKERS_VARIABLE, "1")
    assert set(in_order(lambda _: threading.current_thread(), range(3))) == {
        threading.current_thread()
    }


def test_several_run_at_once() -> None:
    together = threading.Barrier(3, timeout=30)
    assert list(in_order(lambda item: together.wait() >= 0, range(3))) == [True] * 3


def test_items_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for i in range(100):
            taken.append(i)
            yield i

    results = in_order(str, items())
    assert taken == []
    assert [next(results) for _ in range(5)] == ["0", "1", "2", "3", "4"]
    assert len(taken) <= 5 + AHEAD * 3
    results.close()
    assert len(taken) <= 5 + AHEAD * 3


def test_the_first_error_in_order_is_raised_after_what_came_before() -> None:
    second_failed = threading.Event()

    def work(item: int) -> int:
        if item == 1:  # fails only when a later item has
            assert second_failed.wait(30)
            raise DatasetError("case 1")
        if item == 2:
            second_failed.set()
            raise DatasetError("case 2")
        return item

    results = in_order(work, range(4))
    assert next(results) == 0
    with pytest.raises(DatasetError, match="case 1"):
        next(results)


def test_an_error_of_the_items_comes_in_its_turn() -> None:
    def items() -> Iterator[int]:
        yield from (1, 2)
        raise DatasetError("no more")

    results = in_order(str, items())
    assert [next(results), next(results)] == ["1", "2"]
    with pytest.raises(DatasetError, match="no more"):
        next(results)


def test_what_runs_ends_at_its_next_checkpoint() -> None:
    begun, ended = threading.Event(), threading.Event()

    def endless(item: int) -> int:
        if item == 0:
            return item
        begun.set()
        try:
            while True:
                checkpoint()
                time.sleep(0.001)
        finally:
            ended.set()

    before = threading.active_count()
    results = in_order(endless, range(100))
    assert next(results) == 0
    assert begun.wait(30)
    results.close()  # as for any error or Ctrl-C of the caller
    assert ended.is_set() and threading.active_count() == before


def test_a_checkpoint_outside_of_a_pool_does_nothing() -> None:
    checkpoint()
    assert not hasattr(workers._thread, "stop")
