"""Narrow integers stay what they are, however a file is packed and whichever way round its bytes are."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.data.case import Case, load_canonical, values_in
from nnunet_prompt.io.nifti import (
    count_not_finite,
    read_label_volume,
    read_nifti,
    read_stored,
    read_stored_labels,
)
from tests.helpers.each import each

ARRAY = np.arange(24).reshape(2, 3, 4)


def save(path: Path, array: Any, slope: float | None = None, order: str = "<") -> Path:
    header = nib.Nifti1Header(endianness=order)
    header.set_data_dtype(array.dtype)
    image = nib.Nifti1Image(array, np.diag([1.0, 2.0, 8.0, 1.0]), header)
    if slope is not None:
        image.header.set_slope_inter(slope, 0)
    image.to_filename(path)
    return path


@each("ending", [".nii", ".nii.gz"])
@each(
    ("dtype", "image", "label"),
    [
        (np.int8, np.int8, np.int8),
        (np.uint8, np.uint8, np.uint8),
        (np.int16, np.int16, np.int16),
        (np.uint16, np.uint16, np.uint16),
        (np.int32, np.float32, np.int32),
        (np.uint32, np.float32, np.int32),
        (np.float32, np.float32, np.int32),
        (np.float64, np.float32, np.int32),
    ],
)
def test_types(tmp_path: Path, ending: str, dtype: Any, image: Any, label: Any) -> None:
    for order in "<>":
        path = save(tmp_path / f"a{ending}", ARRAY.astype(dtype), order=order)
        for found, wanted in ((read_stored(path), image), (read_stored_labels(path), label)):
            assert found.array.dtype == wanted and found.array.dtype.isnative
            np.testing.assert_array_equal(found.array, ARRAY)
        assert read_nifti(path).array.dtype == np.float32
        assert read_label_volume(path).array.dtype == np.int32
        for found in (read_nifti(path), read_label_volume(path)):
            np.testing.assert_array_equal(found.array, ARRAY)


@each("ending", [".nii", ".nii.gz"])
def test_what_the_header_scales_is_scaled(tmp_path: Path, ending: str) -> None:
    path = save(tmp_path / f"a{ending}", ARRAY.astype(np.int16), slope=2)
    for found, dtype in ((read_stored(path), np.float32), (read_stored_labels(path), np.int32)):
        assert found.array.dtype == dtype
        np.testing.assert_array_equal(found.array // 2, read_stored(path).array / 2)
        assert found.array.max() in (23, 46)


def test_a_file_in_two_pieces_or_with_a_tail(tmp_path: Path) -> None:
    plain = save(tmp_path / "a.nii", ARRAY.astype(np.int16)).read_bytes()
    path = tmp_path / "b.nii.gz"
    for packed in (
        gzip.compress(plain[:400]) + gzip.compress(plain[400:]),
        gzip.compress(plain + b"tail"),
    ):
        path.write_bytes(packed)
        np.testing.assert_array_equal(read_stored(path).array, ARRAY)


def test_one_volume_of_four(tmp_path: Path) -> None:
    four = np.stack([ARRAY, ARRAY + 50], axis=3).astype(np.uint8)
    path = save(tmp_path / "a.nii.gz", four)
    found = read_stored(path, volume=1)
    assert found.array.dtype == np.uint8
    np.testing.assert_array_equal(found.array, ARRAY + 50)


def test_counting_reads_only_what_can_be_infinite(tmp_path: Path) -> None:
    broken = ARRAY.astype(np.float32)
    broken[0, 0, :3] = np.nan, np.inf, -np.inf
    assert count_not_finite(save(tmp_path / "a.nii.gz", broken)) == 3
    noise = np.random.default_rng(0).integers(0, 99, (20, 20, 20)).astype(np.int16)
    whole = save(tmp_path / "b.nii.gz", noise)
    whole.write_bytes(whole.read_bytes()[:-900])  # too short to be read
    assert count_not_finite(whole) == 0
    with pytest.raises(ImageError, match=r"b\.nii\.gz"):
        read_stored(whole)


def test_a_case_keeps_the_types_of_its_files(tmp_path: Path) -> None:
    whole = save(tmp_path / "a.nii.gz", ARRAY.astype(np.int16))
    parts = save(tmp_path / "b.nii.gz", ARRAY + np.float32(0.5))
    label = save(tmp_path / "c.nii.gz", (ARRAY % 3).astype(np.uint16))
    loaded = load_canonical(Case("a", (whole,), label, label_values={0: 0, 1: 7, 2: 255}))
    assert loaded.images.dtype == np.int16 and loaded.label is not None
    assert loaded.label.dtype == np.uint8
    np.testing.assert_array_equal(loaded.label, np.array([0, 7, 255])[loaded.images[0] % 3])
    both = load_canonical(Case("a", (whole, parts), label))
    assert both.images.dtype == np.float32 and both.images.shape == (2, 4, 3, 2)
    np.testing.assert_array_equal(both.images[0] + 0.5, both.images[1])


@each("ids", [{0: 0, 1: 7, 2: 300}, {0: 0, 1: -1, 2: 1}])
def test_label_ids_that_need_more_than_a_byte(tmp_path: Path, ids: dict[int, int]) -> None:
    label = save(tmp_path / "c.nii.gz", (ARRAY % 3).astype(np.uint8))
    loaded = load_canonical(Case("a", (label,), label, label_values=ids))
    assert loaded.label is not None
    np.testing.assert_array_equal(
        loaded.label, np.array([ids[v] for v in range(3)])[loaded.images[0]]
    )


@each("dtype", [np.uint8, np.int16, np.uint16, np.int32])
def test_the_values_of_a_map_of_many_blocks(dtype: Any) -> None:
    labels: npt.NDArray[Any] = np.zeros((50, 60, 70), dtype, order="F")
    labels[49, 59, 69], labels[0, 0, 1], labels[20, 3:9] = 127, 5, 6
    for some in (labels, labels.T, labels[::-1, :, ::-1]):
        assert values_in(some) == (0, 5, 6, 127)
    assert values_in(labels[20:21, 3:9]) == (6,)
