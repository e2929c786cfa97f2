"""Masks as prompts: rough ones, and those that stop where the object goes on."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nnunet_prompt.prompts.corrupt import continued, corrupt, disturbed
from tests.helpers.each import each
from tests.prompts.masks import ball, masks, modest, rng, seeds

# --- corrupt


@modest
@given(masks(), seeds, st.integers(0, 2))
def test_a_corrupted_mask_is_a_mask_of_the_same_shape(mask: Any, seed: int, axis: int) -> None:
    before = mask.copy()
    result = corrupt(mask, rng(seed), slice_axis=axis)
    np.testing.assert_array_equal(mask, before)
    assert result.dtype == bool
    assert result.shape == mask.shape
    assert result.any()  # a mask that lost everything would be no prompt
    assert not np.shares_memory(result, mask)


def test_how_a_mask_is_corrupted() -> None:
    mask = ball((8, 20, 20), 5)
    mask[3, 1, 1] = True  # a second component
    results = [corrupt(mask, rng(seed)) for seed in range(200)]
    perfect = [bool((r == mask).all()) for r in results]
    assert 0.05 < np.mean(perfect) < 0.3
    assert any((r & ~mask).any() and not (mask & ~r).any() for r in results)  # only grown
    assert any((mask & ~r).any() and not (r & ~mask).any() for r in results)  # only shrunk
    assert any(not r[3, :3, :3].any() for r in results)  # a component is gone
    dice = [2 * (r & mask).sum() / (r.sum() + mask.sum()) for r in results]
    assert np.median(dice) > 0.6


@each("axis", [0, 1, 2])
def test_one_slice_grows_and_shrinks_in_its_plane(axis: int) -> None:
    mask = np.moveaxis(ball((1, 25, 25), 8), 0, axis)
    assert mask.shape[axis] == 1
    results = [corrupt(mask, rng(seed), slice_axis=axis) for seed in range(60)]
    shrunk = [r for r in results if not (r & ~mask).any() and r.sum() < 0.9 * mask.sum()]
    grown = [r for r in results if not (mask & ~r).any() and r.sum() > 1.1 * mask.sum()]
    assert shrunk
    assert grown
    assert len({r.tobytes() for r in results}) > 20


@each("axis", [0, 1, 2])
def test_an_image_of_one_slice_is_flat_along_any_axis(axis: int) -> None:
    """Also along another axis than that of the slices: what has one voxel cannot be eroded along it."""
    mask = np.moveaxis(ball((1, 25, 25), 8), 0, axis)
    for slices in range(3):
        results = [corrupt(mask, rng(seed), slice_axis=slices) for seed in range(80)]
        assert any(not (r & ~mask).any() and r.sum() < 0.9 * mask.sum() for r in results)


def test_an_empty_mask_stays_empty_or_gets_blobs() -> None:
    nothing = np.zeros((3, 10, 11), bool)
    results = [corrupt(nothing, rng(seed)) for seed in range(40)]
    assert {bool(r.any()) for r in results} == {True, False}
    assert all(r.shape == nothing.shape and r.dtype == bool for r in results)
    assert not nothing.any()


# --- continued


def rod(shape: tuple[int, int, int], axis: int) -> Any:
    """An object of four voxels across that goes from face to face along `axis`."""
    mask = np.zeros(shape, bool)
    mask[tuple(slice(None) if a == axis else slice(3, 5) for a in range(3))] = True
    return mask


@each("axis", [0, 1, 2])
def test_a_part_enters_at_a_face_and_stops_at_a_plane(axis: int) -> None:
    """Only the faces that the object touches, each as often; and every depth from 1/8 to 3/4 of the patch."""
    shape = (16, 24, 32)
    size = shape[axis]
    target = rod(shape, axis)
    depths: dict[bool, list[int]] = {True: [], False: []}
    for seed in range(400):
        part = continued(target, rng(seed), p_rough=0)
        assert part is not None and part.dtype == bool and part.shape == shape
        assert part.any() and not (part & ~target).any()
        line = np.flatnonzero(part.any(tuple(a for a in range(3) if a != axis)))
        low = line[0] == 0
        assert low != (line[-1] == size - 1)  # one face, and something is left to find
        assert len(line) == line[-1] - line[0] + 1
        depths[bool(low)].append(len(line))
    for found in depths.values():
        assert 150 < len(found) < 250
        assert set(found) == set(range(size // 8, size * 3 // 4 + 1))


def test_one_time_in_four_it_stops_at_a_second_plane() -> None:
    target = np.ones((16, 24, 32), bool)
    cut = []
    for seed in range(400):
        part = continued(target, rng(seed), p_rough=0)
        assert part is not None
        spans = [(int(a.min()), int(a.max()) + 1) for a in np.nonzero(part)]
        assert part.sum() == np.prod([b - a for a, b in spans])  # a box, all of it
        inside = [(a, b) != (0, n) for (a, b), n in zip(spans, part.shape, strict=True)]
        assert all(a == 0 or b == n for (a, b), n in zip(spans, part.shape, strict=True))
        shares = sorted((b - a) / n for (a, b), n in zip(spans, part.shape, strict=True))
        assert 1 / 8 <= shares[0] <= 3 / 4
        assert shares[1] == 1 or 1 / 2 <= shares[1] <= 7 / 8 or shares[0] >= 1 / 2
        cut.append(sum(inside))
    assert set(cut) == {1, 2}
    assert 0.18 < cut.count(2) / len(cut) < 0.32


def test_sometimes_the_object_ends_at_the_plane_or_just_behind_it() -> None:
    """From the left the object ends after 12 of 40 voxels: growing must also learn to stop."""
    target = np.zeros((8, 9, 40), bool)
    target[2:6, 2:6, :12] = True
    ends = []
    for seed in range(800):
        part = continued(target, rng(seed), p_rough=0)
        assert part is not None
        line = np.flatnonzero(part.any((0, 1)))
        assert line.tolist() == list(range(len(line)))
        ends.append(len(line))
    assert set(ends) == set(range(5, 13))
    share = np.bincount(ends) / len(ends)
    assert (share[5:10] > 0.05).all()
    assert 0.45 < share[10:].sum() < 0.61  # one time in four, and three of eight depths besides


def test_an_object_inside_the_patch_is_shown_in_part_from_any_side() -> None:
    target = np.zeros((12, 14, 16), bool)
    target[3:9, 4:10, 5:11] = True
    corners = set()
    for seed in range(300):
        part = continued(target, rng(seed), p_rough=0)
        assert part is not None and part.any() and not (part & ~target).any()
        corners |= {c for c in ((3, 4, 5), (8, 9, 10)) if part[c]}
        for axis, size in enumerate(target.shape):
            line = np.flatnonzero(part.any(tuple(a for a in range(3) if a != axis)))
            assert len(line) == line[-1] - line[0] + 1 <= size
    assert corners == {(3, 4, 5), (8, 9, 10)}


def test_the_face_that_shows_nothing_is_not_taken() -> None:
    """The object lies in the last slice, out of reach of a plane from the first: it is entered from behind."""
    target = np.zeros((16, 1, 1), bool)
    target[14:15] = True
    for seed in range(60):
        part = continued(target, rng(seed), p_rough=0)
        np.testing.assert_array_equal(part, target)


@each("axis", [0, 1, 2])
def test_one_slice_is_entered_in_its_plane(axis: int) -> None:
    shape = [16, 16, 16]
    shape[axis] = 1
    target = np.ones(shape, bool)
    seen = set()
    for seed in range(200):
        part = continued(target, rng(seed), p_rough=0)
        assert part is not None and part.any() and not part.all()
        flat = np.take(part, 0, axis)
        seen |= {
            name
            for name, face in (("low", flat[0]), ("high", flat[-1]))
            if face.all() and not (flat[0].any() and flat[-1].any())
        }
        seen |= {
            name
            for name, face in (("left", flat[:, 0]), ("right", flat[:, -1]))
            if face.all() and not (flat[:, 0].any() and flat[:, -1].any())
        }
    assert seen == {"low", "high", "left", "right"}


def test_nothing_goes_on_from_nothing_or_in_a_single_voxel() -> None:
    assert continued(np.zeros((3, 4, 5), bool), rng()) is None
    assert continued(np.ones((1, 1, 1), bool), rng()) is None


@modest
@given(masks(), seeds, st.integers(0, 2))
def test_there_is_always_something_to_go_on_from(mask: Any, seed: int, axis: int) -> None:
    before = mask.copy()
    part = continued(mask, rng(seed), slice_axis=axis)
    np.testing.assert_array_equal(mask, before)
    if mask.size == 1:
        assert part is None
        return
    assert part is not None and part.any()
    assert part.shape == mask.shape and part.dtype == bool
    assert not np.shares_memory(part, mask)
    # there is a plane: on one axis something is never shown, however rough
    assert any(not part.any(tuple(b for b in range(3) if b != a))[[0, -1]].all() for a in range(3))


def test_some_parts_are_rough_but_never_beyond_the_plane() -> None:
    target = rod((8, 8, 40), 2)
    target[2:6, 2:6] = True
    wrong = 0
    for seed in range(300):
        exact, rough = (continued(target, rng(seed), p_rough=p) for p in (0.0, 1.0))
        assert exact is not None and rough is not None
        spans = [(int(a.min()), int(a.max()) + 1) for a in np.nonzero(exact)]
        line = rough.any((0, 1))
        low, high = spans[2]
        if low == 0:
            assert not line[high:].any()
        else:
            assert not line[:low].any()
        wrong += not np.array_equal(exact, rough)
    assert 0.6 < wrong / 300 < 1  # a tenth is perfect
    drawn = [continued(target, rng(seed)) for seed in range(300)]
    exact = [continued(target, rng(seed), p_rough=0) for seed in range(300)]
    share = np.mean([not np.array_equal(a, b) for a, b in zip(drawn, exact, strict=True)])
    assert 0.15 < share < 0.35


def test_the_generator_alone_decides_what_goes_on() -> None:
    target = ball((10, 20, 22), 8)
    draws = [continued(target, rng(seed)) for seed in (1, 1, *range(2, 12))]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert len({d.tobytes() for d in draws if d is not None}) > 8


# --- disturbed


@modest
@given(masks(), seeds, st.integers(0, 2))
def test_a_disturbed_mask_is_a_mask_of_the_same_shape(mask: Any, seed: int, axis: int) -> None:
    before = mask.copy()
    result = disturbed(mask, rng(seed), slice_axis=axis)
    np.testing.assert_array_equal(mask, before)
    assert result.dtype == bool and result.shape == mask.shape
    assert result.any()
    assert not np.shares_memory(result, mask)


@each("axis", [0, 1, 2])
def test_a_mask_is_disturbed_as_a_whole(axis: int) -> None:
    """A cuboid stays one: moved by up to three voxels, or one or two voxels smaller; grown it loses its corners."""
    low, high = np.array([6, 7, 8]), np.array([14, 16, 18])
    mask = np.zeros((20, 22, 25), bool)
    mask[6:14, 7:16, 8:18] = True
    moves, margins, added = set(), set(), set()
    for seed in range(400):
        result = disturbed(mask, rng(seed), slice_axis=axis)
        where = np.argwhere(result)
        first, last = where.min(0) - low, where.max(0) + 1 - high
        change = tuple(map(tuple, (first.tolist(), last.tolist())))
        if (first == last).all():
            assert result.sum() == mask.sum()
            moves.add(change[0])
            continue
        across = [a for a in range(3) if a != axis]
        steps = int(first[across[0]])
        assert (first[across] == steps).all() and (last == -first).all()
        assert first[axis] in (0, steps)  # thick slices stay as they are
        (margins if steps > 0 else added).add((steps, bool(first[axis])))
        if steps > 0:
            assert result.sum() == np.prod(high - low - 2 * np.abs(first))
        else:
            assert (result | ~mask).all()
    for a in range(3):
        assert {move[a] for move in moves} == set(range(-3, 4))
    assert sum(move[axis] == 0 for move in moves) > len(moves) / 4
    assert margins == {(1, False), (1, True), (2, False), (2, True)}
    assert added == {(-1, False), (-1, True), (-2, False), (-2, True)}


def test_what_would_vanish_stays_as_it_is() -> None:
    thin = np.zeros((3, 9, 9), bool)
    thin[1, 4, 1:8] = True
    corner = np.zeros((3, 9, 9), bool)
    corner[0, 0, 0] = True
    for mask in (thin, corner):
        results = [disturbed(mask, rng(seed)) for seed in range(100)]
        assert all(r.any() for r in results)
        assert any(np.array_equal(r, mask) for r in results)


@each("axis", [0, 1, 2])
def test_one_slice_is_disturbed_in_its_plane(axis: int) -> None:
    mask = np.moveaxis(ball((1, 20, 20), 6), 0, axis)
    sizes = [int(disturbed(mask, rng(s), slice_axis=axis).sum()) for s in range(100)]
    assert min(sizes) < mask.sum() < max(sizes)
    assert sizes.count(int(mask.sum())) > 20  # moved
    empty = np.zeros((3, 4, 5), bool)
    for seed in range(20):
        assert not disturbed(empty, rng(seed), slice_axis=axis).any()
