"""Where tiles lie: small numbers by hand, and what must hold for any prompts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_prompt.prompts.encode import PromptStyle, Window, encode
from nnunet_prompt.prompts.types import Box, Point, PromptSet, Scribble
from nnunet_prompt.sliding_window.sliding_window import POSITIVE_CHANNELS
from nnunet_prompt.sliding_window.tile_plan import plan_tiles
from nnunet_prompt.sliding_window.tiles import (
    Boxes,
    Tiling,
    cover,
    holds,
    mask_boxes,
    on_lattice,
    prompted_boxes,
)
from tests.helpers.each import each
from tests.helpers.properties import examples

NONE = np.zeros((0, 3, 2), np.int64)


def boxes(*bounds: Any) -> Boxes:
    return np.array(bounds, np.int64).reshape(-1, 3, 2)


def seen(windows: list[Window], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """The voxels of the volume under the windows."""
    mask = np.zeros(shape, bool)
    for w in windows:
        mask[
            tuple(slice(max(o, 0), max(o + n, 0)) for o, n in zip(w.origin, w.shape, strict=True))
        ] = True
    return mask


def filled(them: Boxes, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    mask = np.zeros(shape, bool)
    for box in them:
        mask[tuple(slice(max(a, 0), max(b, 0)) for a, b in box)] = True
    return mask


class TestLattice:
    def test_it_is_nnunets(self) -> None:
        origins = [w.origin for w in Tiling((10, 20, 7), (4, 20, 9)).lattice()]
        assert origins == [(0, 0, -1), (2, 0, -1), (4, 0, -1), (6, 0, -1)]

    def test_of_a_2d_configuration_every_slice(self) -> None:
        origins = [w.origin for w in Tiling((3, 8, 8), (1, 8, 6), 0.5).lattice()]
        assert origins == [(z, 0, x) for z in range(3) for x in (0, 2)]

    def test_bounds_are_what_it_sees(self) -> None:
        assert Tiling((10, 20, 6), (4, 20, 9)).bounds().tolist() == [[0, 10], [0, 20], [-1, 8]]


class TestCover:
    tiling = Tiling((32, 64, 64), (16, 32, 32))  # margins of 2, 4 and 4

    def test_one_tile_centred_where_it_fits(self) -> None:
        assert cover(boxes([(10, 20), (20, 40), (30, 38)]), self.tiling) == [
            Window((7, 14, 18), (16, 32, 32))
        ]

    def test_the_margin_needs_its_room(self) -> None:
        fits = boxes([(10, 22), (20, 44), (30, 54)])
        assert len(cover(fits, self.tiling)) == 1
        for axis in range(3):
            larger = fits.copy()
            larger[0, axis, 1] += 1
            assert len(cover(larger, self.tiling)) == 2

    def test_at_the_border_of_the_volume_there_is_nothing_more_to_see(self) -> None:
        assert cover(boxes([(0, 14), (36, 64), (0, 28)]), self.tiling) == [
            Window((0, 32, 0), (16, 32, 32))
        ]

    def test_two_tiles_share_what_is_too_long_for_one(self) -> None:
        found = cover(boxes([(10, 20), (20, 40), (10, 50)]), self.tiling)
        assert [w.origin for w in found] == [(7, 14, 4), (7, 14, 24)]

    def test_no_tile_where_nothing_is_said(self) -> None:
        far = Tiling((32, 64, 400), (16, 32, 32))
        ends = boxes([(10, 20), (20, 40), (10, 20)], [(10, 20), (20, 40), (380, 390)])
        assert [w.origin for w in cover(ends, far)] == [(7, 14, 0), (7, 14, 368)]

    def test_an_oblique_structure_needs_no_box_of_tiles(self) -> None:
        steps = [[(i, i + 1), (i, i + 4), (i, i + 4)] for i in range(0, 120, 2)]
        oblique = Tiling((128, 128, 128), (32, 32, 32))
        found = cover(boxes(*steps), oblique)
        assert len(found) <= 6 < len(on_lattice(boxes(*steps), oblique))

    def test_a_volume_thinner_than_the_tile(self) -> None:
        thin = Tiling((5, 100, 20), (8, 32, 32))
        assert cover(boxes([(0, 5), (40, 50), (0, 3)]), thin) == [Window((-1, 29, -6), (8, 32, 32))]

    def test_nothing(self) -> None:
        assert cover(NONE, self.tiling) == []
        assert cover(boxes([(40, 50), (0, 3), (0, 3)]), self.tiling) == []  # beyond the volume


class TestPromptedBoxes:
    def test_only_of_what_is_positive(self) -> None:
        style = PromptStyle(radii=(1.0, 2.0, 2.0), scribble_radii=(0.0, 1.0, 1.0))
        said = PromptSet(
            points=(Point((3.0, 4.4, 5.0)), Point((30.0, 4.0, 5.0), positive=False)),
            boxes=(Box((1, 2, 3), (2, 4, 9)), Box((9, 9, 9), (12, 12, 12), positive=False)),
            scribbles=(Scribble(((1.0, 1.0, 1.0), (1.0, 5.0, 9.0), (2.0, 5.0, 9.0))),),
        )
        assert prompted_boxes(said, style).tolist() == [
            [[2, 5], [2, 7], [3, 8]],
            [[1, 2], [2, 4], [3, 9]],
            [[1, 2], [0, 7], [0, 11]],
            [[1, 3], [4, 7], [8, 11]],
        ]
        assert prompted_boxes(PromptSet(), style).shape == (0, 3, 2)

    def test_a_mask_slice_by_slice(self) -> None:
        mask = np.zeros((4, 6, 7), bool)
        mask[1, 2:4, 5] = mask[1, 5, 1] = mask[3, 0, 0] = True
        assert mask_boxes(mask).tolist() == [[[1, 2], [2, 6], [1, 6]], [[3, 4], [0, 1], [0, 1]]]
        assert mask_boxes(np.zeros((2, 2, 2), bool)).shape == (0, 3, 2)


SIZE = st.tuples(*[st.integers(1, 24)] * 3)
PLACE = st.tuples(*[st.floats(-3, 27, allow_nan=False)] * 3)
EXTENT = st.tuples(*[st.sampled_from([0.5, 1.7, 3.2])] * 3)


@st.composite
def prompt_sets(draw: st.DrawFn) -> PromptSet:
    sign = st.booleans()
    points = st.builds(Point, PLACE, sign, EXTENT)
    lengths = st.tuples(*[st.floats(0.1, 9)] * 3)
    made = st.tuples(PLACE, lengths, sign).map(
        lambda t: Box(t[0], tuple(a + b for a, b in zip(t[0], t[1], strict=True)), t[2])  # type: ignore[arg-type]
    )
    scribbles = st.builds(
        Scribble, st.lists(PLACE, min_size=1, max_size=3).map(tuple), sign, EXTENT
    )
    few = {"min_size": 0, "max_size": 3}
    return PromptSet(
        tuple(draw(st.lists(points, **few))),  # type: ignore[arg-type]
        tuple(draw(st.lists(made, **few))),  # type: ignore[arg-type]
        tuple(draw(st.lists(scribbles, **few))),  # type: ignore[arg-type]
    )


@settings(max_examples=examples(60), deadline=None)
@given(prompt_sets(), st.sampled_from([(4.0, 4.0, 4.0), (0.0, 2.0, 3.5)]))
def test_prompted_boxes_hold_whatever_is_drawn(said: PromptSet, radii: Any) -> None:
    style = PromptStyle(radii=radii, scribble_radii=(0.0, 1.0, 1.5))
    window = Window((-8, -8, -8), (48, 48, 48))
    drawn = encode(said, window, style)[POSITIVE_CHANNELS].any(0)
    found = prompted_boxes(said, style) + 8
    assert not (drawn & ~filled(found, window.shape)).any()
    assert len(found) == 0 or drawn.any()


@st.composite
def tilings(draw: st.DrawFn) -> tuple[Tiling, Boxes]:
    tiling = Tiling(
        draw(SIZE),
        draw(st.tuples(st.integers(1, 12), st.integers(3, 12), st.integers(3, 12))),
        draw(st.sampled_from([0.5, 1.0])),
    )
    span = st.tuples(st.integers(-2, 25), st.integers(1, 14)).map(lambda t: (t[0], t[0] + t[1]))
    them = draw(st.lists(st.tuples(span, span, span), max_size=6))
    return tiling, boxes(*them)


@settings(max_examples=examples(150), deadline=None)
@given(tilings())
def test_the_plan_holds_all_prompts_with_no_more_tiles_than_the_full_window(
    drawn: tuple[Tiling, Boxes],
) -> None:
    tiling, them = drawn
    (windows,) = plan_tiles([them], tiling)
    wanted = filled(them, tiling.shape)
    assert not (wanted & ~seen(windows, tiling.shape)).any()
    assert len(windows) <= len(on_lattice(them, tiling))
    assert len(set(windows)) == len(windows)
    assert windows == sorted(windows, key=lambda w: w.origin)
    bounds = tiling.bounds()
    for w in windows:  # as inside the volume as a tile can be
        assert all(
            a <= o and o + n <= b for (a, b), o, n in zip(bounds, w.origin, w.shape, strict=True)
        )


@settings(max_examples=examples(100), deadline=None)
@given(tilings())
def test_a_cover_holds_its_boxes_with_their_margin(drawn: tuple[Tiling, Boxes]) -> None:
    tiling, them = drawn
    windows = cover(them, tiling)
    inside = them[[bool(filled(b[None], tiling.shape).any()) for b in them]] if len(them) else them
    assert holds(windows, inside, tiling)
    if windows and any(n > t for n, t in zip(tiling.shape, tiling.tile, strict=True)):
        whole = boxes([(0, n) for n in tiling.shape])
        complete = seen(windows, tiling.shape).all()
        assert holds(windows, whole, tiling) == complete


@each("margin", [0.0, 0.25])
def test_the_margin_can_be_set(margin: float) -> None:
    tiling = Tiling((64, 64, 64), (16, 16, 16), margin=margin)
    assert tiling.margins() == (int(16 * margin),) * 3
    assert len(cover(boxes([(10, 26), (10, 11), (10, 11)]), tiling)) == (1 if margin == 0 else 2)
