"""The rasteriser: nnInteractive's points, boxes that never vanish, and windows that see what the volume holds."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from nnunet_prompt.prompts.channels import BOX, MASK, N_PROMPT_CHANNELS, POINT, SCRIBBLE
from nnunet_prompt.prompts.encode import (
    PointShape,
    PromptStyle,
    Window,
    encode,
    point_kernel,
    style_for,
)
from nnunet_prompt.prompts.frames import flip_permute, resample
from nnunet_prompt.prompts.types import Box, Point, PromptSet, Scribble
from tests.helpers import properties
from tests.helpers.each import each
from tests.helpers.orientations import EIGHT, with_flips

SHAPE = (5, 12, 14)
WHOLE = Window((0, 0, 0), SHAPE)
ISOTROPIC = style_for((1.0, 1.0, 1.0))
POINT_SHAPES: tuple[PointShape, ...] = ("edt", "gaussian", "ball")
LINE = np.sqrt([1, 2, 5, 10, 17, 10, 5, 2, 1]) / np.sqrt(17)  # nnInteractive's point along an axis

modest = properties.modest()
spacings = st.tuples(*[st.sampled_from([0.7, 1.0, 1.3, 2.0, 3.3, 8.0, 12.0])] * 3)
point_shapes = st.sampled_from(POINT_SHAPES)


@st.composite
def styles(draw: st.DrawFn) -> PromptStyle:
    return style_for(
        draw(spacings),
        point_shape=draw(point_shapes),
        radius=draw(st.sampled_from([0.0, 1.0, 2.5, 4.0])),
        scribble_radius=draw(st.sampled_from([0.0, 1.0, 2.0])),
        in_plane=draw(st.booleans()),
    )


@st.composite
def prompt_sets(draw: st.DrawFn, shape: Any = SHAPE) -> PromptSet:
    """Prompts of every sort and sign, also between voxels, also thick ones, also just outside."""
    position = st.tuples(*[st.integers(-6, 2 * n + 6).map(lambda i: i / 2) for n in shape])
    sign, extent = st.booleans(), st.sampled_from([(0.5, 0.5, 0.5), (2.0, 0.5, 0.5)])
    points = draw(st.lists(st.builds(Point, position, sign, extent), max_size=4))
    boxes = []
    for lower in draw(st.lists(position, max_size=3)):
        size = draw(st.tuples(*[st.sampled_from([0.25, 1.0, 3.5])] * 3))
        upper: Any = tuple(a + b for a, b in zip(lower, size, strict=True))
        boxes.append(Box(lower, upper, draw(sign)))
    paths = st.lists(position, min_size=1, max_size=3).map(tuple)
    scribbles = draw(st.lists(st.builds(Scribble, paths, sign, extent), max_size=2))
    areas = [
        np.random.default_rng(draw(st.integers(0, 2**32))).random(shape) < 0.3
        if draw(st.booleans())
        else None
        for _ in range(2)
    ]
    return PromptSet(tuple(points), tuple(boxes), tuple(scribbles), *areas)


def one_point(*position: float, **options: Any) -> PromptSet:
    return PromptSet((Point((position[0], position[1], position[2]), **options),))


def planes(channel: Any, axis: int = 0) -> list[int]:
    """The indices along an axis where something is."""
    return np.flatnonzero(channel.any(axis=tuple(a for a in range(3) if a != axis))).tolist()


# --- the stamp of a point


def test_the_numbers_of_nninteractives_point() -> None:
    kernel = point_kernel("edt", (4.0, 4.0, 4.0))
    assert kernel.shape == (9, 9, 9)
    assert kernel.dtype == np.float32
    for line in (kernel[:, 4, 4], kernel[4, :, 4], kernel[4, 4, :]):
        np.testing.assert_allclose(line, LINE, rtol=1e-6)
    np.testing.assert_allclose(
        kernel[4, 4, :5], [0.24253564, 0.34299716, 0.54232615, 0.76696503, 1], rtol=1e-6
    )
    # by their own recipe: distance to the outside of the ball of radius 4, over its largest value
    z, y, x = np.ogrid[-5:6, -5:6, -5:6]
    distance = ndimage.distance_transform_edt(z**2 + y**2 + x**2 <= 16)
    np.testing.assert_allclose(
        kernel, (distance / distance.max())[1:-1, 1:-1, 1:-1].astype(np.float32)
    )


def test_a_gaussian_and_a_ball_by_hand() -> None:
    gaussian = point_kernel("gaussian", (0.5, 2.0, 2.0))
    assert gaussian.shape == (1, 5, 5)
    np.testing.assert_allclose(
        gaussian[0, 2], np.exp([-2, -0.5, 0, -0.5, -2]), rtol=1e-6
    )  # sigma 1
    assert gaussian[0, 0, 1] == 0  # outside the radius
    ball = [[0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [1, 1, 1, 1, 1], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0]]
    np.testing.assert_array_equal(point_kernel("ball", (0.5, 2.0, 2.0)), [ball])


@modest
@given(
    point_shapes,
    st.tuples(*[st.one_of(st.sampled_from([0.0, 0.5, 1.0, 4.0]), st.floats(0, 7))] * 3),
)
def test_the_peak_is_exactly_one_whatever_the_radii(shape: PointShape, radii: Any) -> None:
    kernel = point_kernel(shape, radii)
    assert kernel.shape == tuple(2 * int(r + 1e-6) + 1 for r in radii)
    assert kernel[tuple(n // 2 for n in kernel.shape)] == 1.0
    assert kernel.min() >= 0.0
    assert kernel.max() == 1.0
    for axis in range(3):
        np.testing.assert_array_equal(kernel, np.flip(kernel, axis))


@modest
@given(st.data())
def test_the_peak_of_a_point_stays_one_on_every_grid(data: st.DataObject) -> None:
    """Neither spacing nor radius nor the extent of a thick slice dims or brightens a point."""
    style = data.draw(styles())
    extent = data.draw(st.tuples(*[st.sampled_from([0.2, 0.5, 1.7, 4.0])] * 3))
    position = data.draw(st.tuples(*[st.floats(-0.5, n - 0.51) for n in SHAPE]))
    channel = encode(one_point(*position, extent=extent), WHOLE, style)[POINT[0]]
    assert channel.max() == 1.0
    assert channel[tuple(int(np.floor(x + 0.5)) for x in position)] == 1.0


def test_a_stamp_is_made_once_and_cannot_be_spoilt() -> None:
    kernel = point_kernel("edt", (1.0, 2.0, 3.0))
    assert point_kernel("edt", (1.0, 2.0, 3.0)) is kernel
    with pytest.raises(ValueError, match="read-only"):
        kernel[0, 0, 0] = 1


def test_a_radius_of_nothing_is_one_voxel() -> None:
    for shape in POINT_SHAPES:
        np.testing.assert_array_equal(point_kernel(shape, (0.0, 0.0, 0.0)), [[[1.0]]])
        np.testing.assert_array_equal(point_kernel(shape, (0.9, 0.3, 0.0)), [[[1.0]]])


# --- spacing


def test_radii_shrink_along_coarse_axes() -> None:
    assert style_for((1.0, 1.0, 1.0)) == PromptStyle("edt", (4.0, 4.0, 4.0), (1.0, 1.0, 1.0))
    assert style_for((8.0, 1.0, 2.0)) == PromptStyle("edt", (0.5, 4.0, 2.0), (0.125, 1.0, 0.5))
    assert style_for((3.0, 6.0, 3.0), radius=2.0, scribble_radius=3.0, point_shape="ball") == (
        PromptStyle("ball", (2.0, 1.0, 2.0), (3.0, 1.5, 3.0))
    )


def test_a_slice_network_measures_in_its_plane() -> None:
    assert style_for((0.5, 1.0, 2.0), in_plane=True) == (
        PromptStyle("edt", (0.0, 4.0, 2.0), (0.0, 1.0, 0.5))
    )
    style = style_for((0.5, 1.0, 1.0), in_plane=True)
    prompts = PromptSet(
        (Point((2.0, 6.0, 6.0)),), scribbles=(Scribble(((2.0, 1.0, 1.0), (2.0, 9.0, 9.0))),)
    )
    channels = encode(prompts, WHOLE, style)
    assert planes(channels[POINT[0]]) == [2]
    assert planes(channels[SCRIBBLE[0]]) == [2]


def test_an_anisotropic_point_by_hand() -> None:
    half = point_kernel("edt", style_for((2.0, 1.0, 1.0)).radii)
    assert half.shape == (5, 9, 9)
    np.testing.assert_allclose(half[:, 4, 4], LINE[::2], rtol=1e-6)  # every second of the line
    np.testing.assert_allclose(half[2, 4], LINE, rtol=1e-6)
    thick = point_kernel("edt", style_for((8.0, 1.25, 1.25)).radii)
    assert thick.shape == (1, 9, 9)  # in its own slice
    np.testing.assert_allclose(thick[0, 4], LINE, rtol=1e-6)


def test_a_click_on_a_thick_slice_stays_as_thick_on_a_finer_grid() -> None:
    """Three slices of 12 mm become twelve planes of 3 mm: the click, 6 mm to both sides, reaches two planes."""
    m = resample((3, 5, 5), (12, 5, 5))
    clicked = PromptSet(
        (Point((1.0, 2.0, 2.0)),),
        (Box((1.0, 1.0, 1.0), (2.0, 3.0, 4.0)),),
        (Scribble(((1.0, 0.0, 0.0), (1.0, 4.0, 0.0))),),
    )
    style = style_for((3.0, 1.0, 1.0))
    channels = encode(m.prompts(clicked), Window((0, 0, 0), (12, 5, 5)), style)
    assert planes(channels[BOX[0]]) == [4, 5, 6, 7]
    assert planes(channels[POINT[0]]) == [4, 5, 6, 7, 8]  # round plane 6, next to the middle at 5.5
    assert planes(channels[SCRIBBLE[0]]) == [4, 5, 6, 7, 8]
    # without the extent it would be 4 voxels of 1 mm, so one plane to both sides
    born_here = encode(one_point(6.0, 2.0, 2.0), Window((0, 0, 0), (12, 5, 5)), style)
    assert planes(born_here[POINT[0]]) == [5, 6, 7]


def test_a_click_on_a_coarser_grid_needs_no_extent() -> None:
    m = resample((12, 5, 5), (3, 5, 5))
    channels = encode(m.prompts(one_point(6, 2, 2)), Window((0, 0, 0), (3, 5, 5)), ISOTROPIC)
    born = encode(one_point(1, 2, 2), Window((0, 0, 0), (3, 5, 5)), ISOTROPIC)
    np.testing.assert_array_equal(channels, born)


# --- boxes


@each(
    ("lower", "upper", "expected"),
    [
        (1.0, 4.0, [1, 2, 3]),
        (2.0, 3.0, [2]),
        (0.0, 5.0, [0, 1, 2, 3, 4]),
        (-3.0, 2.0, [0, 1]),
        (4.0, 90.0, [4]),
        (1.4, 3.4, [1, 2]),  # edges at 0.9 and 2.9
        (1.6, 3.6, [2, 3]),  # edges at 1.1 and 3.1
        (1.5, 3.5, [1, 2, 3]),  # edges on the centres 1 and 3
        (1.6, 2.4, [2]),  # between the centres 1 and 2, its middle at 1.5
        (1.6, 2.2, [1]),
        (1.7, 2.45, [2]),
        (5.0, 6.0, []),
        (-1.0, 0.0, []),
    ],
)
@each("axis", [0, 1, 2])
def test_which_planes_a_box_fills(
    axis: int, lower: float, upper: float, expected: list[int]
) -> None:
    shape: list[int] = [3, 3, 3]
    low, high = [0.0, 0.0, 0.0], [3.0, 3.0, 3.0]
    shape[axis], low[axis], high[axis] = 5, lower, upper
    box = Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))
    window = Window((0, 0, 0), (shape[0], shape[1], shape[2]))
    channels = encode(PromptSet(boxes=(box,)), window, ISOTROPIC)
    assert planes(channels[BOX[0]], axis) == expected
    assert set(np.unique(channels)) <= {0.0, 1.0}
    if expected:
        assert channels.sum() == 9 * len(expected)


@modest
@given(st.data())
def test_no_box_inside_the_volume_ever_vanishes(data: st.DataObject) -> None:
    """Single voxels and slivers of voxels, on grids of any coarseness, at any edge."""
    shape = data.draw(st.tuples(*[st.integers(1, 9)] * 3))
    new_shape = data.draw(st.tuples(*[st.integers(1, 9)] * 3))
    lower = tuple(float(data.draw(st.integers(0, n - 1))) for n in shape)
    size = data.draw(st.sampled_from([1.0, 0.3, 0.001]))
    shift = data.draw(st.floats(0, 1 - size))
    start: Any = tuple(a + shift for a in lower)
    stop: Any = tuple(a + size for a in start)
    for sign in (True, False):
        moved = resample(shape, new_shape).prompts(PromptSet(boxes=(Box(start, stop, sign),)))
        channels = encode(moved, Window((0, 0, 0), new_shape), ISOTROPIC)
        assert channels[BOX[0 if sign else 1]].any()
        assert not channels[BOX[1 if sign else 0]].any()


@modest
@given(st.data())
def test_neighbouring_boxes_leave_no_gap(data: st.DataObject) -> None:
    n, new = data.draw(st.integers(2, 9)), data.draw(st.integers(1, 20))
    m = resample((n, 1, 1), (new, 1, 1))
    slices = tuple(Box((float(i), 0.0, 0.0), (i + 1.0, 1.0, 1.0)) for i in range(n))
    channels = encode(m.prompts(PromptSet(boxes=slices)), Window((0, 0, 0), (new, 1, 1)), ISOTROPIC)
    assert channels[BOX[0]].all()


# --- scribbles


def test_a_scribble_by_hand() -> None:
    style = replace(ISOTROPIC, scribble_radii=(0.0, 0.0, 0.0))
    path = ((0.0, 0.0, 0.0), (0.0, 0.0, 3.0), (0.0, 2.0, 3.0))
    channels = encode(
        PromptSet(scribbles=(Scribble(path, False),)), Window((0, 0, 0), (1, 3, 5)), style
    )
    np.testing.assert_array_equal(
        channels[SCRIBBLE[1], 0], [[1, 1, 1, 1, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 0]]
    )
    assert channels.sum() == 6
    thick = encode(
        PromptSet(scribbles=(Scribble(((0.0, 1.0, 2.0),)),)),
        Window((0, 0, 0), (1, 3, 5)),
        ISOTROPIC,
    )
    np.testing.assert_array_equal(
        thick[SCRIBBLE[0], 0], [[0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0]]
    )


@modest
@given(st.lists(st.tuples(*[st.floats(-0.5, n - 0.51) for n in SHAPE]), min_size=1, max_size=5))
def test_a_scribble_has_no_gaps_and_meets_its_vertices(path: Any) -> None:
    style = replace(ISOTROPIC, scribble_radii=(0.0, 0.0, 0.0))
    line = encode(PromptSet(scribbles=(Scribble(tuple(path)),)), WHOLE, style)[SCRIBBLE[0]]
    assert ndimage.label(line, np.ones((3, 3, 3)))[1] == 1
    for vertex in path:
        assert line[tuple(int(np.floor(x + 0.5)) for x in vertex)] == 1.0


@modest
@given(
    st.lists(st.tuples(*[st.integers(-12, 40).map(lambda i: i / 4)] * 3), min_size=1, max_size=6),
    styles(),
    st.booleans(),
)
def test_a_scribble_is_a_ball_at_every_half_voxel(
    path: Any, style: PromptStyle, positive: bool
) -> None:
    """All at once gives what one after the other gives."""
    centres = [np.array(path[0])]
    for a, b in pairwise(np.array(path)):
        steps = max(1, int(np.ceil(2 * np.abs(b - a).max())))
        centres += [a + (b - a) * (k / steps) for k in range(1, steps + 1)]
    kernel = point_kernel("ball", style.scribble_radii)
    pad = 24
    around = np.zeros(tuple(n + 2 * pad for n in SHAPE), np.float32)
    for centre in centres:
        corner = np.floor(centre + 0.5).astype(int) - np.array(kernel.shape) // 2 + pad
        view = around[tuple(slice(c, c + k) for c, k in zip(corner, kernel.shape, strict=True))]
        np.maximum(view, kernel, out=view)
    drawn = encode(PromptSet(scribbles=(Scribble(tuple(path), positive),)), WHOLE, style)
    expected = around[tuple(slice(pad, pad + n) for n in SHAPE)]
    np.testing.assert_array_equal(drawn[SCRIBBLE[0] if positive else SCRIBBLE[1]], expected)
    assert drawn.sum() == expected.sum()


def test_a_vertex_said_twice_is_there_once() -> None:
    style = replace(ISOTROPIC, scribble_radii=(0.0, 0.0, 0.0))
    path = ((0.0, 1.0, 1.0), (0.0, 1.0, 1.0), (0.0, 1.0, 2.0), (0.0, 1.0, 1.0))
    window = Window((0, 0, 0), (1, 3, 4))
    drawn = encode(PromptSet(scribbles=(Scribble(path),)), window, style)
    assert np.argwhere(drawn).tolist() == [[SCRIBBLE[0], 0, 1, 1], [SCRIBBLE[0], 0, 1, 2]]


# --- channels


def test_nothing_said_is_zero_everywhere() -> None:
    channels = encode(PromptSet(), WHOLE, ISOTROPIC)
    assert channels.shape == (N_PROMPT_CHANNELS, *SHAPE)
    assert channels.dtype == np.float32
    assert not channels.any()


@each("positive", [True, False])
def test_clicks_of_one_sign_need_none_of_the_other(positive: bool) -> None:
    """Every sort of prompt alone fills its own channel and no other."""
    corner, end = (1.0, 2.0, 3.0), (2.0, 4.0, 6.0)
    alone = {
        POINT: PromptSet((Point(corner, positive),)),
        BOX: PromptSet(boxes=(Box(corner, end, positive),)),
        SCRIBBLE: PromptSet(scribbles=(Scribble((corner, end), positive),)),
    }
    for pair, prompts in alone.items():
        channels = encode(prompts, WHOLE, ISOTROPIC)
        filled = [c for c in range(N_PROMPT_CHANNELS) if channels[c].any()]
        assert filled == [pair[0 if positive else 1]]
        assert channels.max() == 1.0


def test_both_signs_do_not_disturb_each_other() -> None:
    positive, negative = Point((1.0, 5.0, 5.0)), Point((1.0, 6.0, 6.0), False)
    both = encode(PromptSet((positive, negative)), WHOLE, ISOTROPIC)
    np.testing.assert_array_equal(
        both,
        encode(PromptSet((positive,)), WHOLE, ISOTROPIC)
        + encode(PromptSet((negative,)), WHOLE, ISOTROPIC),
    )


def test_overlapping_points_keep_the_larger_value() -> None:
    both = encode(PromptSet((Point((2.0, 6.0, 5.0)), Point((2.0, 6.0, 7.0)))), WHOLE, ISOTROPIC)
    np.testing.assert_allclose(both[POINT[0], 2, 6, 1:8], [*LINE[:5], LINE[3], 1], rtol=1e-6)


@modest
@given(prompt_sets(), styles(), st.randoms(use_true_random=False))
def test_the_order_of_prompts_does_not_matter(
    prompts: PromptSet, style: PromptStyle, chance: Any
) -> None:
    points, boxes, scribbles = (list(p) for p in (prompts.points, prompts.boxes, prompts.scribbles))
    for shuffled in (points, boxes, scribbles):
        chance.shuffle(shuffled)
    other = replace(prompts, points=tuple(points), boxes=tuple(boxes), scribbles=tuple(scribbles))
    np.testing.assert_array_equal(encode(prompts, WHOLE, style), encode(other, WHOLE, style))


@modest
@given(prompt_sets(), styles())
def test_values_are_peaks_of_one(prompts: PromptSet, style: PromptStyle) -> None:
    channels = encode(prompts, WHOLE, style)
    assert channels.min() >= 0.0
    assert channels.max() <= 1.0
    assert set(np.unique(channels[[MASK, *BOX, *SCRIBBLE]])) <= {0.0, 1.0}
    assert prompts.mask is None or np.array_equal(channels[MASK], prompts.mask)


# --- windows


@modest
@given(st.data())
def test_a_window_is_the_crop_of_the_whole(data: st.DataObject) -> None:
    """Also where it leaves the volume, and also for prompts that lie beside it and reach into it."""
    prompts, style = data.draw(prompt_sets()), data.draw(styles())
    origin = tuple(data.draw(st.integers(-9, n + 4)) for n in SHAPE)
    shape = data.draw(st.tuples(*[st.integers(1, 8)] * 3))
    around = encode(prompts, Window((-9, -9, -9), tuple(n + 24 for n in SHAPE)), style)
    crop = tuple(slice(o + 9, o + 9 + n) for o, n in zip(origin, shape, strict=True))
    window = encode(prompts, Window(origin, shape), style)
    assert window.shape == (7, *shape)
    np.testing.assert_array_equal(window, around[(slice(None), *crop)])


@modest
@given(prompt_sets(), styles())
def test_only_the_window_is_ever_touched(prompts: PromptSet, style: PromptStyle) -> None:
    """Nothing depends on how large the volume is, or how far away its corner."""
    far = 2**30

    def moved(position: Any) -> Any:
        return tuple(x + far for x in position)

    dots = tuple(
        replace(s, path=s.path[:1]) for s in prompts.scribbles
    )  # a line may round elsewhere
    prompts = replace(prompts, scribbles=dots, mask=None, negative_mask=None)
    away = PromptSet(
        tuple(replace(p, position=moved(p.position)) for p in prompts.points),
        tuple(replace(b, lower=moved(b.lower), upper=moved(b.upper)) for b in prompts.boxes),
        tuple(replace(s, path=tuple(map(moved, s.path))) for s in prompts.scribbles),
    )
    there = encode(away, Window((far, far, far), SHAPE), style)
    np.testing.assert_array_equal(there, encode(prompts, WHOLE, style))
    assert not encode(prompts, Window((far, far, far), SHAPE), style).any()
    assert not encode(away, WHOLE, style).any()


def test_a_mask_is_copied_where_the_window_meets_it() -> None:
    mask = np.zeros((2, 3, 4), bool)
    mask[1, 2, 3] = mask[0, 0, 0] = True
    prompts = PromptSet(mask=mask)
    beyond = encode(prompts, Window((1, 1, 2), (2, 3, 4)), ISOTROPIC)
    assert np.argwhere(beyond).tolist() == [[MASK, 0, 1, 1]]
    before = encode(prompts, Window((-1, -2, -3), (2, 3, 4)), ISOTROPIC)
    assert np.argwhere(before).tolist() == [[MASK, 1, 2, 3]]
    assert not encode(prompts, Window((2, 0, 0), (2, 3, 4)), ISOTROPIC).any()
    assert not encode(prompts, Window((-2, 0, 0), (2, 3, 4)), ISOTROPIC).any()


def test_a_negative_mask_shares_the_channel_of_the_negative_boxes() -> None:
    area = np.zeros((2, 3, 4), bool)
    area[1, 2, 3] = area[0, 0, 0] = True
    box = Box((0.0, 1.0, 1.0), (1.0, 2.0, 3.0), False)
    window = Window((0, 0, 0), (2, 3, 4))
    alone = encode(PromptSet(negative_mask=area), window, ISOTROPIC)
    np.testing.assert_array_equal(alone[BOX[1]], area)
    assert not np.delete(alone, BOX[1], 0).any()
    both = encode(PromptSet(boxes=(box,), mask=~area, negative_mask=area), window, ISOTROPIC)
    np.testing.assert_array_equal(both[MASK], ~area)
    expected = area.copy()
    expected[0, 1, 1:3] = True
    np.testing.assert_array_equal(both[BOX[1]], expected)
    assert not np.delete(both, [MASK, BOX[1]], 0).any()
    beyond = encode(PromptSet(negative_mask=area), Window((1, 1, 2), (2, 3, 4)), ISOTROPIC)
    assert np.argwhere(beyond).tolist() == [[BOX[1], 0, 1, 1]]


def test_out_is_cleared_filled_and_returned() -> None:
    out = np.full((7, *SHAPE), 9.0, np.float32)
    prompts = one_point(2, 6, 6)
    assert encode(prompts, WHOLE, ISOTROPIC, out=out) is out
    np.testing.assert_array_equal(out, encode(prompts, WHOLE, ISOTROPIC))
    encode(PromptSet(), WHOLE, ISOTROPIC, out=out)
    assert not out.any()
    with pytest.raises(ValueError, match=r"out must have the shape \(7, 1, 2, 3\), found"):
        encode(prompts, Window((0, 0, 0), (1, 2, 3)), ISOTROPIC, out=out)


@each(("axes", "flips"), with_flips(EIGHT))
def test_turning_the_prompts_turns_the_channels(axes: Any, flips: Any) -> None:
    """What is mirrored with the image at test time is what the mirrored prompts would have drawn."""
    mask = np.random.default_rng(0).random(SHAPE) < 0.2
    prompts = PromptSet(
        (Point((1.0, 3.0, 4.0)), Point((4.0, 11.0, 0.0), False, (2.0, 0.5, 0.5))),
        (Box((0.0, 2.0, 3.0), (2.0, 7.0, 4.0)), Box((1.5, 2.6, 8.1), (2.5, 2.9, 9.8), False)),
        (Scribble(((1.0, 2.0, 3.0), (1.0, 9.0, 3.0), (1.0, 9.0, 5.0))),),
        mask,
    )
    m = flip_permute(axes, flips, SHAPE)
    for shape in POINT_SHAPES:
        style = style_for((4.0, 1.0, 2.0), point_shape=shape)
        turned = style_for([(4.0, 1.0, 2.0)[a] for a in axes], point_shape=shape)
        np.testing.assert_array_equal(
            encode(m.prompts(prompts), Window((0, 0, 0), m.target_shape), turned),
            m.apply(encode(prompts, WHOLE, style)),
        )
