"""Shapes are functions of a place: exact distances, and the same body on any grid."""

from __future__ import annotations

import numpy as np
import pytest

from nnunet_prompt.phantom.scanner import positions
from nnunet_prompt.phantom.shapes import (
    Ellipsoid,
    Positions,
    Tube,
    depth_in,
    draw_waves,
    largest_piece,
    upright,
)

pytestmark = pytest.mark.slow


def at(row: float, column: float, slices: float) -> Positions:
    return np.full((1, 1, 1), row), np.full((1, 1, 1), column), np.full((1, 1, 1), slices)


def test_an_ellipsoid() -> None:
    egg = Ellipsoid((1.0, 2.0, 3.0), (2.0, 4.0, 6.0))
    assert egg.radius(at(1, 2, 3)).item() == 0
    assert egg.radius(at(3, 2, 3)).item() == egg.radius(at(1, -2, 3)).item() == 1
    assert egg.radius(at(1, 2, 15)).item() == 2
    assert egg.radius(at(1, 7, 3), grow_mm=1.0).item() == 1
    assert egg.surface((0, 0, -5)) == (1, 2, -3)
    on = egg.surface((1, 1, 1))
    assert egg.radius(at(*on)).item() == pytest.approx(1)


def test_a_tube_gets_thinner_and_has_round_ends() -> None:
    tube = Tube((0.0, 0.0, 0.0), (0.0, 0.0, 10.0), 4.0, 2.0)
    assert tube.depth(at(0, 0, 0)).item() == 4
    assert tube.depth(at(0, 3, 5)).item() == 0  # 3 mm wide in the middle
    assert tube.depth(at(0, 0, 13)).item() == -1  # 3 mm beyond the end, which is 2 mm wide
    assert tube.depth(at(0, 0, -4)).item() == 0
    assert Tube((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 1.0, 1.0).depth(at(3, 0, 0)).item() == -2
    other = Tube((9.0, 0.0, 0.0), (9.0, 0.0, 10.0), 1.0, 1.0)
    assert depth_in((tube, other), at(9, 0, 5)).item() == 1


def test_waves_depend_on_the_place_and_not_on_the_grid() -> None:
    waves = draw_waves(np.random.default_rng(0), (10, 30))
    fine = waves(positions((41, 33, 17), (2.0, 3.0, 5.0)))
    coarse = waves(positions((21, 17, 9), (4.0, 6.0, 10.0)))
    assert fine.shape == (41, 33, 17)
    np.testing.assert_allclose(fine[::2, ::2, ::2], coarse, atol=1e-9)
    assert abs(fine.mean()) < 0.2 and 0.7 < fine.std() < 1.3
    again = draw_waves(np.random.default_rng(0), (10, 30))
    np.testing.assert_array_equal(again.vectors, waves.vectors)


def test_the_largest_piece() -> None:
    mask = np.zeros((5, 4, 1), bool)
    assert largest_piece(mask) is mask
    mask[0, 0] = mask[2:4, 1:3] = True
    assert largest_piece(mask).sum() == 4 and not largest_piece(mask)[0, 0]


def test_an_upright_tube() -> None:
    tube = upright(np.array([3, -2]), 5, half_mm=40)
    assert (tube.start, tube.end) == ((3.0, -2.0, -40.0), (3.0, -2.0, 40.0))
    assert tube.radius_mm == tube.end_radius_mm == 5.0
