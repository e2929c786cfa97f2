"""A mask is finished when it is readable to its end, lies where its image lies, and holds what was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.io.mask_file import is_finished
from tests.helpers.each import each

SHAPE, AFFINE = (6, 5, 4), np.diag([1.25, 1.5, 8.0, 1.0])


def save(path: Path, array: Any, affine: Any = AFFINE) -> Path:
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return save(tmp_path / "image.nii.gz", np.random.default_rng(0).random(SHAPE, np.float32))


def mask(value: int = 500, dtype: Any = np.uint16, shape: tuple[int, ...] = SHAPE) -> Any:
    array = np.zeros(shape, dtype)
    array[2:4, 1:3] = value
    return array


def test_finished_masks(tmp_path: Path, image: Path) -> None:
    target = tmp_path / "mask.nii.gz"
    for array in (mask(), mask(0), mask(200)):
        save(target, array)
        assert is_finished(target, [image], {500, 200})
    assert is_finished(target, [tmp_path / "gone.nii.gz", image], {200})


@each("kept", [0, 20, 0.5, 0.9, -1, -4])
def test_a_mask_that_was_cut_off(tmp_path: Path, image: Path, kept: float) -> None:
    target = tmp_path / "mask.nii.gz"
    noise = np.random.default_rng(0).integers(0, 2, SHAPE).astype(np.uint8)
    content = save(target, noise).read_bytes()
    assert is_finished(target, [image], {1})
    target.write_bytes(content[: int(kept * len(content)) if 0 < kept < 1 else int(kept)])
    assert not is_finished(target, [image], {1})


def test_a_byte_that_was_changed(tmp_path: Path, image: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 2, SHAPE).astype(np.uint8)
    target = save(tmp_path / "mask.nii.gz", noise)
    content = bytearray(target.read_bytes())
    content[-6] ^= 1  # of the check sum
    target.write_bytes(content)
    assert not is_finished(target, [image], {1})


@each(
    ("array", "affine"),
    [
        (mask(7), AFFINE),
        (mask(dtype=np.float32), AFFINE),
        (mask(shape=(5, 6, 4)), AFFINE),
        (mask(shape=(6, 5, 5)), AFFINE),
        (mask(), np.diag([1.25, 1.5, 4.0, 1.0])),
        (mask(), np.diag([-1.25, 1.5, 8.0, 1.0])),
    ],
)
def test_masks_of_something_else(tmp_path: Path, image: Path, array: Any, affine: Any) -> None:
    target = save(tmp_path / "mask.nii.gz", array, affine)
    assert not is_finished(target, [image], {500})


def test_what_is_no_file_and_names_that_are_too_long(tmp_path: Path, image: Path) -> None:
    for target in (tmp_path, tmp_path / "gone.nii.gz", tmp_path / f"{'x' * 300}.nii.gz"):
        assert not is_finished(target, [image], {500})
    target = save(tmp_path / "mask.nii.gz", mask())
    assert not is_finished(target, [tmp_path / "gone.nii.gz"], {500})
