"""What callers hand over: taken in the one form that we work with, or refused in one line."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_prompt.common import arguments
from nnunet_prompt.common.errors import NNUNetPromptError
from tests.helpers.each import each
from tests.helpers.nonsense import NOTHING, NUMBERS, TEXTS, refuses

Triple = namedtuple("Triple", "x y z")


@each("value", [3, 3.0, np.uint8(3), np.float64(3), np.array(3)])
def test_whole_numbers(value: Any) -> None:
    found = arguments.whole_number("n", value, lowest=1)
    assert found == 3 and type(found) is int


def test_what_is_no_whole_number() -> None:
    refuses(lambda v: arguments.whole_number("n", v, lowest=1, highest=9))
    told = r"^n: expected a whole number from 1 up to 9, such as 2, found 10 \(int\)$"
    with pytest.raises(NNUNetPromptError, match=told):
        arguments.whole_number("n", 10, lowest=1, highest=9, example=2)
    with pytest.raises(NNUNetPromptError, match=r"from 0 on, such as 1, found '3' \(str\)$"):
        arguments.whole_number("n", "3", lowest=0)


@each("value", [(1, 2, 3), [1.0, 2, np.int16(3)], np.array([1, 2, 3]), Triple(1, 2, 3)])
def test_three_numbers(value: Any) -> None:
    found = arguments.three_numbers("p", value)
    assert found == (1.0, 2.0, 3.0) and {type(n) for n in found} == {float}


def test_what_is_not_three_numbers() -> None:
    refuses(lambda v: arguments.three_numbers("p", v))
    with pytest.raises(
        NNUNetPromptError, match=r"^p: .*such as \(15, 33, 11\), found \(1, 2\) \(tuple\)$"
    ):
        arguments.three_numbers("p", (1, 2))
    assert "of shape (9, 9)" in _told(lambda: arguments.three_numbers("p", np.zeros((9, 9))))


def test_truth_is_no_number() -> None:
    assert arguments.true_or_false("b", np.bool_(True)) is True
    assert arguments.true_or_false("b", False) is False
    refuses(lambda v: arguments.true_or_false("b", v), [1, 0, "yes", None, np.array([True])])


def test_paths() -> None:
    assert arguments.as_path("p", "a/b") == arguments.as_path("p", Path("a/b")) == Path("a/b")
    refuses(lambda v: arguments.as_path("p", v), [*NOTHING, *NUMBERS, ("a",), "  "])


def test_choices_and_finite_numbers() -> None:
    arguments.one_of("c", "a", ("a", "b"))
    refuses(lambda v: arguments.one_of("c", v, ("a", "b")))
    assert arguments.finite_number("f", np.float32(0.5), 1.0) == 0.5
    refuses(lambda v: arguments.finite_number("f", v, 1.0), [*NOTHING, *TEXTS, True, np.nan])


def test_long_values_are_shown_short() -> None:
    assert len(arguments.shown("x" * 1000)) < 80
    assert arguments.shown(np.zeros((2, 3), np.int8)) == "ndarray of shape (2, 3) and type int8"
    assert arguments.shown(None) == "None"


def _told(call: Any) -> str:
    with pytest.raises(NNUNetPromptError) as error:
        call()
    return str(error.value)
