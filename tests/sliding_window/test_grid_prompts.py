"""Masks that are moved tile by tile: the same voxels as the mask moved as a whole, and never none."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_prompt.prompts.channels import BOX, MASK, N_PROMPT_CHANNELS
from nnunet_prompt.prompts.encode import PromptStyle, Window, encode
from nnunet_prompt.prompts.frames import AxisMap, crop, flip_permute, identity, resample
from nnunet_prompt.prompts.types import Box, Point, PromptSet
from nnunet_prompt.sliding_window.grid_prompts import GridPrompts, moved
from tests.helpers.each import each
from tests.helpers.properties import examples

STYLE = PromptStyle(radii=(1.0, 2.0, 2.0))
SHAPE = (7, 12, 9)


def chain(axes: Any, flips: Any, bounds: Any, new: Any) -> AxisMap:
    """Permuted, cropped and resampled, as a file comes to the grid."""
    there = flip_permute(axes, flips, SHAPE)
    inside = [(a, n - b) for (a, b), n in zip(bounds, there.target_shape, strict=True)]
    there = there.then(crop(there.target_shape, inside))
    return there.then(resample(there.target_shape, new))


COARSE = chain((2, 0, 1), (True, False, True), [(1, 2), (0, 0), (2, 0)], (3, 5, 4))
FINE = chain((1, 2, 0), (False, True, False), [(0, 3), (1, 1), (0, 0)], (20, 11, 7))


def drawn(said: GridPrompts, window: Window) -> Any:
    out = np.full((N_PROMPT_CHANNELS, *window.shape), 7.0, np.float32)
    said.encode(window, STYLE, out)
    return out


@settings(max_examples=examples(60), deadline=None)
@given(
    st.sampled_from([identity(SHAPE), COARSE, FINE]),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.005, 0.05, 0.6]),
    st.tuples(*[st.integers(-4, 8)] * 3),
)
def test_tiles_show_what_the_whole_mask_would(
    to_grid: AxisMap, seed: int, share: float, origin: Any
) -> None:
    mask, negative = np.random.default_rng(seed).random((2, *SHAPE)) < share
    said = PromptSet(
        points=(Point((3.0, 6.0, 4.0)),),
        boxes=(Box((1, 2, 3), (3, 5, 7)), Box((0, 1, 2), (2, 3, 8), False)),
        mask=mask,
        negative_mask=negative,
    )
    window = Window(origin, (4, 6, 5))
    expected = encode(to_grid.prompts(said), window, STYLE)
    assert np.array_equal(drawn(GridPrompts.of(said, to_grid), window), expected)


EXTENTS = [(0.5, 0.5, 0.5), (0.5, 3.2, 1.7), (2.5, 0.5, 4.0)]
GRIDS = [identity(SHAPE), COARSE, FINE]


@each(
    ("to_grid", "extent"),
    list(itertools.product(GRIDS, EXTENTS)),
    fast=list(zip(GRIDS, EXTENTS, strict=True)),
)
def test_tiles_show_every_point_that_reaches_into_them(to_grid: AxisMap, extent: Any) -> None:
    """Also from beyond their border, and clicks of an array so coarse that one voxel of it covers many."""
    said = PromptSet((Point((3.0, 6.0, 4.0), True, extent), Point((0.2, 11.3, 8.1), False, extent)))
    there, found = to_grid.prompts(said), GridPrompts.of(said, to_grid)
    reached = 0
    for origin in np.ndindex(*to_grid.target_shape):
        window = Window(origin, (1, 1, 1))
        expected = encode(there, window, STYLE)
        assert np.array_equal(drawn(found, window), expected)
        reached += int(expected.any())
    assert reached > 2  # more than the voxels of the points themselves


@each("to_grid", [identity(SHAPE), COARSE, FINE])
def test_boxes_hold_the_mask_slice_by_slice(to_grid: AxisMap) -> None:
    mask = np.zeros(SHAPE, bool)
    mask[2:6, 3:9, 2:7] = True
    mask[3, 10, 7] = True
    dense = to_grid.prompts(PromptSet(mask=mask))
    found = GridPrompts.of(PromptSet(mask=mask), to_grid).boxes(STYLE)
    assert len(found) and np.array_equal(found, GridPrompts(dense).boxes(STYLE))


class TestAMaskSmallerThanTheGrid:
    to_grid = resample(
        (8, 8, 8), (2, 2, 2)
    )  # centres at 1.5 and 5.5, which nearest neighbour takes as 2 and 6

    @each("voxel", [(0, 0, 0), (3, 4, 7), (7, 7, 7), (1, 5, 4)])
    def test_it_leaves_the_voxel_that_holds_it(self, voxel: tuple[int, int, int]) -> None:
        mask = np.zeros((8, 8, 8), bool)
        mask[voxel] = True
        said = GridPrompts.of(PromptSet(mask=mask), self.to_grid)
        there = tuple(v // 4 for v in voxel)
        assert said.boxes(STYLE).tolist() == [[[v, v + 1] for v in there]]
        channel = drawn(said, Window((0, 0, 0), (2, 2, 2)))[MASK]
        assert np.argwhere(channel == 1).tolist() == [list(there)] and channel.sum() == 1
        beside = drawn(said, Window((there[0] + 1, 0, 0), (2, 2, 2)))[MASK]
        assert not beside.any()
        whole = self.to_grid.prompts(PromptSet(mask=mask)).mask
        assert whole is not None and np.array_equal(whole, channel > 0)

    def test_a_mask_that_leaves_something_is_not_widened(self) -> None:
        mask = np.zeros((8, 8, 8), bool)
        mask[2, 2, 2] = mask[7, 7, 7] = True  # one of them is seen
        assert moved(mask, self.to_grid).boxes.tolist() == [[[0, 1]] * 3]

    def test_outside_the_crop_there_is_no_voxel(self) -> None:
        to_grid = crop((8, 8, 8), [(2, 6)] * 3).then(resample((4, 4, 4), (1, 1, 1)))
        mask = np.zeros((8, 8, 8), bool)
        mask[0, 0, 0] = True
        said = GridPrompts.of(PromptSet(mask=mask), to_grid)
        assert said.boxes(STYLE).shape == (0, 3, 2)
        assert not drawn(said, Window((0, 0, 0), (1, 1, 1))).any()


def test_an_empty_mask_is_none() -> None:
    empty = PromptSet(boxes=(Box((1, 2, 3), (3, 5, 7)),), mask=np.zeros(SHAPE, bool))
    said = GridPrompts.of(empty, FINE)
    assert said.mask is None and len(said.boxes(STYLE)) == 1


def test_a_mask_is_not_copied() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[3, 4, 5] = True
    said = GridPrompts.of(PromptSet(mask=mask), FINE)
    assert said.mask is not None and said.mask.mask is mask and said.prompts.mask is None


@each("to_grid", [identity(SHAPE), COARSE, FINE])
def test_a_negative_mask_is_drawn_and_asks_for_no_tile(to_grid: AxisMap) -> None:
    area = np.zeros(SHAPE, bool)
    area[2:6, 3:9, 2:7] = True
    said = GridPrompts.of(PromptSet(negative_mask=area), to_grid)
    assert said.mask is None and said.prompts.negative_mask is None
    assert said.negative_mask is not None and said.negative_mask.mask is area
    assert said.boxes(STYLE).shape == (0, 3, 2)
    whole = Window((0, 0, 0), to_grid.target_shape)
    channels = drawn(said, whole)
    expected = to_grid.prompts(PromptSet(negative_mask=area)).negative_mask
    assert expected is not None and expected.any()
    assert np.array_equal(channels[BOX[1]], expected)
    assert not np.delete(channels, BOX[1], 0).any()


def test_an_empty_negative_mask_is_none() -> None:
    said = GridPrompts.of(PromptSet(negative_mask=np.zeros(SHAPE, bool)), FINE)
    assert said.negative_mask is None and not drawn(said, Window((0, 0, 0), (4, 6, 5))).any()
