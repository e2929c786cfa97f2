"""The first bytes of a file are looked at before anybody believes them."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.io.nifti import read_nifti
from nnunet_prompt.io.nifti_header import (
    MAX_EXTENSIONS,
    bare_header,
    check_end,
    check_extensions,
    first_bytes,
)
from tests.helpers.each import each

ARRAY = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
WHOLE = nib.Nifti1Image(ARRAY, np.eye(4)).to_bytes()


def edited(*changes: tuple[Any, ...], data: bytes = WHOLE) -> bytes:
    content = bytearray(data)
    for offset, form, *values in changes:
        struct.pack_into(form, content, offset, *values)
    return bytes(content)


def test_the_first_bytes_packed_or_not_whatever_the_name_says(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    for content in (b"abcdef", gzip.compress(b"abcdef"), gzip.compress(b"abc") + gzip.compress(b"def")):  # fmt: skip
        path.write_bytes(content)
        assert first_bytes(path, 4) == (b"abcd", "")
        assert first_bytes(path, 9) == (b"abcdef", "")
    assert first_bytes(path, 0) == (b"", "")
    path.write_bytes(b"")
    assert first_bytes(path, 4) == (b"", "")


def test_what_comes_before_the_damage_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    good = gzip.compress(b"abcdef")
    for damaged, why in (
        (good[:-3], "ended before"),
        (good[:-8] + b"0000" + good[-4:], "CRC check failed"),
        (good + b"tail", "Not a gzipped file"),
    ):
        path.write_bytes(damaged)
        content, problem = first_bytes(path, 99)
        assert content == b"abcdef" and why in problem
    with pytest.raises(OSError, match="gone"):
        first_bytes(tmp_path / "gone", 4)


@each("kind", [nib.Nifti1Image, nib.Nifti2Image])
@each("order", ["<", ">"])
def test_a_header_of_either_kind_and_order(tmp_path: Path, kind: Any, order: str) -> None:
    header = kind.header_class(endianness=order)
    kind(ARRAY, np.eye(4), header).to_filename(tmp_path / "a.nii")
    found = bare_header(tmp_path / "a.nii")
    assert type(found) is kind.header_class and found.endianness == order
    assert found.get_data_shape() == (2, 3, 4)


def test_a_bad_field_is_no_reason_to_refuse_a_header(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(edited((70, "<2h", 77, 3), (344, "<4s", b"what"), (108, "<f", np.nan)))
    assert bare_header(path).get_data_shape() == (2, 3, 4)


@each(
    ("content", "match"),
    [
        (b"", "found an empty file"),
        (b"text" * 200, "expected a header of 348 or 540 bytes, found b'text'"),
        (WHOLE[:347], "expected a header"),
        (b"\x1f\x8b" + b"x" * 99, r"cannot be read as NIfTI \(Unknown compression method"),
    ],
)
def test_what_does_not_begin_like_a_nifti_file(tmp_path: Path, content: bytes, match: str) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=match) as caught:
        bare_header(path)
    assert str(caught.value).startswith(str(path))


def test_what_is_no_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.nii")
    (tmp_path / "b.nii").mkdir()
    for name in "ab":
        with pytest.raises(ImageError, match="expected a file, found something else"):
            bare_header(tmp_path / f"{name}.nii")
    with pytest.raises(ImageError, match="no such file"):
        read_nifti(tmp_path / "c.nii")


@each(
    ("size", "offset", "match"),
    [
        (0, 384, "claims 0 bytes, expected 8 to 32"),
        (-8, 384, "claims -8 bytes"),
        (48, 384, "claims 48 bytes, expected 8 to 32"),
        (32, 2.0**31, f"before the voxels, expected at most {MAX_EXTENSIONS}"),
    ],
)
def test_extensions_that_claim_too_much(
    tmp_path: Path, size: int, offset: float, match: str
) -> None:
    data = WHOLE[:352] + bytes(32) + WHOLE[352:]
    path = tmp_path / "a.nii.gz"
    claims = ((108, "<f", offset), (348, "<B", 1), (352, "<2i", size, 6))
    path.write_bytes(gzip.compress(edited(*claims, data=data)))
    for read in (check_extensions, read_nifti):
        with pytest.raises(ImageError, match=match):
            read(path)


def test_extensions_that_are_as_they_should_be(tmp_path: Path) -> None:
    image = nib.Nifti1Image(ARRAY, np.eye(4))
    for text in (b"one", b"another that is longer"):
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", text))
    image.to_filename(tmp_path / "a.nii.gz")
    check_extensions(tmp_path / "a.nii.gz")
    assert len(read_nifti(tmp_path / "a.nii.gz").header.extensions) == 2


def test_the_end_of_a_packed_file(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    packed = gzip.compress(WHOLE)
    path.write_bytes(packed)
    check_end(path, len(WHOLE))
    for damaged in (packed[:-4] + bytes(4), packed[:-8] + bytes(4) + packed[-4:], packed[:-1]):
        path.write_bytes(damaged)
        with pytest.raises((OSError, EOFError)):
            check_end(path, len(WHOLE))
        with pytest.raises(ImageError, match="cannot be read as NIfTI"):
            read_nifti(path)
