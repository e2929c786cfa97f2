"""Which tiles are run: the lattice's where they are nearly as cheap, else as few as can be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nnunet_prompt.prompts.encode import Window
from nnunet_prompt.sliding_window.tile_plan import nearest, plan_tiles, shares
from nnunet_prompt.sliding_window.tiles import Boxes, Tiling, cover, on_lattice
from tests.helpers.each import each
from tests.sliding_window.test_tiles import NONE, boxes


class TestPlan:
    tiling = Tiling((32, 64, 64), (16, 32, 32))

    def test_the_lattice_where_it_is_as_cheap(self) -> None:
        corner = boxes([(0, 4), (0, 10), (0, 12)])
        assert plan_tiles([corner], self.tiling) == [[Window((0, 0, 0), (16, 32, 32))]]
        whole = Tiling((16, 32, 20), (16, 32, 32))
        assert plan_tiles([boxes([(0, 16), (0, 32), (3, 4)])], whole) == [whole.lattice()]

    def test_one_tile_for_all_labels_where_it_holds_them(self) -> None:
        first, second = boxes([(10, 14), (20, 26), (22, 26)]), boxes([(10, 14), (22, 28), (23, 25)])
        shared = cover(np.concatenate([first, second]), self.tiling)
        assert len(shared) == 1 and cover(first, self.tiling) != shared
        assert plan_tiles([first, NONE, second], self.tiling) == [shared, [], shared]

    def test_else_each_label_has_its_own(self) -> None:
        first, second = boxes([(10, 14), (20, 26), (22, 26)]), boxes([(10, 14), (38, 45), (38, 42)])
        found = plan_tiles([first, second], self.tiling)
        assert found == [cover(first, self.tiling), cover(second, self.tiling)]
        assert found[0] != found[1]

    def test_known_tiles_stay_while_they_hold_the_prompts(self) -> None:
        first = [(10, 14), (22, 26), (22, 26)]
        before = cover(boxes(first), self.tiling)
        more = boxes(first, [(11, 13), (22, 28), (22, 26)])
        assert plan_tiles([more], self.tiling, [before]) == [before] != [cover(more, self.tiling)]
        beyond = boxes(first, [(12, 14), (36, 38), (22, 26)])
        assert plan_tiles([beyond], self.tiling, [before]) == [cover(beyond, self.tiling)]

    def test_no_labels(self) -> None:
        assert plan_tiles([], self.tiling) == []

    def test_few_tiles_of_the_lattice_are_all_run(self) -> None:
        middle = boxes([(2, 8), (16, 19), (16, 19)])
        small = Tiling((10, 40, 40), (10, 32, 32))  # steps of 0 and 8
        assert plan_tiles([middle], small) == [small.lattice()]
        assert len(small.lattice()) == 4
        assert len(plan_tiles([middle], small, outlined=[True])[0]) == 1

    def test_the_tiles_that_make_up_most_of_the_average(self) -> None:
        flat = Tiling((10, 80, 80), (10, 40, 40))  # steps of 0, 20 and 40
        middle = boxes([(2, 8), (38, 42), (38, 42)])
        assert len(on_lattice(middle, flat)) == 9
        assert plan_tiles([middle], flat) == [[Window((0, 20, 20), (10, 40, 40))]]
        aside = boxes([(2, 8), (38, 42), (48, 50)])
        assert plan_tiles([aside], flat) == [
            [Window((0, 20, 20), (10, 40, 40)), Window((0, 20, 40), (10, 40, 40))]
        ]
        assert plan_tiles([aside], flat, outlined=[True]) == [[Window((0, 20, 20), (10, 40, 40))]]
        large = Tiling((80, 80, 80), (40, 40, 40))
        between = boxes([(48, 52), (48, 52), (38, 42)])  # four tiles, all alike
        assert plan_tiles([between], large) == [[Window((30, 30, 20), (40, 40, 40))]]


class TestNearest:
    tiling = Tiling((10, 80, 80), (10, 40, 40))

    def near(self, them: Boxes, most: int) -> list[tuple[int, ...]] | None:
        found = nearest(them, on_lattice(them, self.tiling), self.tiling, most)
        return None if found is None else [w.origin for w in found]

    def test_no_more_than_asked_for(self) -> None:
        between = boxes([(2, 8), (48, 52), (48, 52)])
        assert self.near(between, 2) is None
        assert self.near(between, 4) == [(0, 20, 20), (0, 20, 40), (0, 40, 20), (0, 40, 40)]

    def test_the_margin_is_held(self) -> None:
        assert self.near(boxes([(2, 8), (38, 42), (38, 55)]), 1) == [(0, 20, 20)]
        assert self.near(boxes([(2, 8), (38, 42), (38, 56)]), 1) is None  # 5 voxels beyond

    def test_every_box_is_seen_before_one_is_seen_twice(self) -> None:
        slices = Tiling((4, 80, 80), (1, 40, 40))
        them = boxes(*[[(z, z + 1), (38, 42), (48, 50)] for z in range(4)])
        for most, count in ((4, 4), (8, 6)):  # the second ones only until it is enough
            found = nearest(them, on_lattice(them, slices), slices, most)
            assert found is not None and len(found) == count
            assert {w.origin for w in found} >= {(z, 20, 20) for z in range(4)}


@each("step", [0.5, 0.8])
def test_shares_are_those_of_nnunets_gaussian(step: float) -> None:
    from nnunetv2.inference.sliding_window_prediction import compute_gaussian

    tiling = Tiling((7, 30, 23), (6, 16, 12), step)
    here = (slice(1, 4), slice(11, 14), slice(9, 12))
    gaussian = compute_gaussian(tiling.tile, dtype=torch.float64, device=torch.device("cpu"))
    parts = np.zeros((len(tiling.lattice()), 7, 30, 23))
    for part, window in zip(parts, tiling.lattice(), strict=True):
        inside = tuple(slice(o, o + n) for o, n in zip(window.origin, window.shape, strict=True))
        part[inside] = gaussian.numpy()
    expected = (parts / parts.sum(0))[(slice(None), *here)].mean((1, 2, 3))
    box = boxes([(s.start, s.stop) for s in here])
    found = shares(box, tiling.lattice(), tiling)
    assert np.allclose(found[:, 0], expected, atol=2e-3) and found.sum() == pytest.approx(1)
