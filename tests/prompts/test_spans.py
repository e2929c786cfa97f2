"""Boxes of spans meet, join and become slices."""

from __future__ import annotations

import numpy as np

from nnunet_prompt.prompts.spans import (
    intersection,
    is_empty,
    slices_in,
    spans_at,
    spans_of,
    union,
)


def test_where_arrays_lie() -> None:
    assert spans_at((-1, 2, 3), (2, 4, 0)) == [(-1, 1), (2, 6), (3, 3)]
    assert spans_of((2, 4)) == [(0, 2), (0, 4)]


def test_a_box_is_empty_if_one_of_its_spans_is() -> None:
    assert not is_empty([(0, 1), (-3, -2)])
    assert is_empty([(0, 1), (2, 2)]) and is_empty([(0, 1), (3, 2)])


def test_the_intersection_is_in_both() -> None:
    assert intersection([(0, 4), (2, 9)], [(1, 7), (0, 3)]) == [(1, 4), (2, 3)]
    assert is_empty(intersection([(0, 4)], [(4, 9)]))
    assert is_empty(intersection([(0, 2)], [(7, 9)]))


def test_the_union_holds_all() -> None:
    assert union([]) == [(0, 0), (0, 0), (0, 0)]
    assert union([[(1, 2), (0, 3)], [(0, 1), (5, 6)]]) == [(0, 2), (0, 6)]


def test_slices_of_an_array_that_lies_somewhere() -> None:
    line = np.arange(10, 15)  # at 10 to 15, each voxel its own place
    for box, held in [
        ((11, 13), [11, 12]),
        ((0, 12), [10, 11]),
        ((13, 99), [13, 14]),
        ((0, 5), []),
        ((10, 10), []),
        ((20, 30), []),
    ]:
        assert line[slices_in([box], [(10, 15)])].tolist() == held
