from __future__ import annotations

import math

import pytest

from nnunet_prompt.challenge.budget import FIRST_FLOOR, Budget, Effort, Mode
from nnunet_prompt.inference.low_memory import DeadlineExceeded
from tests.helpers.each import each


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def spend(
    budget: Budget, clock: Clock, cases: int, *, network: float, around: float, passes: int = 8
) -> list[Mode]:
    """Runs cases whose network takes so long with all `passes`, unless it is stopped; returns how each was done."""
    done: list[Mode] = []
    for i in range(cases):
        effort = budget.plan(cases - i, passes)
        clock.now += around
        stop, took = budget.stopper(effort), 0.0
        if effort.mode != "prompts":
            needed = network / (passes if effort.mode == "fast" else 1)
            mode: Mode = effort.mode
            while took < needed:
                try:
                    stop()
                except DeadlineExceeded:
                    mode = "prompts"
                    break
                clock.now += 1
                took += 1
        else:
            mode = "prompts"
        budget.learn(effort, took, around)
        done.append(mode)
    return done


def test_without_a_limit_every_case_gets_the_network() -> None:
    clock = Clock()
    budget = Budget(None, clock)
    assert budget.plan(90) == Effort("full", math.inf)
    assert spend(budget, clock, 3, network=10**6, around=10**6) == ["full"] * 3


def test_enough_time_is_enough() -> None:
    clock = Clock()
    assert spend(Budget(200, clock), clock, 10, network=16, around=1) == ["full"] * 10


def test_mirroring_is_given_up_first() -> None:
    clock = Clock()
    budget = Budget(200, clock)
    done = spend(budget, clock, 10, network=40, around=1)
    assert done[0] == "full" and "prompts" not in done and done.count("fast") >= 5
    assert clock.now <= 1200


def test_then_as_many_cases_as_there_is_time_for() -> None:
    clock = Clock()
    budget = Budget(200, clock)
    done = spend(budget, clock, 50, network=16, around=2, passes=1)
    assert 0 < done.count("full") < 50 and done.count("prompts") > 0
    assert clock.now <= 1200


@each("network", [3, 30, 300, 3000])
@each("passes", [1, 8])
@each("seconds", [60, 600])
def test_every_case_is_done_before_the_time_is_over(
    network: float, passes: int, seconds: float
) -> None:
    clock = Clock()
    spend(Budget(seconds, clock), clock, 40, network=network, around=1, passes=passes)
    assert clock.now <= 1000 + seconds


def test_hopelessly_little_time_is_for_the_prompts_alone() -> None:
    clock = Clock()
    budget = Budget(40 * FIRST_FLOOR, clock)
    assert budget.plan(40) == Effort("prompts", 0.0, voxels=False)


def test_a_case_is_stopped_when_its_time_or_all_time_is_over() -> None:
    clock = Clock()
    budget = Budget(100, clock)
    stop = budget.stopper(Effort("full", 10))
    clock.now += 10
    stop()
    clock.now += 0.5
    with pytest.raises(DeadlineExceeded, match="the time for this case is over"):
        stop()
    late = budget.stopper(Effort("full", 1000))
    clock.now = 1097
    late()
    clock.now = 1099
    with pytest.raises(DeadlineExceeded):
        late()
