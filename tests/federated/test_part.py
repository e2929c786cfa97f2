"""What is sent: a row of numbers, whose names both ends know."""

from __future__ import annotations

import numpy as np
import pytest

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.federated.part import (
    Factors,
    Part,
    layout_of,
    named_arrays,
    pack_part,
    part_of,
    unpack_part,
)
from tests.helpers.each import each

pytestmark = pytest.mark.slow

SMALL = Part(
    {"b": np.array([[1, 2]], np.float32), "a": np.array([3], np.float32)},
    {"c": Factors(np.array([[4], [5]], np.float32), np.array([[6, 7, 8]], np.float32))},
)


def test_the_numbers_are_sent_in_the_order_of_their_names() -> None:
    assert pack_part(SMALL).tolist() == [3, 1, 2, 4, 5, 6, 7, 8]
    assert layout_of(SMALL).size == 8


def test_what_is_sent_comes_back() -> None:
    layout = layout_of(SMALL)
    again = unpack_part(pack_part(SMALL), layout, source="site a")
    assert layout_of(again) == layout and layout_of(part_of(named_arrays(again))) == layout
    assert pack_part(again).tolist() == pack_part(SMALL).tolist()


def test_an_empty_part_has_no_numbers() -> None:
    empty = Part({}, {})
    assert pack_part(empty).tolist() == []
    assert not named_arrays(unpack_part(pack_part(empty), layout_of(empty), source="site a"))


def test_the_hash_depends_on_names_and_shapes_alone() -> None:
    other = Part({**SMALL.dense, "a": np.array([9], np.float32)}, SMALL.low)
    assert layout_of(other).digest == layout_of(SMALL).digest
    wider = Part({**SMALL.dense, "a": np.array([9, 9], np.float32)}, SMALL.low)
    assert layout_of(wider).digest != layout_of(SMALL).digest


@each(
    "numbers, message",
    [
        (np.zeros(7, np.float32), "site a: expected 8 numbers of float32"),
        (np.zeros(8), "float64"),
        (np.array([0, 0, 0, 0, 0, 0, 0, np.nan], np.float32), "not finite"),
        (np.array([0, 0, 0, 0, 0, 0, 0, np.inf], np.float32), "not finite"),
    ],
)
def test_wrong_numbers_are_refused(numbers: np.ndarray, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        unpack_part(numbers, layout_of(SMALL), source="site a")


def test_half_of_a_product_is_refused() -> None:
    with pytest.raises(ModelError, match="tensor c: expected `up` and `down`"):
        part_of({"up c": np.zeros((2, 1), np.float32)})
