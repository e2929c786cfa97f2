"""The tiles round the prompts: what is run, what it is shown, and how it grows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nnunet_prompt.prompts.channels import BOX, MASK, POINT
from nnunet_prompt.prompts.encode import Window, style_for
from nnunet_prompt.prompts.types import Box, Point, PromptSet, Scribble
from nnunet_prompt.sliding_window.canvas import NOTHING, LabelLogits
from nnunet_prompt.sliding_window.lazy_image import DenseImage
from nnunet_prompt.sliding_window.sliding_window import Engine
from nnunet_prompt.sliding_window.tile_cache import TileCache
from tests.helpers.each import each

CPU = torch.device("cpu")
STYLE = style_for((1.0, 1.0, 1.0), radius=1.0, scribble_radius=0.5)
SHAPE = (12, 40, 36)


class Sees(nn.Module):
    """The object is what a prompt channel shows and the image allows (above zero); it notes what it is given."""

    def __init__(self, channel: int = BOX[0]) -> None:
        super().__init__()
        self.channel = channel
        self.batches: list[int] = []
        self.shown: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.batches.append(x.shape[0])
        self.shown += list(x[:, 1:].clone())
        prompt = x[:, 1 + self.channel : 2 + self.channel]
        return torch.cat([6 * prompt - 3 + x[:, :1].clamp(-2, 2), x[:, :1]], 1)


class Spreads(nn.Module):
    """The object is the image (above zero) of every tile in which a prompt or a mask shows anything of it."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.shown += list(x[:, 1:].clone())
        return x[:, :1].clone()


def engine(network: nn.Module, patch: tuple[int, ...] = (8, 16, 16), **changes: Any) -> Engine:
    return Engine(network=network, patch_size=patch, **{"style": STYLE, "device": CPU, **changes})


def image(shape: tuple[int, int, int] = SHAPE) -> DenseImage:
    return DenseImage(torch.randn((1, *shape), generator=torch.Generator().manual_seed(0)))


def tube(shape: tuple[int, int, int] = SHAPE) -> DenseImage:
    """An image that is bright along one line of axis 1 and one of axis 2, and dark elsewhere."""
    values = torch.full((1, *shape), -1.0)
    values[0, 5:7, 4:36, 5:8] = 1.0
    values[0, 5:7, 33:36, 5:34] = 1.0
    return DenseImage(values)


def box(lower: Any, upper: Any, *, positive: bool = True) -> PromptSet:
    return PromptSet(boxes=(Box(lower, upper, positive),))


def mask_of(found: LabelLogits, shape: tuple[int, int, int] = SHAPE) -> npt.NDArray[np.bool_]:
    return np.asarray(found.whole(shape).numpy() > 0)


def some_mask() -> npt.NDArray[np.bool_]:
    mask = np.zeros(SHAPE, bool)
    mask[3:6, 10:20, 22:30] = True
    return mask


PROMPTS = {
    "box of one slice": box((5, 12, 9), (6, 22, 17)),
    "3D box": box((3, 12, 9), (9, 22, 17)),
    "box larger than a tile": box((1, 2, 3), (11, 39, 33)),
    "mask": PromptSet(mask=some_mask()),
    "scribble": PromptSet(scribbles=(Scribble(((2.0, 5.0, 5.0), (8.0, 30.0, 20.0))),)),
    "points": PromptSet(points=(Point((4.0, 9.0, 9.0)), Point((9.0, 30.0, 30.0)))),
    "two distant boxes": PromptSet(
        boxes=(Box((1, 1, 1), (3, 5, 5)), Box((9, 33, 30), (11, 39, 35)))
    ),
}
CHANNELS = {"mask": MASK, "scribble": 5, "points": POINT[0]}


@each("said", PROMPTS)
@each("patch", [(8, 16, 16), (16, 64, 48), (16, 16), (5, 40, 9)])
def test_fewer_tiles_find_the_full_windows_mask(said: str, patch: tuple[int, ...]) -> None:
    """A network that looks at one voxel only cannot tell the tiles apart."""
    network = Sees(CHANNELS.get(said, BOX[0]))
    run = engine(network, patch)
    (full,) = run.find(image(), [PROMPTS[said]], window="full")
    tiles = len(network.shown)
    assert full.tiles == tiles and full.grown == 0
    (found,) = run.find(image(), [PROMPTS[said]])
    assert len(network.shown) - tiles == found.tiles <= tiles
    assert mask_of(full).any()
    assert np.array_equal(mask_of(found), mask_of(full))


def test_where_the_lattice_is_as_cheap_it_is_the_full_window_to_the_last_bit() -> None:
    torch.manual_seed(0)
    network = nn.Conv3d(8, 1, 3, padding=1)  # sees the border of its tile
    for shape, said in (
        ((8, 16, 12), box((2, 3, 4), (5, 9, 9))),
        (SHAPE, box((0, 0, 0), (3, 5, 5))),
    ):
        run = engine(network, growth=0)
        (full,) = run.find(image(shape), [said], window="full")
        (found,) = run.find(image(shape), [said])
        assert full.tiles == found.tiles == 1
        assert torch.equal(found.whole(shape), full.whole(shape))


def test_one_tile_in_the_middle_instead_of_the_lattices_many() -> None:
    network = Sees()
    said = box((5, 17, 14), (7, 23, 22))
    (full,) = engine(network).find(image(), [said], window="full")
    (found,) = engine(network).find(image(), [said])
    assert (full.tiles, found.tiles) == (16, 1)
    assert found.windows == (Window((2, 12, 10), (8, 16, 16)),)
    assert found.origin == (2, 12, 10) and found.logits.shape == (8, 16, 16)


def test_the_logits_are_there_only_where_tiles_were() -> None:
    (found,) = engine(Sees()).find(image(), [box((5, 17, 14), (7, 23, 22))])
    whole = found.whole(SHAPE)
    inside = torch.zeros(SHAPE, dtype=torch.bool)
    inside[2:10, 12:28, 10:26] = True
    assert (whole[~inside] == NOTHING).all() and (whole[inside] > NOTHING).all()


class TestLabels:
    def test_labels_in_one_tile_share_a_batch(self) -> None:
        network = Sees()
        sets = [box((4, 19, 17), (6, 22, 20)), box((4, 19, 18), (6, 22, 20)), PromptSet()]
        found = engine(network).find(image(), sets)
        assert network.batches == [2]
        assert found[0].windows == found[1].windows and found[2].windows == ()
        for one, said in zip(found, sets, strict=True):
            (alone,) = engine(Sees()).find(image(), [said])
            assert np.array_equal(mask_of(one), mask_of(alone))

    def test_labels_apart_are_run_where_their_own_prompts_lie(self) -> None:
        network = Sees()
        sets = [box((2, 4, 4), (7, 10, 10)), box((4, 30, 27), (6, 34, 33))]
        found = engine(network, max_batch=1).find(image(), sets)
        assert network.batches == [1, 1]
        assert [f.tiles for f in found] == [1, 1]
        assert found[0].windows != found[1].windows

    def test_negatives_alone_never_start_a_tile(self) -> None:
        network = Sees()
        sets = [
            box((2, 4, 4), (7, 10, 10), positive=False),
            PromptSet(points=(Point((5.0, 30.0, 30.0), positive=False),)),
            PromptSet(
                boxes=(Box((2, 4, 4), (7, 10, 10)),), points=(Point((9.0, 36.0, 33.0), False),)
            ),
        ]
        found = engine(network).find(image(), sets)
        assert network.batches == [1]
        assert [f.tiles for f in found] == [0, 0, 1]
        assert not mask_of(found[0]).any() and found[0].logits.numel() == 0

    def test_nothing_at_all(self) -> None:
        assert engine(Sees()).find(image(), []) == []
        (found,) = engine(Sees()).find(image(), [PromptSet()])
        assert (found.tiles, found.grown, found.windows) == (0, 0, ())
        assert (found.whole(SHAPE) == NOTHING).all()


class TestGrowth:
    said = PromptSet(points=(Point((5.0, 6.0, 6.0)),))

    def test_it_follows_the_mask_out_of_the_first_tile(self) -> None:
        network = Spreads()
        (found,) = engine(network).find(tube(), [self.said])
        assert np.array_equal(mask_of(found), tube().array[0].numpy() > 0)
        assert found.tiles == len(network.shown) and 0 < found.grown < found.tiles
        (still,) = engine(Spreads(), growth=0).find(tube(), [self.said])
        assert still.grown == 0 and mask_of(still).sum() < mask_of(found).sum()

    def test_a_grown_tile_is_shown_the_mask_so_far_and_the_prompts_it_sees(self) -> None:
        network = Spreads()
        (found,) = engine(network, growth=1).find(tube(), [self.said])
        assert found.grown == 1
        *first, grown = network.shown
        assert all(tile[POINT[0]].any() and not tile[MASK].any() for tile in first)
        assert not grown[POINT[0]].any() and grown[MASK].any()
        (start,) = engine(Spreads(), growth=0).find(tube(), [self.said])
        windows = engine(Spreads()).find(tube(), [self.said])[0].windows
        assert len(windows) == len(first) and {w.origin[1] for w in windows} == {0}
        low = 16 - 4  # half a tile further, in the middle of a tile of 16
        assert torch.equal(grown[MASK][:, :4] > 0, start.whole(SHAPE)[2:10, low : low + 4, :16] > 0)
        assert not grown[MASK][:, 4:].any()

    def test_it_ends_where_it_may_not_go(self) -> None:
        limit = np.array([[[0, 12], [0, 22], [0, 36]]])
        (found,) = engine(Spreads()).find(tube(), [self.said], limits=[limit])
        (free,) = engine(Spreads()).find(tube(), [self.said])
        assert 0 < found.grown < free.grown
        (none,) = engine(Spreads()).find(
            tube(), [self.said], limits=[np.zeros((1, 3, 2), np.int64)]
        )
        assert none.grown == 0

    def test_no_label_gets_more_tiles_than_the_full_window_has(self) -> None:
        bright = DenseImage(torch.ones((1, *SHAPE)))
        run = engine(Spreads(), step_size=1.0, growth=100)
        (found,) = run.find(bright, [self.said])
        assert found.tiles <= 2 * 3 * 3

    def test_the_border_of_the_volume_is_no_border(self) -> None:
        bright = DenseImage(torch.ones((1, 8, 16, 16)))
        (found,) = engine(Spreads()).find(bright, [self.said])
        assert (found.tiles, found.grown) == (1, 0) and mask_of(found, (8, 16, 16)).all()

    def test_only_the_labels_that_touch_grow(self) -> None:
        small = PromptSet(points=(Point((5.0, 34.0, 20.0)),))
        found = engine(Spreads()).find(tube(), [self.said, small, PromptSet()])
        assert np.array_equal(mask_of(found[0]), mask_of(found[1]))
        assert found[0].grown and found[1].grown and not found[2].grown
        dark = DenseImage(-torch.ones((1, *SHAPE)))
        assert [f.grown for f in engine(Spreads()).find(dark, [self.said, small])] == [0, 0]

    def test_the_full_window_never_grows(self) -> None:
        (found,) = engine(Spreads()).find(tube(), [self.said], window="full")
        assert found.grown == 0

    def test_slices_of_a_2d_configuration_grow_in_their_plane_only(self) -> None:
        thin = style_for((9.0, 1.0, 1.0), radius=1.0, in_plane=True)
        (found,) = engine(Spreads(), (16, 16), style=thin).find(tube(), [self.said])
        assert found.grown and set(np.flatnonzero(mask_of(found).any((1, 2)))) == {5}


class TestEnsembleAndCache:
    def test_folds_are_averaged_tile_by_tile(self) -> None:
        folds = []
        for bias in (0.0, 3.0):
            torch.manual_seed(0)
            folds.append(nn.Conv3d(8, 1, 1))
            nn.init.constant_(folds[-1].bias, bias)  # type: ignore[arg-type]
        said = [box((2, 4, 4), (7, 10, 10))]
        (both,) = engine(folds[0], ensemble=(folds[1],), growth=0).find(image(), said)
        alone = [engine(fold, growth=0).find(image(), said)[0].logits for fold in folds]
        assert torch.allclose(both.logits, (alone[0] + alone[1]) / 2, atol=1e-5)
        assert not torch.allclose(both.logits, alone[0])

    def test_what_was_run_is_not_run_again(self) -> None:
        network, cache = Sees(), TileCache()
        run = engine(network)
        sets = [box((1, 2, 3), (11, 39, 33)), box((2, 4, 4), (7, 10, 10))]
        first = run.find(image(), sets, cache=cache)
        count = len(network.shown)
        again = run.find(image(), sets, cache=cache)
        assert len(network.shown) == count == cache.misses
        for a, b in zip(first, again, strict=True):
            assert torch.equal(a.logits, b.logits) and a.tiles == b.tiles
        click = Point((1.0, 3.0, 4.0), positive=False)
        changed = [PromptSet((click,), sets[0].boxes), sets[1]]
        known = [f.windows for f in first]
        run.find(image(), changed, cache=cache, known=known)
        reached = [w for w in known[0] if all(o <= 5 for o in w.origin)]
        assert 0 < len(network.shown) - count <= len(reached) < len(known[0])
