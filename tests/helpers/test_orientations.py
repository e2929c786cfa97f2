"""The eight orientations that stand for all 48."""

from __future__ import annotations

import numpy as np

from tests.helpers.orientations import ALL, EIGHT, codes, with_flips


def determinant(axes: tuple[int, ...], signs: tuple[int, ...]) -> int:
    return round(np.linalg.det(np.eye(3)[list(axes)].T * signs))


def test_the_eight_have_every_kind() -> None:
    assert len(set(ALL)) == 48 and len(set(EIGHT)) == 8 and set(EIGHT) <= set(ALL)
    assert {axes for axes, _ in EIGHT} == {axes for axes, _ in ALL}
    assert [determinant(*one) for one in EIGHT].count(-1) == 4
    assert all({signs[i] for _, signs in EIGHT} == {1, -1} for i in range(3))


def test_other_ways_to_write_them() -> None:
    some = ["RAS", "LPS", "RPS", "ARS", "SPL", "LSA", "ASR", "IRA"]
    assert codes(EIGHT) == some
    assert len(set(codes(ALL))) == 48
    assert with_flips(EIGHT)[4] == ((2, 1, 0), (False, True, True))
