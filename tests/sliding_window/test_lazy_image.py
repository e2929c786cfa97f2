"""Preprocessing of tiles against nnU-Net's own preprocessing of the volume."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.prompts.encode import Window
from nnunet_prompt.sliding_window.lazy_image import (
    DenseImage,
    LazyImage,
    check_whole,
    nonzero_bounds,
    prepare,
)
from tests.helpers.each import each
from tests.helpers.models import SPACING, hand_made_dataset_json, hand_made_plans

CT = {"mean": 90.0, "std": 40.0, "percentile_00_5": -20.0, "percentile_99_5": 160.0}


def channel(shape: tuple[int, ...] = (9, 31, 26), seed: int = 0) -> npt.NDArray[np.float32]:
    """Noise far from zero with a border of zeros and a hole."""
    values = np.zeros(shape, np.float32)
    rng = np.random.default_rng(seed)
    inside = tuple(slice(min(1, n - 1), n - (n > 3) * 2) for n in shape)
    values[inside] = rng.normal(100, 30, values[inside].shape)
    values[tuple(slice(n // 2, n // 2 + 2) for n in shape)] = 0
    return values


def managers(
    transpose: tuple[int, int, int] = (0, 1, 2), configuration: str = "3d_fullres", **changes: Any
) -> tuple[Any, Any]:
    plans = hand_made_plans(transpose)
    plans["foreground_intensity_properties_per_channel"] = {"0": CT, "1": CT}
    plans["configurations"][configuration].update(changes)
    manager = PlansManager(plans)
    return manager, manager.get_configuration(configuration)


def stock(channels: Any, spacing: Any, plans: Any, configuration: Any) -> tuple[Any, Any]:
    data, _, properties = configuration.preprocessor_class(verbose=False).run_case_npy(
        np.stack(channels),
        None,
        {"spacing": list(spacing)},
        plans,
        configuration,
        hand_made_dataset_json(channels=len(channels)),
    )
    return torch.from_numpy(np.ascontiguousarray(data)), properties


def everything(image: LazyImage) -> torch.Tensor:
    return image.tile(Window((0, 0, 0), image.shape))


SCHEMES = [
    ("ZScoreNormalization", False),
    ("ZScoreNormalization", True),
    ("CTNormalization", False),
    ("RescaleTo01Normalization", False),
    ("NoNormalization", False),
]


@each(("scheme", "mask"), SCHEMES)
@each("transpose", [(0, 1, 2), (2, 0, 1)])
def test_statistics_are_nnunets_to_the_last_bit(
    scheme: str, mask: bool, transpose: tuple[int, int, int]
) -> None:
    """Two channels, no resampling: the same numbers, although we copy the crop alone."""
    plans, configuration = managers(
        transpose,
        normalization_schemes=[scheme, scheme],
        use_mask_for_norm=[mask, mask],
    )
    channels = [channel(seed=s) for s in (0, 1)]
    before = [c.copy() for c in channels]
    found = prepare(channels, SPACING, plans, configuration)
    assert found is not None
    expected, properties = stock(channels, SPACING, plans, configuration)
    image, ours = found
    assert image.shape == tuple(expected.shape[1:]) and image.channels == 2
    assert torch.equal(everything(image), expected)
    assert ours == {k: v for k, v in properties.items() if k in ours}
    assert all(np.array_equal(a, b) for a, b in zip(channels, before, strict=True))


@each("shape", [(9, 31, 26), (1, 31, 26), (9, 1, 26)])
@each("configuration", ["3d_fullres", "2d"])
@each("spacing", [(8.0, 1.0, 2.0), (2.0, 2.0, 2.0), (5.0, 1.5, 1.25)])
@each("transpose", [(0, 1, 2), (1, 2, 0)])
def test_tiles_are_parts_of_nnunets_volume(
    shape: tuple[int, ...], configuration: str, spacing: Any, transpose: tuple[int, int, int]
) -> None:
    plans, manager = managers(transpose, configuration)
    data = channel(shape)
    if shape[0] == 1 and spacing == (2.0, 2.0, 2.0) and (configuration, transpose[0]) != ("2d", 0):
        with pytest.raises(ImageError, match="less than half a voxel"):  # nnU-Net divides by zero
            prepare([data], spacing, plans, manager)
        return
    found = prepare([data], spacing, plans, manager)
    assert found is not None
    expected, _ = stock([data], spacing, plans, manager)
    dense, lazy = DenseImage(expected), found[0]
    assert lazy.shape == dense.shape
    z, y, x = lazy.shape
    windows = [
        Window((0, 0, 0), lazy.shape),
        Window((z // 2, y // 3, x // 3), (1, max(y // 3, 1), max(x // 2, 1))),
        Window((-3, -1, 0), (z + 5, y, 4)),
        Window((z - 1, y - 2, x - 1), (4, 6, 3)),
    ]
    for window in windows:
        tile = lazy.tile(window)
        assert tile.dtype == torch.float32 and tuple(tile.shape[1:]) == window.shape
        # values of a z-score are below 8, where 32-bit numbers are 5e-7 apart
        assert torch.allclose(tile, dense.tile(window), rtol=0, atol=1e-6)


def test_integers_and_views_are_taken_as_they_are() -> None:
    plans, manager = managers()
    data = np.rint(channel()).astype(np.int16)[:, ::-1]
    found = prepare([data], SPACING, plans, manager)
    assert found is not None
    expected, _ = stock([np.ascontiguousarray(data, np.float32)], SPACING, plans, manager)
    assert torch.equal(everything(found[0]), expected)


@each("size", [1e30, 1e3])
def test_a_spacing_that_makes_an_endless_grid_is_refused(size: float) -> None:
    """Else such a header keeps the network busy for days, or takes all memory."""
    plans, configuration = managers()
    spacing = (size, size, size)
    for refused in (
        lambda: prepare([channel()], spacing, plans, configuration),
        lambda: check_whole((9, 31, 26), spacing, plans, configuration),
    ):
        with pytest.raises(
            ImageError, match=r"make .* voxels of the model's .* correct the spacing"
        ):
            refused()
    check_whole((9, 31, 26), SPACING, plans, configuration)


def test_an_image_of_zeros_is_not_cropped_away() -> None:
    plans, manager = managers()
    data = np.zeros((5, 8, 7), np.float32)
    found = prepare([data], SPACING, plans, manager)
    assert found is not None
    assert found[0].shape == (5, 8, 7) and not everything(found[0]).any()


def test_other_ways_to_preprocess_are_left_to_nnunet() -> None:
    torch_way = {"is_seg": False, "force_separate_z": None, "mode": "nearest-exact"}
    plans, manager = managers(
        resampling_fn_data="resample_torch_fornnunet", resampling_fn_data_kwargs=torch_way
    )
    assert prepare([channel()], SPACING, plans, manager) is None

    class Other:
        preprocessor_class = dict

    assert prepare([channel()], SPACING, plans, Other()) is None


class TestNonzeroBounds:
    def test_over_all_channels(self) -> None:
        first, second = np.zeros((2, 5, 7, 6))
        first[2, 3, 1] = -1.0
        second[3, 1, 4] = 0.5
        assert nonzero_bounds([first, second]) == [[2, 4], [1, 4], [1, 5]]
        assert nonzero_bounds([first.transpose(2, 0, 1)]) == [[1, 2], [2, 3], [3, 4]]

    def test_ends_of_different_channels(self) -> None:
        """One channel reaches one end of an axis, another one the other; types may differ."""
        first, second = np.zeros((4, 5, 6), np.int16), np.zeros((4, 5, 6), np.float32, order="F")
        first[0, 1, 2] = first[1, 3, 5] = 1
        second[3, 1, 1] = 1e-30
        assert nonzero_bounds([first, second]) == [[0, 4], [1, 4], [1, 6]]
        assert nonzero_bounds([second, first]) == [[0, 4], [1, 4], [1, 6]]

    def test_of_nothing_and_of_everything(self) -> None:
        assert nonzero_bounds([np.zeros((2, 3, 4))]) == [[0, 2], [0, 3], [0, 4]]
        assert nonzero_bounds([np.ones((2, 3, 4))]) == [[0, 2], [0, 3], [0, 4]]


def test_a_dense_image_is_zero_outside() -> None:
    image = DenseImage(torch.arange(1.0, 25.0).reshape(1, 2, 3, 4))
    tile = image.tile(Window((-1, 1, 2), (2, 3, 4)))
    assert tile.tolist() == [
        [[[0] * 4] * 3, [[7.0, 8.0, 0, 0], [11.0, 12.0, 0, 0], [0] * 4]],
    ]
