"""Where a user clicks: deep inside, and into the largest errors of a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from nnunet_prompt.prompts.clicks import (
    as_position,
    corrective_clicks,
    deep_point,
    error_components,
    largest_components,
)
from tests.helpers.each import each
from tests.prompts.masks import ball, masks, modest, rng, seeds


def blank(*shape: int) -> Any:
    return np.zeros(shape, bool)


# --- the deepest point


def test_the_deepest_voxel_of_a_cuboid_is_its_centre() -> None:
    mask = blank(9, 12, 13)
    mask[2:7, 3:8, 4:9] = True
    assert deep_point(mask) == (4, 5, 6)
    mask[0, 0] = True  # thin, and elsewhere
    assert deep_point(mask) == (4, 5, 6)


def test_the_deepest_voxel_of_an_l_is_where_its_arms_meet() -> None:
    mask = blank(1, 12, 12)
    mask[0, 1:4, 1:11] = True
    mask[0, 1:11, 1:4] = True
    mask[0, 1:6, 1:6] = True
    assert deep_point(mask) == (0, 3, 3)


@each("axis", [0, 1, 2])
def test_one_slice_has_no_border_across_it(axis: int) -> None:
    plane = ball((1, 9, 11), 4)
    assert deep_point(np.moveaxis(plane, 0, axis)) == tuple(np.insert([4, 5], axis, 0))
    thick = np.moveaxis(np.pad(plane, ((1, 1), (0, 0), (0, 0))), 0, axis)
    assert thick[deep_point(thick)]


def test_an_array_without_a_border_is_clicked_all_the_same() -> None:
    assert deep_point(np.ones((1, 1, 1), bool)) == (0, 0, 0)
    row = np.ones((1, 1, 9), bool)
    assert deep_point(row) == (0, 0, 4)  # the ends of the array are its border


def test_the_border_of_the_image_is_a_border() -> None:
    assert deep_point(np.ones((5, 7, 9), bool)) == (2, 3, 4)
    corner = blank(8, 8, 8)
    corner[:5, :5, :5] = True
    assert deep_point(corner) == (2, 2, 2)


def test_of_those_that_are_as_deep_it_is_the_one_in_their_middle() -> None:
    thin = blank(2, 9, 13)
    thin[:, 1:8, 2:11] = True  # two slices: all of it is one voxel deep
    assert deep_point(thin) == (0, 4, 6)
    rod = blank(9, 5, 12)
    rod[2:7, 1:4, 3:10] = True  # as deep all along
    assert deep_point(rod) == (4, 2, 6)
    ring = blank(1, 9, 9)
    ring[0, 1:8, 1:8] = True
    ring[0, 2:7, 2:7] = False
    place = deep_point(ring)
    assert place is not None and ring[place]  # the middle of a ring is none of it


def test_spacing_says_what_is_far() -> None:
    """In voxels the cube is deeper, in millimetres the plate of thick slices."""
    mask = blank(14, 30, 30)
    mask[1:6, 2:7, 2:7] = True  # 5 x 5 x 5
    mask[8:12, 10:29, 10:29] = True  # 4 x 19 x 19
    assert deep_point(mask) == (3, 4, 4)
    assert deep_point(mask, spacing=(1, 1, 1)) == (3, 4, 4)
    assert deep_point(mask, spacing=(5, 1, 1)) == (9, 19, 19)  # no farther from the faces than 10
    assert deep_point(mask, spacing=(0.1, 1, 1)) == (3, 4, 4)


@modest
@given(masks(), seeds, st.sampled_from([0.5, 0.6, 1.0]))
def test_it_lies_in_the_mask_and_as_deep_as_asked_for(mask: Any, seed: int, least: float) -> None:
    place = deep_point(mask, rng(seed), least=least)
    assert place is not None and mask[place]
    border = [(1, 1) if n > 1 else (0, 0) for n in mask.shape]
    if any(pad != (0, 0) for pad in border):
        depth = ndimage.distance_transform_edt(np.pad(mask, border))
        depth = depth[tuple(slice(a, a + n) for (a, _), n in zip(border, mask.shape, strict=True))]
        assert depth[place] >= least * depth.max() - 1e-9
        deepest = np.argwhere(depth >= depth.max() - 1e-9)
        apart = ((deepest - deepest.mean(0)) ** 2).sum(1)
        assert deep_point(mask) == tuple(deepest[apart.argmin()])


def test_chance_takes_all_that_are_deep_enough() -> None:
    mask = blank(1, 9, 9)
    mask[0, 1:8, 1:8] = True
    centre = {(0, 4, 4)}
    assert {deep_point(mask, rng(s)) for s in range(10)} == centre
    inner = {(0, y, x) for y in range(2, 7) for x in range(2, 7)}
    assert {deep_point(mask, rng(s), least=0.5) for s in range(300)} == inner


def test_an_empty_mask_has_no_deep_voxel() -> None:
    assert deep_point(blank(3, 4, 5)) is None
    assert deep_point(blank(3, 4, 5), rng(), least=0.5) is None


def test_a_large_mask_is_looked_at_in_steps() -> None:
    mask = blank(6, 300, 400)
    mask[1:6, 20:280, 30:390] = True  # steps of 1, 6 and 8
    place = deep_point(mask)
    assert place is not None and mask[place]
    assert place[0] == 3  # as deep as the slices are thick, in steps of nothing
    wide = blank(1, 500, 500)
    wide[0, 100:401, 50:351] = True
    place = deep_point(wide)
    assert place is not None
    assert np.abs(np.subtract(place, (0, 250, 200))).max() <= 7  # the step


def test_what_the_steps_do_not_meet_is_looked_at_voxel_by_voxel() -> None:
    mask = blank(1, 400, 400)
    mask[0, np.arange(1, 300), np.arange(1, 300)] = True
    mask[0, np.arange(1, 300), np.arange(1, 300) + 1] = True
    hollow = mask.copy()
    hollow[0, ::7] = False  # of which the steps of 7 see nothing
    for thin in (mask, hollow):
        place = deep_point(thin)
        assert place is not None and thin[place]
        place = deep_point(thin, rng(), least=0.5)
        assert place is not None and thin[place]


# --- errors


def test_components_come_by_size() -> None:
    mask = blank(3, 8, 8)
    mask[0, 0, :3] = mask[1, 4, 4] = mask[2, 5:7, 5:7] = True
    parts = list(largest_components(mask))
    assert [int(p.sum()) for p in parts] == [4, 3, 1]
    assert np.array_equal(np.logical_or.reduce(parts), mask)
    assert all(p.shape == mask.shape and p.dtype == bool for p in parts)
    assert list(largest_components(blank(2, 2, 2))) == []
    diagonal = np.eye(3, dtype=bool)[None]
    assert [int(p.sum()) for p in largest_components(diagonal)] == [1, 1, 1]  # by faces


def three_errors() -> tuple[Any, Any]:
    """In one slice 12 voxels missing, 20 voxels spurious, 2 voxels missing."""
    target, found = blank(1, 12, 24), blank(1, 12, 24)
    target[0, 1:4, 1:5] = True
    found[0, 7:11, 6:11] = True
    target[0, 10, 13:15] = True
    target[0, 1:9, 17:21] = found[0, 1:9, 17:21] = True  # which is right
    return target, found


def test_errors_are_missing_or_spurious_the_largest_first() -> None:
    target, found = three_errors()
    errors = error_components(target, found, 3)
    assert [(int(e.sum()), missing) for e, missing in errors] == [
        (20, False),
        (12, True),
        (2, True),
    ]
    assert np.array_equal(errors[0][0], found & ~target)
    assert len(error_components(target, found)) == 1
    assert len(error_components(target, found, 2)) == 2
    assert len(error_components(target, found, 9)) == 3


def test_clicks_go_into_the_largest_errors_with_the_right_sign() -> None:
    target, found = three_errors()
    clicks = corrective_clicks(target, found, count=9)
    assert [p.positive for p in clicks] == [False, True, True]
    assert [tuple(map(int, p.position)) for p in clicks] == [(0, 8, 8), (0, 2, 2), (0, 10, 13)]
    assert corrective_clicks(target, found) == clicks[:1]
    assert corrective_clicks(target, found, count=2) == clicks[:2]


def test_a_perfect_mask_is_not_clicked() -> None:
    mask = ball((5, 9, 9), 3)
    for perfect in (mask, blank(5, 9, 9), np.ones((5, 9, 9), bool)):
        assert corrective_clicks(perfect, perfect.copy(), rng(), count=3) == ()
        assert error_components(perfect, perfect.copy(), 3) == []


@modest
@given(masks(), seeds, st.integers(1, 4))
def test_every_click_corrects(mask: Any, seed: int, count: int) -> None:
    found = rng(seed).random(mask.shape) < 0.5
    before = mask.copy(), found.copy()
    clicks = corrective_clicks(mask, found, rng(seed), count=count, least=0.6)
    wrong = mask != found
    assert len(clicks) <= count
    assert bool(clicks) == wrong.any()
    for point in clicks:
        z, y, x = (int(v) for v in point.position)
        assert mask[z, y, x] == point.positive and found[z, y, x] != point.positive
    sizes = [int(e.sum()) for e, _ in error_components(mask, found, count)]
    assert sizes == sorted(sizes, reverse=True)
    assert np.array_equal(before[0], mask) and np.array_equal(before[1], found)


def test_a_position_is_the_centre_of_a_voxel() -> None:
    assert as_position((1, 2, 3)) == (1.0, 2.0, 3.0)
    assert all(isinstance(v, float) for v in as_position((1, 2, 3)))
