"""Tuples, lists and arrays as prompts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnunet_prompt.common.errors import PromptError
from nnunet_prompt.prompts.coerce import as_prompt, as_prompt_set
from nnunet_prompt.prompts.types import Box, Point, Scribble
from tests.helpers.each import each
from tests.helpers.nonsense import refuses

POINT, BOX = Point((1.0, 2.0, 3.0)), Box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
LINE = Scribble(((1.0, 1.0, 1.0),))
MASK = np.eye(4, dtype=bool)[None]


@each("given", [(1, 2, 3), [1, 2, 3], np.array([1, 2, 3]), POINT])
def test_three_numbers_are_a_point(given: Any) -> None:
    assert as_prompt(given) == POINT


def test_prompts_stay_what_they_are() -> None:
    assert as_prompt(BOX) is BOX and as_prompt(LINE) is LINE and as_prompt(MASK) is MASK


@each("kind", [np.uint8, np.int64, np.float32])
def test_masks_of_0_and_1(kind: Any) -> None:
    found = as_prompt(MASK.astype(kind))
    assert isinstance(found, np.ndarray) and found.dtype == bool and np.array_equal(found, MASK)


def test_what_is_no_prompt() -> None:
    refuses(as_prompt)
    with pytest.raises(PromptError, match="such as labels == 500"):
        as_prompt(500 * MASK.astype(np.int32))
    with pytest.raises(PromptError, match=r"^prompt: .*Box\(\(10, 20, 5\)"):
        as_prompt([(1, 2, 3), (4, 5, 6)])  # corners of a box, or a line?


def test_sets() -> None:
    assert as_prompt_set((1, 2, 3)).points == (POINT,)
    assert as_prompt_set(MASK).mask is MASK
    several = as_prompt_set([POINT, (4, 5, 6), BOX, LINE, ~MASK, MASK])
    assert several.points == (POINT, Point((4.0, 5.0, 6.0)))
    assert several.boxes == (BOX,) and several.scribbles == (LINE,) and several.mask is MASK
    assert as_prompt_set(several) is several
    refuses(as_prompt_set)
