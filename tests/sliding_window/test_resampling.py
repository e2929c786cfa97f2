"""Parts of a resampled volume against nnU-Net's own resampling of the whole."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape
from nnunetv2.preprocessing.resampling.no_resampling import no_resampling_hack
from nnunetv2.preprocessing.resampling.resample_torch import resample_torch_fornnunet

from nnunet_prompt.sliding_window.resampling import Resampler, resampler
from tests.helpers.each import each

ISOTROPIC = (1.0, 1.0, 1.0)
# shape, new shape, spacing, new spacing; "separate z" along every axis, up, down, and not at all
CASES = [
    ((9, 12, 10), (14, 9, 17), ISOTROPIC, ISOTROPIC),
    ((9, 12, 10), (9, 12, 17), ISOTROPIC, ISOTROPIC),
    ((5, 12, 10), (9, 17, 7), (9.0, 1.0, 1.0), (5.0, 0.7, 1.4)),
    ((5, 12, 10), (5, 17, 7), (9.0, 1.0, 1.0), (9.0, 0.7, 1.4)),
    ((12, 6, 10), (10, 4, 15), (1.0, 8.0, 1.0), (1.2, 12.0, 0.7)),
    ((12, 10, 6), (10, 15, 3), (1.0, 1.0, 2.0), (1.2, 0.7, 4.0)),
    ((1, 12, 10), (1, 8, 14), (9.0, 1.0, 1.0), (9.0, 1.5, 0.7)),
    ((1, 12, 10), (3, 8, 14), (9.0, 1.0, 1.0), (3.0, 1.5, 0.7)),
    ((9, 12, 10), (9, 12, 10), ISOTROPIC, ISOTROPIC),
    ((40, 30, 50), (31, 44, 29), ISOTROPIC, ISOTROPIC),
]


def function(order: int = 3, order_z: int = 0, force: bool | None = None) -> Any:
    return partial(
        resample_data_or_seg_to_shape,
        is_seg=False,
        order=order,
        order_z=order_z,
        force_separate_z=force,
    )


def volume(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Noise with a bright voxel: cubic splines overshoot, and nnU-Net clips them."""
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    values[tuple(n // 2 for n in shape)] = 9.0
    return values


def whole(how: Any, data: npt.NDArray[np.float32], *rest: Any) -> npt.NDArray[np.float32]:
    return np.asarray(how(data[None].copy(), *rest)[0])


def parts(shape: tuple[int, ...]) -> list[list[tuple[int, int]]]:
    middle = [(n // 3, max(n // 3 + 1, 2 * n // 3)) for n in shape]
    return [[(0, n) for n in shape], middle, [(n - 1, n) for n in shape], [(0, 1) for _ in shape]]


@each(("shape", "new_shape", "spacing", "new_spacing"), CASES)
@each(("order", "order_z"), [(3, 0), (1, 0), (1, 1), (0, 0)])
def test_a_part_is_the_part_of_nnunets_whole(
    order: int, order_z: int, shape: Any, new_shape: Any, spacing: Any, new_spacing: Any
) -> None:
    data = volume(shape)
    expected = whole(function(order, order_z), data, new_shape, spacing, new_spacing)
    ours = resampler(function(order, order_z), shape, new_shape, spacing, new_spacing)
    assert isinstance(ours, Resampler)
    limits = ours.limits(data)
    assert (limits is None) == (order < 2 or shape == new_shape)
    for box in parts(new_shape):
        source = ours.source(box)
        block = data[tuple(slice(a, b) for a, b in source)]
        part = ours.part(block, [a for a, _ in source], box, limits).astype(np.float32)
        there = expected[tuple(slice(a, b) for a, b in box)]
        # the range is 13, and 32-bit numbers there are 1e-6 apart
        assert np.abs(part - there).max() <= 1e-6
        assert (part == there).mean() > 0.99


def test_cubic_splines_are_clipped_as_nnunet_clips_them() -> None:
    """To the range of the volume, and slice by slice where slices are resampled one by one."""
    data = np.zeros((5, 12, 10), np.float32)
    data[1, 5:, :] = 1.0
    data[3, 5:, :] = 7.0
    for spacing in (ISOTROPIC, (9.0, 1.0, 1.0)):
        arguments = ((5, 12, 10), (5, 31, 23), spacing, spacing)
        ours = resampler(function(), *arguments)
        assert ours is not None
        box = [(0, 5), (0, 31), (0, 23)]
        free = ours.part(data, (0, 0, 0), box)
        part = ours.part(data, (0, 0, 0), box, ours.limits(data))
        assert free.max() > 7.1 and part.max() <= 7.0
        expected = whole(function(), data, *arguments[1:])
        assert np.abs(part - expected).max() < 1e-6
        assert part[1].max() == pytest.approx(1.0 if spacing[0] == 9 else free[1].max())


@each("force", [True, False])
def test_separate_z_can_be_forced(force: bool) -> None:
    shape, new_shape, spacing = (5, 12, 10), (8, 9, 17), (2.0, 1.0, 1.0)
    data = volume(shape)
    ours = resampler(function(1, 0, force), shape, new_shape, spacing, ISOTROPIC)
    assert ours is not None and (ours.slices == 0) == force
    part = ours.part(data, (0, 0, 0), [(0, n) for n in new_shape])
    expected = whole(function(1, 0, force), data, new_shape, spacing, ISOTROPIC)
    assert np.allclose(part, expected, atol=1e-6)


def test_what_a_part_depends_on_is_small() -> None:
    ours = resampler(function(), (200, 200, 200), (100, 150, 300), ISOTROPIC, ISOTROPIC)
    assert ours is not None
    (a, b), (c, d), (e, f) = ours.source([(50, 51), (75, 80), (0, 1)])
    assert 100 - 25 < a < 100 < b < 100 + 25
    assert 100 - 25 < c < 100 < d < 107 + 25
    assert e == 0 and f < 25


def test_reached_is_all_that_depends_on_a_box_and_no_more() -> None:
    shape, new_shape = (10, 8, 12), (20, 5, 12)
    ours = resampler(function(1), shape, new_shape, ISOTROPIC, ISOTROPIC)
    assert ours is not None
    box = [(3, 6), (2, 4), (0, 1)]
    changed = np.zeros(shape)
    changed[tuple(slice(a, b) for a, b in box)] = 1.0
    seen = ours.part(changed, (0, 0, 0), [(0, n) for n in new_shape]) != 0
    reached = np.zeros(new_shape, bool)
    reached[tuple(slice(a, b) for a, b in ours.reached(box))] = True
    assert np.array_equal(reached, seen)
    assert ours.reached([(0, 0)] * 3) == [(0, 0)] * 3


@each(
    "other",
    [
        partial(resample_torch_fornnunet, is_seg=False, mode="nearest-exact"),
        partial(no_resampling_hack),
        partial(resample_data_or_seg_to_shape, is_seg=True, order=1, order_z=0),
        resample_data_or_seg_to_shape,
    ],
)
def test_other_functions_are_left_to_themselves(other: Any) -> None:
    assert resampler(other, (3, 4, 5), (6, 4, 5), ISOTROPIC, ISOTROPIC) is None
