"""Values that no argument of ours takes, or few do: what a caller may hand over by mistake."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nnunet_prompt.common.errors import NNUNetPromptError

NOTHING: list[Any] = [None, (), [], {}, set(), "", "\0", b"x", object(), type, lambda: 0]
NUMBERS: list[Any] = [
    *(True, False, 0, -1, 2.5, math.nan, math.inf, 10**30, 1 + 2j, np.bool_(True)),
    *(np.int64(-3), np.float32(0.5), np.datetime64("2026-01-01")),
]
TEXTS: list[Any] = ["LV", "abc", "1,2,3", ("1", "2", "3"), np.array(["a", "b", "c"]), Path("x")]
COORDINATES: list[Any] = [
    *((1, 2), (1, 2, 3, 4), (1, 2, math.nan), (True, False, True), (1 + 2j, 2, 3), range(3)),
    *(iter([1, 2, 3]), [None], {1: 2}, torch.zeros(4), np.zeros(4), np.zeros((2, 2))),
    *(np.zeros((1, 2, 2, 2)), np.array([1, 2, None]), np.zeros((2, 2, 2), complex)),
    *(np.zeros((2, 2, 2), object), np.full((2, 2, 2), 0.5), np.full((2, 2, 2), np.nan)),
]
NONSENSE: list[Any] = [*NOTHING, *NUMBERS, *TEXTS, *COORDINATES]


def refuses(call: Callable[[Any], object], values: Iterable[Any] = NONSENSE) -> None:
    """Every value raises `NNUNetPromptError` in one short line."""
    for value in values:
        try:
            with pytest.raises(NNUNetPromptError) as error:
                call(value)
        except BaseException as other:
            raise AssertionError(f"{value!r} ({type(value).__name__})") from other
        told = str(error.value)
        assert "\n" not in told and len(told) < 600, told
