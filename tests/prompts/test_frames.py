"""A prompt stays on what it points at, from the file to PLS, to the reader frame, to the grid, and back."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from nibabel.orientations import (
    apply_orientation,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape
from scipy.spatial.transform import Rotation

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.prompts.encode import PromptStyle, Window, encode
from nnunet_prompt.prompts.frames import (
    AxisMap,
    canonical_map,
    crop,
    flip_permute,
    identity,
    pls_map,
    resample,
)
from nnunet_prompt.prompts.options import SimulationOptions
from nnunet_prompt.prompts.simulate import simulate
from nnunet_prompt.prompts.types import Box, Point, PromptSet, Scribble
from tests.helpers import properties
from tests.helpers.each import each
from tests.helpers.orientations import ALL, with_flips

ORIENTATIONS = with_flips(ALL)
DIRECTIONS = {"L": (-1, 0, 0), "P": (0, -1, 0), "S": (0, 0, 1)}  # in RAS
SPACINGS = [(1.0, 1.0, 1.0), (1.2, 1.0, 1.3), (1.25, 1.5, 8.0), (10.0, 0.9, 1.0), (1.4, 6.0, 1.4)]

modest = properties.modest()
shapes = st.tuples(*[st.integers(1, 7)] * 3)
orientations = st.sampled_from(ORIENTATIONS)


@st.composite
def rotations(draw: st.DrawFn) -> Any:
    """Any rotation: no angle is too oblique."""
    angles = [draw(st.floats(-180, 180)) for _ in range(3)]
    return Rotation.from_euler("xyz", angles, degrees=True).as_matrix()


@st.composite
def affines(draw: st.DrawFn) -> Any:
    """48 orientations times any obliqueness, several spacings, somewhere in the scanner."""
    axes, flips = draw(orientations)
    affine = np.eye(4)
    affine[:3, :3] = draw(rotations()) * draw(st.sampled_from(SPACINGS))
    affine[:3, :3] = affine[:3, list(axes)] * np.where(flips, -1.0, 1.0)
    affine[:3, 3] = draw(st.tuples(*[st.integers(-90, 90)] * 3))
    return affine


@st.composite
def masks(draw: st.DrawFn) -> Any:
    """A few voxels of a small volume, at least one."""
    shape = draw(shapes)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    mask = rng.random(shape) < draw(st.sampled_from([0.05, 0.3, 0.9]))
    mask.flat[rng.integers(mask.size)] = True
    return mask


@st.composite
def grid_maps(draw: st.DrawFn, shape: Any) -> AxisMap:
    """What nnU-Net's preprocessing does to an array: transpose, crop, resample."""
    turned = flip_permute(draw(st.permutations(range(3))), (False,) * 3, shape)
    bounds = []
    for n in turned.target_shape:
        low = draw(st.integers(0, n - 1))
        bounds.append((low, draw(st.integers(low + 1, n))))
    cropped = turned.then(crop(turned.target_shape, bounds))
    return cropped.then(resample(cropped.target_shape, draw(st.tuples(*[st.integers(1, 12)] * 3))))


def blank(shape: Any, box: Any = None) -> Any:
    mask = np.zeros(shape, bool)
    if box is not None:
        mask[tuple(slice(a, b) for a, b in box)] = True
    return mask


def at(position: Any) -> Any:
    """The voxel that holds a position."""
    return tuple(int(np.floor(x + 0.5)) for x in position)


def tight_box(mask: Any) -> Box:
    voxels = np.argwhere(mask)
    lower, upper = voxels.min(0), voxels.max(0) + 1
    return Box(tuple(map(float, lower)), tuple(map(float, upper)))


def filled(box: Box, shape: Any) -> Any:
    """What `encode` makes of the box on a grid of that shape."""
    return encode(PromptSet(boxes=(box,)), Window((0, 0, 0), shape), PromptStyle())[1] == 1


def codes(m: AxisMap, affine: Any) -> str:
    return "".join(nib.aff2axcodes(affine @ np.linalg.inv(m.matrix())))


# --- maps


@modest
@given(st.data())
def test_there_and_back_is_the_identity_exactly(data: st.DataObject) -> None:
    shape = data.draw(shapes)
    start = flip_permute(*data.draw(orientations), shape)
    m = start.then(data.draw(grid_maps(start.target_shape)))
    assert m.then(m.inverse()) == identity(m.source_shape)
    assert m.inverse().then(m) == identity(m.target_shape)
    assert m.inverse().inverse() == m
    point = data.draw(st.tuples(*[st.floats(-0.5, 7)] * 3))
    np.testing.assert_allclose(m.inverse()(m(point)), point, rtol=0, atol=1e-12)
    back = m.then(m.inverse())
    assert back(point) == point


@modest
@given(st.data())
def test_maps_in_one_step_and_in_several_agree(data: st.DataObject) -> None:
    shape = data.draw(shapes)
    a = flip_permute(*data.draw(orientations), shape)
    b = data.draw(grid_maps(a.target_shape))
    c = flip_permute(*data.draw(orientations), b.target_shape)
    assert a.then(b).then(c) == a.then(b.then(c))
    assert a.then(b).inverse() == b.inverse().then(a.inverse())
    point = data.draw(st.tuples(*[st.integers(0, 6)] * 3))
    np.testing.assert_allclose(a.then(b).then(c)(point), c(b(a(point))), rtol=0, atol=1e-12)
    homogeneous = a.then(b).matrix() @ [*point, 1]
    np.testing.assert_allclose(homogeneous[:3], a.then(b)(point), rtol=0, atol=1e-12)


def test_maps_that_do_not_meet() -> None:
    with pytest.raises(ValueError, match=r"maps do not meet: \(2, 3, 4\) then \(4, 3, 2\)"):
        identity((2, 3, 4)).then(identity((4, 3, 2)))


def test_positions_of_any_number_type_are_exact() -> None:
    third = resample((3, 3, 3), (1, 1, 1))
    for kind in (int, float, np.float32, np.float64, np.int64):
        assert third((kind(1), kind(0), kind(2))) == (0.0, -1 / 3, 1 / 3)
    assert third.scale == (Fraction(1, 3),) * 3


def test_shapes_of_any_sequence_make_the_same_map() -> None:
    shape = np.array([2, 3, 4])
    for make in (
        lambda s: identity(s),
        lambda s: crop(s, ((0, 1), (0, 2), (1, 4))),
        lambda s: resample(s, np.array([4, 4, 4])),
    ):
        assert make(shape) == make(shape.tolist()) == make((2, 3, 4))


@each(("axes", "flips"), ORIENTATIONS)
def test_a_turned_array_holds_its_values_where_the_map_says(axes: Any, flips: Any) -> None:
    array = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    m = flip_permute(axes, flips, array.shape)
    turned = m.apply(array)
    assert turned.shape == m.target_shape
    assert np.shares_memory(turned, array)
    for index in np.ndindex(*array.shape):
        assert turned[at(m(index))] == array[index]
    np.testing.assert_array_equal(m.inverse().apply(turned), array)
    channels = np.stack([array, -array])
    np.testing.assert_array_equal(m.apply(channels), np.stack([turned, -turned]))


@each(
    "m",
    [
        crop((2, 3, 4), ((0, 2), (0, 3), (1, 4))),
        crop((2, 3, 4), ((0, 2), (0, 3), (1, 5))),  # moved beyond the array, same shape
        resample((2, 3, 4), (2, 3, 8)),
        resample((2, 3, 4), (4, 3, 2)),
    ],
)
def test_only_turns_can_be_applied_to_an_array(m: AxisMap) -> None:
    with pytest.raises(ValueError, match="only maps that permute and flip"):
        m.apply(np.zeros((2, 3, 4)))


def test_an_array_of_another_shape_cannot_be_turned() -> None:
    with pytest.raises(ValueError, match=r"array has shape \(4, 3, 2\), the map \(2, 3, 4\)"):
        identity((2, 3, 4)).apply(np.zeros((4, 3, 2)))


# --- crop and resampling


def test_the_crop_is_subtracted_once_from_points_boxes_and_scribbles_alike() -> None:
    m = crop((10, 12, 5), ((2, 8), (3, 9), (0, 5)))
    moved = m.prompts(
        PromptSet(
            (Point((5.0, 7.0, 1.0)),),
            (Box((4.0, 6.0, 1.0), (6.0, 9.0, 2.0), False),),
            (Scribble(((2.0, 3.0, 0.0), (5.0, 7.0, 1.0))),),
        )
    )
    assert m.target_shape == (6, 6, 5)
    assert moved.points == (Point((3.0, 4.0, 1.0)),)
    assert moved.boxes == (Box((2.0, 3.0, 1.0), (4.0, 6.0, 2.0), False),)
    assert moved.scribbles == (Scribble(((0.0, 0.0, 0.0), (3.0, 4.0, 1.0))),)
    assert m.inverse().prompts(moved).points == (Point((5.0, 7.0, 1.0)),)


def test_resampling_goes_edge_to_edge() -> None:
    m = resample((3, 4, 5), (12, 4, 2))
    assert m((-0.5, -0.5, -0.5)) == (-0.5, -0.5, -0.5)
    assert m((2.5, 3.5, 4.5)) == (11.5, 3.5, 1.5)
    assert m((1.0, 1.0, 2.0)) == (5.5, 1.0, 0.5)
    moved = m.prompts(
        PromptSet((Point((1.0, 1.0, 2.0)),), (Box((1.0, 1.0, 2.0), (2.0, 2.0, 3.0)),))
    )
    assert moved.points[0].extent == (2.0, 0.5, 0.2)  # a thick slice stays as thick
    assert moved.boxes[0].lower == pytest.approx((4.0, 1.0, 0.8))
    assert moved.boxes[0].upper == pytest.approx((8.0, 2.0, 1.2))


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (9.0, 1.0, 1.0), (1.0, 1.0, 9.0)])
@modest
@given(data=st.data())
def test_a_box_covers_the_block_that_nnunet_resamples(
    data: st.DataObject, spacing: Any, order: int
) -> None:
    shape = data.draw(st.tuples(*[st.integers(2, 7)] * 3))
    new_shape = data.draw(st.tuples(*[st.integers(2, 14)] * 3))
    bounds = [sorted(data.draw(st.sets(st.integers(0, n), min_size=2, max_size=2))) for n in shape]
    block = resample_data_or_seg_to_shape(
        blank(shape, bounds)[None].astype(np.uint8),
        new_shape,
        spacing,
        spacing,
        is_seg=True,
        order=order,
        order_z=0,
        force_separate_z=None,
    )[0]
    box = resample(shape, new_shape).box(tight_box(blank(shape, bounds)))
    here = filled(box, new_shape)
    assert here.any()
    assert not (block.astype(bool) & ~here).any()


@each(
    ("old", "new", "bounds", "planes", "on_edges"),
    [
        (3, 12, (1, 2), [4, 5, 6, 7], []),
        (5, 7, (2, 3), [3], []),
        (4, 6, (0, 2), [0, 1, 2], []),
        (4, 6, (1, 3), [1, 2, 3, 4], [1, 4]),
        (6, 3, (2, 4), [1], []),
        (6, 3, (1, 3), [0, 1], [0, 1]),
    ],
)
def test_a_slab_is_the_very_block_that_nnunet_resamples(
    old: int, new: int, bounds: tuple[int, int], planes: list[int], on_edges: list[int]
) -> None:
    slab = blank((old, 3, 3), (bounds, (0, 3), (0, 3)))
    here = filled(resample((old, 3, 3), (new, 3, 3)).box(tight_box(slab)), (new, 3, 3))
    assert np.flatnonzero(here[:, 1, 1]).tolist() == planes
    block = resample_data_or_seg_to_shape(
        slab[None].astype(np.uint8), (new, 3, 3), (1, 1, 1), (1, 1, 1), is_seg=True, order=1
    )[0]
    differ = np.flatnonzero((here != block.astype(bool)).any((1, 2)))
    assert set(differ.tolist()) <= set(on_edges)  # there nnU-Net's rounding decides


@modest
@given(st.data())
def test_a_point_lands_in_the_voxel_that_nnunet_enlarges(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(*[st.integers(2, 6)] * 3))
    new_shape = tuple(data.draw(st.integers(n, 3 * n)) for n in shape)
    index = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    mask = blank(shape, [(i, i + 1) for i in index])
    block = resample_data_or_seg_to_shape(
        mask[None].astype(np.uint8), new_shape, (1, 1, 1), (1, 1, 1), is_seg=True, order=0
    )[0]
    m = resample(shape, new_shape)
    assert block[at(m(tuple(map(float, index))))]
    np.testing.assert_array_equal(m.prompts(PromptSet(mask=mask)).mask[at(m(index))], True)


@modest
@given(st.data())
def test_a_mask_is_carried_as_nnunet_carries_it(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(*[st.integers(2, 6)] * 3))
    # whole factors leave no centre halfway between two others
    new_shape = tuple(n * data.draw(st.sampled_from([1, 2, 3, 4])) for n in shape)
    mask = np.random.default_rng(data.draw(st.integers(0, 2**32))).random(shape) < 0.4
    expected = resample_data_or_seg_to_shape(
        mask[None].astype(np.uint8), new_shape, (1, 1, 1), (1, 1, 1), is_seg=True, order=0
    )[0]
    moved = resample(shape, new_shape).prompts(PromptSet(mask=mask)).mask
    assert moved is not None
    assert moved.dtype == bool
    np.testing.assert_array_equal(moved, expected.astype(bool))


def test_a_mask_is_cropped_and_comes_back_without_what_was_cut_off() -> None:
    mask = np.arange(24).reshape(2, 3, 4) % 3 == 0
    m = flip_permute((2, 0, 1), (True, False, False), mask.shape).then(
        crop((4, 2, 3), ((1, 4), (0, 2), (0, 2)))
    )
    moved = m.prompts(PromptSet(mask=mask)).mask
    assert moved is not None
    np.testing.assert_array_equal(moved, mask.transpose(2, 0, 1)[::-1][1:4, 0:2, 0:2])
    back = m.inverse().prompts(PromptSet(mask=moved)).mask
    assert back is not None
    kept = mask.copy()
    kept[:, 2] = False
    kept[:, :, 3] = False
    np.testing.assert_array_equal(back, kept)


def test_the_negative_mask_goes_the_same_way_as_the_mask() -> None:
    area = np.arange(24).reshape(2, 3, 4) % 3 == 0
    m = flip_permute((2, 0, 1), (True, False, False), area.shape)
    m = m.then(crop((4, 2, 3), ((1, 4), (0, 2), (0, 2)))).then(resample((3, 2, 2), (6, 4, 2)))
    there = m.prompts(PromptSet(negative_mask=area))
    assert there.mask is None and there.negative_mask is not None
    np.testing.assert_array_equal(there.negative_mask, m.prompts(PromptSet(mask=area)).mask)
    both = m.prompts(PromptSet(mask=~area, negative_mask=area))
    np.testing.assert_array_equal(both.negative_mask, there.negative_mask)
    np.testing.assert_array_equal(both.mask, ~there.negative_mask)
    assert m.prompts(PromptSet()).negative_mask is None


# --- prompts


@modest
@given(st.data())
def test_prompts_from_a_pls_mask_land_in_the_mask_in_every_frame(data: st.DataObject) -> None:
    """File -> PLS, where the prompts are made -> file -> reader -> transposed and cropped -> finer grid."""
    mask = data.draw(masks())
    affine = data.draw(affines())
    to_pls = pls_map(affine, mask.shape)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    options = SimulationOptions(slice_axis=2)
    made = simulate(to_pls.apply(mask), rng, kind="slices", options=options)
    assert made.points
    assert made.boxes
    turn = canonical_map(affine, mask.shape)
    reader = turn.apply(mask)
    order = data.draw(st.permutations(range(3)))
    transposed = turn.then(flip_permute(order, (False,) * 3, reader.shape))
    image = reader.transpose(order)
    bounds = [(int(v.min()), int(v.max()) + 1) for v in np.nonzero(image)]
    cropped = transposed.then(crop(image.shape, bounds))
    image = image[tuple(slice(a, b) for a, b in bounds)]
    factors = data.draw(st.tuples(*[st.integers(1, 4)] * 3))
    fine = cropped.then(
        resample(image.shape, tuple(n * f for n, f in zip(image.shape, factors, strict=True)))
    )
    frames = {
        "file": (identity(mask.shape), mask),
        "PLS": (to_pls, to_pls.apply(mask)),
        "reader": (turn, reader),
        "cropped": (cropped, image),
        "grid": (fine, np.kron(image, np.ones(factors, bool))),
    }
    for name, (from_file, there) in frames.items():
        moved = to_pls.inverse().then(from_file).prompts(made)
        for point in moved.points:
            assert there[at(point.position)], name
        covered = np.zeros(there.shape, bool)
        for box in moved.boxes:
            covered |= filled(box, there.shape)
        assert not (there & ~covered).any(), name
        moved.check_inside(there.shape)


@modest
@given(st.data())
def test_prompts_go_there_and_back_unchanged(data: st.DataObject) -> None:
    mask = data.draw(masks())
    to_pls = pls_map(data.draw(affines()), mask.shape)
    whole = tuple(float(i) for i in np.argwhere(mask)[0])
    prompts = PromptSet(
        (Point(whole), Point((0.0, 0.0, 0.0), False, (0.5, 2.0, 1.0))),
        (tight_box(mask),),
        (Scribble((whole, (0.0, 0.0, 0.0)), False),),
        mask,
        ~mask,
    )
    back = to_pls.inverse().prompts(to_pls.prompts(prompts))
    assert (back.points, back.boxes, back.scribbles) == (
        prompts.points,
        prompts.boxes,
        prompts.scribbles,
    )
    np.testing.assert_array_equal(back.mask, mask)
    np.testing.assert_array_equal(back.negative_mask, ~mask)
    np.testing.assert_array_equal(to_pls.prompts(prompts).mask, to_pls.apply(mask))
    np.testing.assert_array_equal(to_pls.prompts(prompts).negative_mask, to_pls.apply(~mask))

    m = data.draw(grid_maps(mask.shape))  # through fractions of voxels
    back = m.inverse().prompts(m.prompts(PromptSet(prompts.points, prompts.boxes)))
    for old, new in zip(prompts.points, back.points, strict=True):
        np.testing.assert_allclose(new.position, old.position, atol=1e-12)
        np.testing.assert_allclose(new.extent, old.extent, atol=1e-12)
        assert new.positive == old.positive
    np.testing.assert_allclose(back.boxes[0].lower, prompts.boxes[0].lower, atol=1e-12)
    np.testing.assert_allclose(back.boxes[0].upper, prompts.boxes[0].upper, atol=1e-12)


@each(("axes", "flips"), ORIENTATIONS)
def test_a_flipped_box_stays_half_open(axes: Any, flips: Any) -> None:
    mask = blank((4, 5, 6), ((1, 2), (2, 5), (0, 2)))
    m = flip_permute(axes, flips, mask.shape)
    assert m.box(tight_box(mask)) == tight_box(m.apply(mask))


# --- orientations


@modest
@given(affines(), shapes)
def test_pls_is_nibabels_closest_axis_orientation(affine: Any, shape: Any) -> None:
    array = np.arange(np.prod(shape)).reshape(shape)
    change = ornt_transform(io_orientation(affine), axcodes2ornt("PLS"))
    m = pls_map(affine, shape)
    np.testing.assert_array_equal(m.apply(array), apply_orientation(array, change))
    np.testing.assert_allclose(np.linalg.inv(m.matrix()), inv_ornt_aff(change, shape), atol=1e-12)
    assert codes(m, affine) == "PLS"


@each(
    ("stored", "expected"),
    [
        ("LPS", lambda a: a.transpose(1, 0, 2)),
        ("RAS", lambda a: a.transpose(1, 0, 2)[::-1, ::-1]),
        ("PLS", lambda a: a),
        ("SAR", lambda a: a.transpose(1, 2, 0)[::-1, ::-1]),
    ],
)
def test_pls_by_hand(stored: str, expected: Any) -> None:
    array = np.arange(24).reshape(2, 3, 4)
    to_ras = ornt_transform(axcodes2ornt(stored), axcodes2ornt("RAS"))
    np.testing.assert_array_equal(
        pls_map(inv_ornt_aff(to_ras, array.shape), array.shape).apply(array), expected(array)
    )


@modest
@given(affines(), shapes)
def test_no_voxel_leaves_its_place_in_the_scanner(affine: Any, shape: Any) -> None:
    for make in (pls_map, canonical_map):
        m = make(affine, shape)
        turned = affine @ np.linalg.inv(m.matrix())
        for index in (0, 0, 0), tuple(n - 1 for n in shape):
            np.testing.assert_allclose(turned @ [*m(index), 1], affine @ [*index, 1], atol=1e-9)


@modest
@given(rotations(), orientations, st.sampled_from([2.0, 3.0, 9.0]))
def test_the_slice_axis_of_a_stack_comes_first(turn: Any, order: Any, thick: float) -> None:
    axes, flips = order
    spacing = np.array([1.0, 1.1, 1.1 * thick])[list(axes)]
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing * np.where(flips, -1.0, 1.0)
    m = canonical_map(affine, (4, 5, 6))
    assert m.axes[0] == int(np.argmax(spacing))
    first, second, third = (affine @ np.linalg.inv(m.matrix()))[:3, :3].T
    p, ell, s = (np.array(DIRECTIONS[d]) for d in "PLS")
    assert first @ (s + p - ell) >= 0
    here = abs(p @ second) / np.linalg.norm(second) + abs(ell @ third) / np.linalg.norm(third)
    swapped = abs(p @ third) / np.linalg.norm(third) + abs(ell @ second) / np.linalg.norm(second)
    assert here >= swapped - 1e-9


@modest
@given(rotations(), st.sampled_from([(1.0, 1.1, 1.2), (1.0, 3.0, 3.0), (1.9, 1.0, 1.0)]))
def test_other_volumes_are_spl(turn: Any, spacing: Any) -> None:
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing
    m = canonical_map(affine, (4, 5, 6))
    change = ornt_transform(io_orientation(affine), axcodes2ornt("SPL"))
    array = np.arange(120).reshape(4, 5, 6)
    np.testing.assert_array_equal(m.apply(array), apply_orientation(array, change))
    assert codes(m, affine) == "SPL"


@modest
@given(rotations(), st.sampled_from(SPACINGS))
def test_all_storage_orders_of_one_volume_become_one_array(turn: Any, spacing: Any) -> None:
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing
    array = np.arange(24).reshape(2, 3, 4)
    cosines = np.sort(np.abs(turn).ravel())
    assume(np.diff(cosines).min() > 1e-6)  # with two axes equally close, the storage decides
    seen = []
    for axes, flips in ORIENTATIONS:
        stored = flip_permute(axes, flips, array.shape)
        own = affine @ np.linalg.inv(stored.matrix())
        seen.append(canonical_map(own, stored.target_shape).apply(stored.apply(array)))
    for other in seen[1:]:
        np.testing.assert_array_equal(other, seen[0])


@each(
    ("columns", "expected"),
    [("LPS", "SPL"), ("LSP", "PIL"), ("PSL", "RPS")],
    ids=["axial", "coronal", "sagittal"],
)
def test_a_stack_that_is_tilted_a_little_keeps_its_orientation(columns: str, expected: str) -> None:
    """No direction may be chance: not that of an axis that is square to the one it is named after."""
    straight = np.stack([DIRECTIONS[c] for c in columns], axis=1).astype(float)
    rng = np.random.default_rng(0)
    for degrees in (0.0, 1e-6, 1.0, 15.0):
        for axis in rng.normal(size=(20, 3)):
            vector = np.deg2rad(degrees) * axis / np.linalg.norm(axis)
            affine = np.eye(4)
            affine[:3, :3] = Rotation.from_rotvec(vector).as_matrix() @ straight * (1, 1.1, 8)
            assert codes(canonical_map(affine, (4, 5, 6)), affine) == expected


def test_short_axis_stacks_all_run_from_apex_to_base() -> None:
    """Their normals point left, forward and down, so the closest of S, P and L changes from heart to heart."""
    rng = np.random.default_rng(0)
    closest = set()
    for _ in range(200):
        apex = np.array([-0.6, 0.6, -0.5]) + rng.normal(0, 0.15, 3)  # RAS
        plane = np.linalg.svd(apex[None])[2][1:]
        affine = np.eye(4)
        affine[:3, :3] = np.stack([*plane, 8 * apex / np.linalg.norm(apex)], axis=1)
        affine[:3, 2] *= rng.choice([-1, 1])
        closest.add(int(np.argmax(np.abs(apex))))
        m = canonical_map(affine, (4, 5, 6))
        assert m.axes[0] == 2
        assert (affine @ np.linalg.inv(m.matrix()))[:3, 0] @ apex < 0
    assert closest == {0, 1, 2}


def test_a_spacing_of_exactly_twice_is_a_stack_whatever_the_rounding() -> None:
    rng = np.random.default_rng(0)
    for vector in rng.normal(size=(50, 3)) * 0.1:
        affine = np.eye(4)
        affine[:3, :3] = Rotation.from_rotvec(vector).as_matrix() * (2.5, 1.25, 1.25)
        assert canonical_map(affine.astype(np.float32), (4, 5, 6)).axes[0] == 0


@each("make", [pls_map, canonical_map])
@each(
    "axes",
    [
        np.diag([1.0, 0.0, 1.0]),
        np.diag([1.0, np.nan, 1.0]),
        np.diag([1.0, np.inf, 1.0]),
        np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 5.0]]),
        np.zeros((3, 3)),
    ],
)
def test_an_affine_without_three_axes_is_refused_in_one_line(make: Any, axes: Any) -> None:
    affine = np.eye(4)
    affine[:3, :3] = axes
    with pytest.raises(ImageError, match=r"^the affine") as e:
        make(affine, (2, 3, 4))
    assert "\n" not in str(e.value)
