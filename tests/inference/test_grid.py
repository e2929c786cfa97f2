"""The maps of nnU-Net's preprocessing and export, checked against nnU-Net itself."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from nnunetv2.inference.export_prediction import (
    convert_predicted_logits_to_segmentation_with_correct_shape,
)
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunet_prompt.inference.grid import Grid, grid_of
from nnunet_prompt.inference.merge import decode_structures
from tests.helpers.each import each
from tests.helpers.models import SPACING, TABLE, hand_made_dataset_json, hand_made_plans

TRANSPOSES = list(itertools.permutations(range(3)))
SHAPE = (7, 9, 8)
BOX = (slice(1, 6), slice(2, 8), slice(3, 8))  # outside it the image is zero


def image() -> npt.NDArray[np.float32]:
    """Every voxel of the box has a value of its own."""
    values = np.zeros(SHAPE, np.float32)
    values[BOX] = np.arange(1, 1 + values[BOX].size).reshape(values[BOX].shape)
    return values


def preprocessed(
    array: npt.NDArray[np.float32],
    transpose: tuple[int, int, int] = (0, 1, 2),
    *,
    configuration: str = "3d_fullres",
    spacing: tuple[float, float, float] = SPACING,
) -> tuple[npt.NDArray[np.float32], dict[str, Any], Grid, Any]:
    """nnU-Net's own preprocessing of a volume of `spacing`, and our account of it."""
    plans = PlansManager(hand_made_plans(transpose))
    manager = plans.get_configuration(configuration)
    data, _, properties = manager.preprocessor_class(verbose=False).run_case_npy(
        array[None], None, {"spacing": list(spacing)}, plans, manager, hand_made_dataset_json()
    )
    grid = grid_of(properties, plans.transpose_forward, data.shape[1:], manager.spacing)
    return data[0], properties, grid, (plans, manager)


@each("transpose", TRANSPOSES)
def test_without_resampling_every_voxel_is_found_again(transpose: tuple[int, int, int]) -> None:
    array = image()
    data, _, grid, _ = preprocessed(array, transpose)
    values = np.unique(array[array > 0])
    found = np.array(
        [data[tuple(int(v) for v in grid.to_grid(tuple(i)))] for i in np.argwhere(array > 0)]
    )
    # a z-score keeps the order of the values
    assert np.array_equal(np.argsort(found), np.arange(len(values)))
    assert data.shape == tuple((5, 6, 5)[a] for a in transpose)
    assert grid.to_grid.source_shape == SHAPE
    assert grid.to_grid.target_shape == data.shape


@each("transpose", TRANSPOSES)
def test_restoring_puts_labels_back_where_they_were(transpose: tuple[int, int, int]) -> None:
    labels = np.zeros(SHAPE, np.int32)
    labels[BOX] = np.random.default_rng(0).integers(0, 4, labels[BOX].shape)
    data, _, grid, (_, manager) = preprocessed(image(), transpose)
    cropped = labels[BOX].transpose(transpose)
    logits = torch.stack([torch.from_numpy(np.where(cropped == k, 5.0, -5.0)) for k in (1, 2, 3)])
    seen = []

    def decode(here: npt.NDArray[Any], from_crop: Any) -> npt.NDArray[np.int32]:
        seen.append(from_crop)
        return decode_structures(here, TABLE.in_labels())

    restored = grid.restore(logits, manager.resampling_fn_probabilities, decode)
    assert restored.dtype == np.int32
    assert np.array_equal(restored, labels)
    assert seen[0].source_shape == data.shape and seen[0].target_shape == SHAPE
    assert seen[0]((0, 0, 0)) == (1, 2, 3)  # the first voxel of the crop


@each("configuration", ["2d", "3d_fullres"])
@each("transpose", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
@each("spacing", [SPACING, (2.7, 2.0, 1.0), (12.0, 1.0, 2.5)])
def test_restoring_is_nnunets_export(
    configuration: str, transpose: tuple[int, int, int], spacing: tuple[float, float, float]
) -> None:
    """Random logits on the grid, crop, resampling and transposition included: the same label map."""
    data, properties, grid, (plans, manager) = preprocessed(
        image(), transpose, configuration=configuration, spacing=spacing
    )
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn((4, *data.shape), generator=generator)
    logits[0] = 0  # nnU-Net's background: a structure needs a logit above zero
    label_manager = plans.get_label_manager(hand_made_dataset_json())
    expected = convert_predicted_logits_to_segmentation_with_correct_shape(
        logits, plans, manager, label_manager, properties
    )
    restored = grid.restore(
        logits[1:],
        manager.resampling_fn_probabilities,
        lambda here, _: decode_structures(here, TABLE.in_labels()),
    )
    assert restored.shape == SHAPE
    assert set(np.unique(restored)) == {0, 1, 2, 3}
    assert np.array_equal(restored, expected)
    outside = np.ones(SHAPE, bool)
    outside[BOX] = False
    assert not restored[outside].any()


def test_resampling_keeps_edges_on_edges() -> None:
    _, _, grid, _ = preprocessed(image(), spacing=(8.0, 3.0, 2.5))
    assert grid.to_crop.target_shape == (5, 6, 5)
    assert grid.to_grid.target_shape == (10, 12, 10)
    # half a voxel before the first voxel of the crop, in every frame
    assert grid.to_grid((0.5, 1.5, 2.5)) == (-0.5, -0.5, -0.5)
    assert grid.to_grid((5.5, 7.5, 7.5)) == (9.5, 11.5, 9.5)
    assert grid.to_grid.inverse()(grid.to_grid((2.0, 4.0, 5.0))) == (2.0, 4.0, 5.0)


def test_a_2d_configuration_keeps_its_slices() -> None:
    data, _, grid, _ = preprocessed(image(), configuration="2d", spacing=(8.0, 3.0, 2.5))
    assert data.shape == (5, 12, 10)
    assert grid.grid_spacing == (8.0, 1.5, 1.25)
    assert grid.to_grid((3.0, 1.5, 2.5)) == (2.0, -0.5, -0.5)


def test_a_volume_of_one_slice() -> None:
    array = image()[3:4]
    data, _, grid, (_, manager) = preprocessed(array)
    assert data.shape == (1, 6, 5)
    logits = torch.full((1, 1, 6, 5), 3.0)
    restored = grid.restore(
        logits, manager.resampling_fn_probabilities, lambda here, _: (here[0] > 0).astype(np.int32)
    )
    assert np.array_equal(restored, array > 0)


def test_an_empty_image_is_not_cropped_away() -> None:
    """nnU-Net keeps the whole volume where nothing is above zero."""
    data, _, grid, _ = preprocessed(np.zeros(SHAPE, np.float32))
    assert data.size > 0
    assert grid.to_grid.target_shape == data.shape
