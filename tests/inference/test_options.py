"""Options are checked when they are made, the device when it is used."""

from __future__ import annotations

import doctest
from typing import Any

import pytest
import torch

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.run_options import RunOptions
from tests.helpers.each import each


def test_the_defaults_are_nnunets() -> None:
    options = PredictOptions()
    assert options.folds is None and options.device is None
    assert options.use_mirroring and options.step_size == 0.5
    assert options.checkpoint == "checkpoint_final.pth"


def test_prompts_are_looked_at_where_they_lie() -> None:
    assert PredictOptions().window == "prompted" and PredictOptions().grow


@each("step", [0, -0.5, 1.01, float("nan")])
def test_a_step_outside_its_range_is_refused(step: float) -> None:
    with pytest.raises(NNUNetPromptError, match="step size"):
        PredictOptions(step_size=step)


@each("step", [0.01, 0.5, 1])
def test_a_step_within_its_range(step: float) -> None:
    assert PredictOptions(step_size=step).step_size == step


def test_a_part_is_every_nth_case() -> None:
    assert RunOptions().part("abcde") == "abcde"
    parts = [RunOptions(num_parts=3, part_id=i).part("abcde") for i in range(3)]
    assert parts == ["ad", "be", "c"]
    assert RunOptions(num_parts=6, part_id=5).part("abcde") == ""


@each(
    ("num_parts", "part_id", "message"),
    [
        (0, 0, "number of parts: expected a number from 1 up, found 0"),
        (3, 3, r"from 0 to 2, as there are 3 part\(s\) \(--num-parts\), found 3"),
        (3, -1, "from 0 to 2, .*, found -1"),
        (1, 1, "from 0 to 0, .*, found 1"),
    ],
)
def test_a_part_that_is_none(num_parts: int, part_id: int, message: str) -> None:
    with pytest.raises(NNUNetPromptError, match=message):
        RunOptions(num_parts=num_parts, part_id=part_id)


def test_masks_are_overwritten_but_never_on_a_cluster() -> None:
    assert RunOptions().overwrites
    assert not RunOptions(overwrite=False).overwrites
    assert not RunOptions(dask="tcp://host:8786").overwrites


@each("window", ["all", ""])
def test_an_unknown_window_is_refused(window: Any) -> None:
    with pytest.raises(NNUNetPromptError, match="window: expected prompted or full"):
        PredictOptions(window=window)


@each("device", ["gpu", "cuda:1", "", "CPU"])
def test_an_unknown_device_is_refused(device: str) -> None:
    with pytest.raises(NNUNetPromptError, match="device"):
        PredictOptions(device=device)


@each(
    ("wanted", "cuda", "mps", "expected"),
    [
        ("cpu", True, True, "cpu"),
        ("cuda", True, False, "cuda"),
        ("mps", False, True, "mps"),
        (None, True, True, "cuda"),
        (None, False, False, "cpu"),
        (None, False, True, "cpu"),
    ],
)
def test_the_device(
    monkeypatch: pytest.MonkeyPatch, wanted: Any, cuda: bool, mps: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert PredictOptions(device=wanted).resolved_device() == expected


@each("wanted", ["cuda", "mps"])
def test_a_device_that_is_absent_is_refused(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(NNUNetPromptError, match=f"device {wanted}"):
        PredictOptions(device=wanted).resolved_device()


@each(("name", "value"), [("axes", "yxz"), ("convention", "yx")])
def test_how_prompts_are_read_is_checked(name: str, value: Any) -> None:
    with pytest.raises(NNUNetPromptError, match=f"{name}: expected"):
        RunOptions(**{name: value})


def test_the_example_of_run_options() -> None:
    names = {"RunOptions": RunOptions}
    (test,) = doctest.DocTestFinder(recurse=False).find(RunOptions, "RunOptions", globs=names)
    assert test.examples and doctest.DocTestRunner().run(test).failed == 0
