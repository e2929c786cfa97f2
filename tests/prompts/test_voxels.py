"""The voxels of a mask: its box, points of it, and its slices one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nnunet_prompt.prompts.voxels import Layers, bounding_box, random_points
from tests.helpers.each import each
from tests.prompts.masks import masks, modest, rng, seeds

# --- bounding_box


def test_the_box_of_a_mask_is_tight() -> None:
    mask = np.zeros((5, 9, 7), bool)
    mask[1, 3, 4] = mask[3, 2, 6] = mask[2, 8, 5] = True
    assert bounding_box(mask) == (slice(1, 4), slice(2, 9), slice(4, 7))
    assert bounding_box(mask[:, :, ::-1]) == (slice(1, 4), slice(2, 9), slice(0, 3))
    assert bounding_box(np.ones((1, 2, 3), bool)) == (slice(0, 1), slice(0, 2), slice(0, 3))


def test_nothing_has_no_box() -> None:
    assert bounding_box(np.zeros((2, 3, 4), bool)) is None
    assert bounding_box(np.zeros((2, 0, 4), bool)) is None


# --- random_points


@modest
@given(masks(), seeds, st.integers(1, 9), st.booleans())
def test_random_points_are_different_voxels_of_the_mask(
    mask: Any, seed: int, count: int, deep: bool
) -> None:
    points = random_points(mask, count, rng(seed), deep=deep)
    assert points.shape[1] == 3
    assert len({tuple(p) for p in points.tolist()}) == len(points)
    assert all(mask[tuple(p)] for p in points)
    if deep:
        assert 1 <= len(points) <= count
    else:
        assert len(points) == min(count, mask.sum())


def test_no_voxel_no_point() -> None:
    for deep in (False, True):
        assert random_points(np.zeros((2, 3, 4), bool), 5, rng(), deep=deep).shape == (0, 3)


@each("axis", [0, 1, 2])
@each("thickness", [1, 9])
def test_deep_points_keep_away_from_the_border_also_in_one_slice(axis: int, thickness: int) -> None:
    mask = np.moveaxis(np.ones((thickness, 9, 9), bool), 0, axis)
    found = np.moveaxis(random_points(mask, 999, rng(), deep=True), 1, 0)
    here = np.zeros_like(mask)
    here[tuple(found)] = True
    inner = (
        2 if thickness == 1 else 1
    )  # the median depth of a square of 9 is 2, of a cube of 9 it is 1
    expected = np.zeros((9, 9), bool)
    expected[inner:-inner, inner:-inner] = True
    np.testing.assert_array_equal(np.moveaxis(here, axis, 0)[thickness // 2], expected)
    assert random_points(np.ones((1, 1, 1), bool), 3, rng(), deep=True).tolist() == [[0, 0, 0]]


# --- Layers


@modest
@given(masks(), seeds, st.integers(0, 2), st.booleans())
def test_layers_know_what_a_look_at_each_slice_shows(
    mask: Any, seed: int, axis: int, cut: bool
) -> None:
    without = rng(seed).random(mask.shape) < 0.3 if cut else None
    left = mask & ~without if without is not None else mask
    layers = Layers(mask, axis, without=without)
    assert layers.areas.tolist() == left.sum(axis=tuple(a for a in range(3) if a != axis)).tolist()
    for index in range(mask.shape[axis]):
        here = np.take(left, [index], axis)
        expected = random_points(here, 3, rng(seed)).tolist()
        assert layers.points(index, 3, rng(seed)) == expected
        if here.any():
            spans = [(side.start, side.stop) for side in bounding_box(here) or ()]
            spans[axis] = (index, index + 1)
            assert layers.extent(index) == spans


def test_the_layers_of_nothing_are_empty() -> None:
    layers = Layers(np.zeros((2, 3, 4), bool), 1)
    assert layers.areas.tolist() == [0, 0, 0]
    assert layers.points(2, 5, rng()) == []
    hidden = np.ones((2, 3, 4), bool)
    assert Layers(hidden, 0, without=hidden).areas.tolist() == [0, 0]
