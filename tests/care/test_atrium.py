"""Spacings, thumbnails and patients of LAScarQS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nnunet_prompt.care.atrium import (
    Patients,
    documented_spacing,
    spacing_is_off,
    thumbnail,
    with_spacing,
)
from nnunet_prompt.data.nifti import Grid, NiftiVolume


def volume(array: np.ndarray, affine: np.ndarray | None = None) -> NiftiVolume:
    place = np.eye(4) if affine is None else affine
    return NiftiVolume(Path("x.nii"), array.astype(np.float32), place, None, array.shape)


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((576, 576, 44), (0.625, 0.625, 2.5)),
        ((640, 640, 88), (0.625, 0.625, 1.25)),
        ((88, 640, 640), (1.25, 0.625, 0.625)),
        ((576, 40, 576), (0.625, 2.5, 0.625)),
    ],
)
def test_the_documented_spacing(shape: tuple[int, int, int], spacing: tuple[float, ...]) -> None:
    assert documented_spacing(shape) == spacing


@pytest.mark.parametrize(
    ("spacing", "slices", "off"),
    [
        ((0.625, 0.625, 2.5), 44, False),
        ((0.626, 0.625, 2.5), 44, False),
        ((0.625, 0.625, 1.25), 88, False),
        ((0.625, 0.625, 2.5), 88, True),
        ((0.625, 0.625, 1.25), 44, True),
        ((0.625, 0.625, 1.0), 44, True),
        ((1.0, 1.0, 2.5), 44, True),
    ],
)
def test_what_is_off(spacing: tuple[float, float, float], slices: int, off: bool) -> None:
    grid = Grid(Path("x.nii"), (576, 576, slices), np.diag([*spacing, 1.0]), (), "int16")
    assert spacing_is_off(grid) is off


def test_another_spacing_keeps_directions_and_origin() -> None:
    affine = np.array([[0.0, -1, 0, 5], [1, 0, 0, 6], [0, 0, 2, 7], [0, 0, 0, 1]])
    expected = [[0, -0.5, 0, 5], [0.25, 0, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1]]
    assert with_spacing(affine, (0.25, 0.5, 3.0)).tolist() == expected
    assert with_spacing(affine, None).tolist() == affine.tolist()
    assert affine[0, 1] == -1


def test_a_thumbnail_is_made_of_means() -> None:
    array = np.zeros((64, 32, 16))
    array[0, 0, 0] = 2  # half of the first box
    seen = thumbnail(volume(array)).reshape(32, 32, 16)
    assert np.unravel_index(seen.argmax(), seen.shape) == (0, 0, 0)
    assert seen.sum() == pytest.approx(0, abs=1e-4)
    assert np.linalg.norm(seen) == pytest.approx(1)
    later = np.zeros((64, 32, 16))
    later[1, 0, 0] = 5  # the other half of it
    assert np.allclose(thumbnail(volume(later)), seen.ravel())


def test_a_thumbnail_knows_neither_spacing_nor_brightness_nor_storage_order() -> None:
    array = np.random.default_rng(1).random((9, 7, 5))
    seen = thumbnail(volume(array))
    assert np.allclose(thumbnail(volume(array * 3 + 100, np.diag([2.0, 2, 9, 1]))), seen, atol=1e-5)
    turned = array.transpose(2, 0, 1)[::-1]  # axes superior (reversed), right, anterior
    affine = np.array([[0.0, 1, 0, 0], [0, 0, 1, 0], [-1, 0, 0, 4], [0, 0, 0, 1]])
    assert np.allclose(thumbnail(volume(turned, affine)), seen, atol=1e-6)
    assert abs(thumbnail(volume(array[::-1])) @ seen) < 0.5


def test_one_patient_per_image() -> None:
    rng = np.random.default_rng(2)
    first, second, flat = rng.random((6, 5, 4)), rng.random((6, 5, 4)), np.full((6, 5, 4), 7.0)
    patients = Patients()
    shown = [first, second, first + rng.normal(0, 1e-3, first.shape), flat, flat]
    names = [patients.patient_of(f"c{i}", thumbnail(volume(a))) for i, a in enumerate(shown)]
    assert names == ["c0", "c1", "c0", "c3", "c4"]  # two empty images show nothing in common
