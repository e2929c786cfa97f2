"""Tiles put together, by hand."""

from __future__ import annotations

import torch

from nnunet_prompt.prompts.encode import Window
from nnunet_prompt.sliding_window.canvas import NOTHING, Canvas

ONES = torch.ones(2, 4, 4)
SHAPE = (2, 8, 10)


def window(z: int, y: int, x: int) -> Window:
    return Window((z, y, x), (2, 4, 4))


def test_it_is_as_large_as_its_tiles_inside_the_volume() -> None:
    canvas = Canvas(SHAPE)
    assert canvas.sums.shape == (1, 0, 0, 0)
    canvas.reserve([window(-1, 2, 4), window(0, 6, 8)])
    assert canvas.box == [(0, 2), (2, 8), (4, 10)] and canvas.sums.shape == (1, 2, 6, 6)
    canvas.reserve([window(0, 3, 5), window(0, 8, 0)])  # within, and beyond the volume
    assert canvas.box == [(0, 2), (2, 8), (4, 10)]


def test_tiles_are_weighted() -> None:
    canvas = Canvas(SHAPE)
    canvas.reserve([window(0, 0, 0), window(0, 0, 2)])
    canvas.add(4 * ONES[None], window(0, 0, 0), 3 * ONES)
    canvas.add(-ONES[None], window(0, 0, 2), 2 * ONES)
    found = canvas.label_logits(1, [window(0, 0, 0)])
    assert found.logits[1, 3].tolist() == [4.0, 4.0, 2.0, 2.0, -1.0, -1.0]
    assert (found.tiles, found.grown, found.windows) == (2, 1, (window(0, 0, 0),))
    whole = found.whole(SHAPE)
    assert (
        whole.shape == SHAPE
        and (whole[:, 4:] == NOTHING).all()
        and (whole[..., 6:] == NOTHING).all()
    )


def test_it_keeps_what_it_has_when_it_grows() -> None:
    canvas = Canvas(SHAPE, 2)
    canvas.reserve([window(0, 4, 6)])
    canvas.add(torch.stack([ONES, 2 * ONES]), window(0, 4, 6), ONES)
    canvas.reserve([window(0, 1, 1)])
    assert canvas.box == [(0, 2), (1, 8), (1, 10)]
    logits = canvas.logits()
    assert logits[:, 0, 3, 5].tolist() == [1.0, 2.0] and logits[0, 0, 0, 0] == NOTHING


def test_the_mask_under_a_window() -> None:
    canvas = Canvas(SHAPE)
    canvas.reserve([window(0, 0, 0)])
    tile = -ONES.clone()
    tile[0, 2:, 1:3] = 5.0
    canvas.add(tile[None], window(0, 0, 0), ONES)
    assert not canvas.mask(window(0, 4, 0)).any()
    seen = canvas.mask(window(-1, 1, 1))
    assert seen.sum() == 4 and seen[1, 1:3, :2].all()


class TestBeyond:
    def canvas(self, *bright: tuple[int, int, int]) -> Canvas:
        canvas = Canvas(SHAPE)
        canvas.reserve([window(0, 0, 3)])
        tile = -ONES.clone()
        for voxel in bright:
            tile[voxel] = 1.0
        canvas.add(tile[None], window(0, 0, 3), ONES)
        return canvas

    def test_half_a_tile_next_to_what_touches_the_face(self) -> None:
        found = self.canvas((1, 3, 1), (0, 3, 2)).beyond([window(0, 0, 3)])
        assert found.tolist() == [[[0, 2], [4, 6], [4, 6]]]
        assert self.canvas((1, 2, 0)).beyond([window(0, 0, 3)]).tolist() == [
            [[1, 2], [2, 3], [1, 3]]
        ]

    def test_the_border_of_the_volume_and_the_inside_do_not_count(self) -> None:
        assert self.canvas((0, 0, 1), (1, 2, 2)).beyond([window(0, 0, 3)]).shape == (0, 3, 2)

    def test_a_face_that_another_tile_covers_does_not_count(self) -> None:
        canvas = self.canvas((1, 3, 1))
        canvas.reserve([window(0, 3, 3)])
        canvas.add(-ONES[None], window(0, 3, 3), 0.1 * ONES)
        assert canvas.beyond([window(0, 0, 3)]).shape == (0, 3, 2)

    def test_a_speck_on_a_large_face_does_not_count(self) -> None:
        large = Window((0, 0, 0), (40, 40, 40))
        canvas = Canvas((40, 40, 80))
        canvas.reserve([large])
        tile = -torch.ones(40, 40, 40)
        tile[5, 5, 39] = 1.0
        canvas.add(tile[None], large, torch.ones(40, 40, 40))
        assert canvas.beyond([large]).shape == (0, 3, 2)
        tile[5, 6, 39] = 9.0
        canvas.add(tile[None], large, torch.ones(40, 40, 40))
        assert canvas.beyond([large]).tolist() == [[[5, 6], [5, 7], [40, 60]]]
