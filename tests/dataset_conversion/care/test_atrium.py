"""Spacings of LAScarQS."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from nnunet_prompt.dataset_conversion.care.atrium import (
    audit_mask,
    documented_spacing,
    spacing_is_off,
    with_spacing,
)
from nnunet_prompt.io.nifti import Grid
from tests.helpers.each import each


@each(
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


@each(
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


@each(
    ("values", "dtype", "span"),
    [
        ((420.0, 419.9997), "float32", "419.9997 to 420"),
        ((1.0, 2.5), "float64", "1 to 2.5"),
        ((1, 255), "uint8", "1 to 255"),
    ],
)
def test_values_that_differ_are_told_apart(
    tmp_path: Path, values: tuple[float, ...], dtype: str, span: str
) -> None:
    array = np.zeros((2, 3, 4), dtype)
    array.flat[: len(values)] = values
    nib.Nifti1Image(array, np.eye(4)).to_filename(tmp_path / "m.nii.gz")
    audit = audit_mask(tmp_path / "m.nii.gz", "mask", must_hold=True)
    assert audit.notes == (f"mask holds 2 values from {span}: all of them count",)
