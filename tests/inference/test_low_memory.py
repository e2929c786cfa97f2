from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nnunet_prompt.inference.low_memory import (
    DeadlineExceeded,
    is_out_of_memory,
    lighter,
    passes_per_tile,
    predict_in_memory,
    watched,
    without_mirroring,
)
from tests.helpers.each import each
from tests.helpers.predictors import Answers, case, corner, filled, idle_engine, predictor, stored

SMALL = (
    8 * 8 * 12 * 12 - 1
)  # numbers in one tile of the hand-made plans, image and prompts, less one


class Greedy(Answers):
    """Runs out of memory where its input has more numbers than `most`; may pretend to lie on a GPU."""

    def __init__(self, most: int = 0, message: str = "CUDA out of memory. Tried to") -> None:
        super().__init__()
        self.most, self.message = most, message
        self.seen: list[tuple[int, ...]] = []
        self.moves: list[str] = []
        self.full = False  # no way back to the GPU

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(tuple(x.shape))
        if x.numel() > self.most:
            raise RuntimeError(self.message)
        return super().forward(x)

    def cpu(self) -> Any:
        self.moves.append("cpu")
        self.most = 10**9
        return self

    def to(self, device: Any) -> Any:
        self.moves.append(str(device))
        if self.full and device.type == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self


def ask(one: Any) -> Any:
    image = stored()
    return one.predict_prompts([image], case(corner(image)))


def on_gpu(greedy: Greedy) -> Any:
    one = predictor(greedy)
    one.engine = replace(one.engine, device=torch.device("cuda"))
    return one


@each(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("shapes do not match"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_enough_memory_is_asked_once() -> None:
    labels, used = predict_in_memory(predictor(Greedy(10**9)), ask)
    assert used is None
    image = stored()
    assert np.array_equal(labels == 500, filled(image, corner(image)))


def test_another_error_is_not_tried_again() -> None:
    greedy = Greedy(message="shapes do not match")
    with pytest.raises(RuntimeError, match="shapes"):
        predict_in_memory(predictor(greedy), ask)
    assert len(greedy.seen) == 1


def test_smaller_tiles_are_multiples_of_the_strides() -> None:
    greedy = Greedy(SMALL)
    one = predictor(greedy)
    labels, used = predict_in_memory(one, ask)
    assert used is not None and not used.exact
    assert (
        used.description == "with tiles of 8 x 8 x 8"
    )  # 8, 12, 12 halved, and two strides of 4 at least
    assert one.engine.patch_size == (8, 12, 12)
    image = stored()
    assert np.array_equal(labels == 500, filled(image, corner(image)))


def test_single_tiles_come_first_where_several_share_a_batch() -> None:
    one = predictor(Greedy(10**9))
    one.engine = replace(one.engine, max_batch=4)
    first, *rest = lighter(one)
    assert (first.description, first.exact) == ("with one tile at a time", True)
    assert first.predictor.engine.max_batch == 1  # type: ignore[attr-defined]
    assert [v.exact for v in rest] == [False]


@pytest.mark.slow
def test_the_cpu_comes_last_and_the_network_goes_back() -> None:
    greedy = Greedy()
    one = on_gpu(greedy)

    def only_on_cpu(variant: Any) -> str:
        if variant.engine.device.type == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return "done"

    result, used = predict_in_memory(one, only_on_cpu)
    assert (result, used and used.description, used and used.exact) == ("done", "on the CPU", True)
    assert greedy.moves == ["cpu", "cuda"]
    assert one.engine.device.type == "cuda"


@pytest.mark.slow
def test_a_network_that_cannot_go_back_stays_on_the_cpu() -> None:
    greedy = Greedy()
    greedy.full = True
    one = on_gpu(greedy)
    assert [v.description for v in lighter(one)] == [
        "with tiles of 8 x 8 x 8",
        "on the CPU",
        "on the CPU with tiles of 8 x 8 x 8",
    ]
    assert greedy.moves == ["cpu", "cuda", "cpu"]
    assert one.engine.device.type == "cpu"


@pytest.mark.slow
def test_too_little_for_everything_is_told() -> None:
    with pytest.raises(MemoryError, match=r"tried as it is, with tiles of 8 x 8 x 8$"):
        predict_in_memory(predictor(Greedy(0)), ask)


def test_unknown_strides_leave_the_tiles_as_they_are() -> None:
    one = predictor(Greedy(0))
    object.__setattr__(one.model, "configuration", None)
    assert list(lighter(one)) == []


def test_a_predictor_that_cannot_take_less_is_asked_once() -> None:
    one: Any = SimpleNamespace(engine=idle_engine())
    calls = []

    def fail(asked: Any) -> None:
        calls.append(asked)
        raise MemoryError

    with pytest.raises(MemoryError, match="tried as it is"):
        predict_in_memory(one, fail)
    assert calls == [one] and without_mirroring(one) is one


def test_tiles_are_counted_once_however_often_they_are_mirrored() -> None:
    one = predictor(Greedy(10**9), mirror_axes=(0, 2))
    assert passes_per_tile(one) == 4
    with watched(one, lambda: None) as watch:
        ask(one)
    assert watch.samples == 4 and watch.tiles == 1
    quick: Any = without_mirroring(one)
    assert quick.engine.mirror_axes == () and one.engine.mirror_axes == (0, 2)
    assert without_mirroring(quick) is quick
    with watched(quick, lambda: None) as watch:
        ask(quick)
    assert watch.samples == watch.tiles == 1


def test_a_prediction_is_stopped_between_tiles() -> None:
    greedy = Greedy(10**9)
    one = predictor(greedy)

    def stop() -> None:
        raise DeadlineExceeded("the time is over")

    with pytest.raises(DeadlineExceeded), watched(one, stop):
        predict_in_memory(one, ask)
    assert greedy.seen == []
    ask(one)  # the hook is gone
    assert len(greedy.seen) == 1
