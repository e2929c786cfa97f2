"""Whatever an image file holds: no traceback, no hang, bounded memory, and a mask if its header tells a grid."""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.io.repair import MAX_VOXELS
from tests.challenge.fuzz import (
    IMAGE,
    LPS,
    PROMPTS,
    SHAPE,
    answer,
    in_little_memory,
    save,
    use_babbler,
    watched,
    write_input,
)
from tests.helpers.each import each

NAN = float("nan")
NOT_FINITE = (NAN, float("inf"), float("-inf"))


def packed(array: Any = IMAGE, kind: Any = nib.Nifti1Image) -> bytes:
    """The bytes of an unpacked file."""
    image = kind(array, LPS, dtype=array.dtype)
    return bytes(image.to_bytes())


def edited(*changes: tuple[Any, ...], data: bytes | None = None) -> bytes:
    """A file with (offset, form, values ...) packed into it."""
    content = bytearray(data or packed())
    for offset, form, *values in changes:
        struct.pack_into(form, content, offset, *values)
    return bytes(content)


def transforms(pixdim: tuple[float, ...], qform: int, sform: int, row: float = 0.0) -> bytes:
    """A file with these voxel sizes and codes, and `row` in place of the first row of the sform."""
    return edited(
        (80, "<3f", *pixdim), (252, "<2h", qform, sform), (280, "<4f", row, row, row, row)
    )


def zeros(megabytes: int) -> bytes:
    """A packed file that grows to so many megabytes of zeros: members of one megabyte each."""
    return gzip.compress(bytes(2**20), 9) * megabytes


CODES = ((1536, 128), (2048, 256), (1, 1), (77, 8), (0, 0), (-1, 3))  # data types, and their bits
PADDED = packed()[:352] + bytes(32) + packed()[352:]
# a mask is expected: the file says what its grid is, even where its voxels are lost
READABLE: dict[str, list[bytes]] = {
    "as it should be": [packed(), packed(kind=nib.Nifti2Image), packed(IMAGE[..., None])],
    "truncated": [packed()[:n] for n in (352, 353, 400, 470, 495)],
    "truncated when packed": [gzip.compress(packed())[:-n] for n in (1, 4, 8, 9, 20, 40)],
    "wrong check sum": [
        gzip.compress(packed())[:-8] + bytes(4) + gzip.compress(packed())[-4:],
        gzip.compress(packed())[:-4] + bytes(4),
    ],
    "a tail": [packed() + b"tail" * 9, gzip.compress(packed()) + b"tail" * 9, gzip.compress(packed()) + bytes(99)],
    "more than it claims": [gzip.compress(packed()) + zeros(3000)],
    "types": [packed(IMAGE.astype(t)) for t in "u1 i1 u2 u4 i4 u8 f4 f8".split()],
    "other types": [
        *(packed(IMAGE.astype(t)) for t in ("c8", "c16")),
        packed(np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])),
        packed(np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1"), ("A", "u1")])),
        *(edited((70, "<2h", code, bits)) for code, bits in CODES),
    ],
    "affine": [transforms((1, 1, 1), 0, 1, row) for row in (*NOT_FINITE, 0, 1e-30, 1e30, 3e38)],
    "no code": [transforms((1, 2, 3), 0, 0), transforms((1, 2, 3), -4, 77), transforms((0, 0, 0), 0, 0)],
    "spacing": [
        transforms((value, 1, size), 1, 0)
        for value in (0.0, -2.0, *NOT_FINITE, 1e30, 1e-30)
        for size in (4.0, 0.0)
    ],
    "quaternion": [edited((252, "<2h", 1, 0), (256, "<6f", *[v] * 6)) for v in (2.0, NAN, 1e38, 1.0)],
    "qfac": [edited((76, "<f", v), (252, "<2h", 1, 0)) for v in (0, 0.5, NAN, -1)],
    "scaling": [edited((112, "<2f", *v)) for v in ((NAN, 0), (1, NAN), (float("inf"), 1), (1e38, 1e38), (0, 7))],
    "offset": [edited((108, "<f", v)) for v in (1e9, 3e38, NAN, -352, 0, 4096, 368)],
    "trailing axes": [
        packed(IMAGE[..., None, None]),
        packed(np.stack([IMAGE] * 3, 3)),
        packed(np.stack([IMAGE] * 2, 3)[:, :, :, None]),
        edited((40, "<5h", 4, *SHAPE, 0)),
        edited((40, "<5h", 4, *SHAPE, 5)),
    ],
    "one slice": [packed(IMAGE[..., :1]), packed(IMAGE[..., 0])],
    "other order of bytes": [
        nib.Nifti1Image(IMAGE, np.eye(4), nib.Nifti1Header(endianness=">")).to_bytes(),
    ],
    "extensions": [
        edited((348, "<B", 1), (352, "<2i", size, code), (108, "<f", 384), data=PADDED)
        for size, code in ((0, 6), (-8, 6), (8, 6), (16, 2), (32, 4), (17, 6), (2**31 - 1, 6), (32, 32))
    ],
    "not finite": [packed(np.full(SHAPE, v, t)) for v in NOT_FINITE for t in ("f4", "f8")],
    "magic": [edited((344, "<4s", magic)) for magic in (b"ni1\0", b"n+2\0", b"\0\0\0\0", b"xxxx")],
    "size of the header": [edited((0, "<i", v)) for v in (0, -1, 349, 2**31 - 1)],
    "small fields": [edited((at, "<B", 255)) for at in (38, 39, 68, 121, 122, 123, 253, 255)],
}  # fmt: skip
# no mask: there is no file, or it does not tell a grid
UNREADABLE: dict[str, list[bytes]] = {
    "no NIfTI file": [b"", b"x", b"\x1f\x8b", bytes(1000), b"hello" * 99, packed()[:347], b"PK\x03\x04" * 99],
    "packed rubbish": [gzip.compress(b"x" * 999), gzip.compress(b""), gzip.compress(packed())[:30]],
    "size and magic": [edited((0, "<i", v), (344, "<4s", b"xxxx")) for v in (0, -1, 349, 2**31 - 1)],
    "dims": [
        edited((40, "<8h", *dims))
        for dims in (
            (0, *SHAPE, 1, 1, 1, 1),
            (1, *SHAPE, 1, 1, 1, 1),
            (3, -6, 4, 3, 1, 1, 1, 1),
            (3, 0, 4, 3, 1, 1, 1, 1),
            (-3, *SHAPE, 1, 1, 1, 1),
            (3, 1000, 1000, 1000, 1, 1, 1, 1),
            (7, *SHAPE, 32767, 32767, 32767, 32767),
            (3, 32767, 32767, 32767, 1, 1, 1, 1),
        )
    ],
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Answers the images of the folder below, with the prompts of case a for the case `bad`."""
    use_babbler(monkeypatch)
    write_input(tmp_path / "input", {**PROMPTS, "bad": PROMPTS["a"]}, cases="ab")

    def answered() -> Any:
        for old in tmp_path.glob("output/*"):
            old.unlink()
        with watched():
            return answer(tmp_path / "input", tmp_path / "output")

    return answered


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    return tmp_path / "input" / "images" / "bad.nii.gz"


def each_way(bad: Path, data: bytes) -> Iterator[Path]:
    """Puts a file there as it is, then packed; what is packed already only so."""
    if data[:2] != b"\x1f\x8b":
        bad.with_name("bad.nii").write_bytes(data)
        yield bad
        bad.with_name("bad.nii").unlink()
        data = gzip.compress(data)
    bad.write_bytes(data)
    yield bad
    bad.unlink()


@pytest.mark.filterwarnings("ignore:Extension size")  # nibabel hopes for the best
@each("kind", READABLE, fast=list(READABLE)[::5])
def test_a_grid_that_can_be_told_gets_a_mask(
    run: Callable[[], Any], bad: Path, kind: str, capsys: Any
) -> None:
    for i, data in enumerate(READABLE[kind]):
        for path in each_way(bad, data):
            masks, said = run()
            where = f"{kind} {i} {path.name}: {said}"
            assert said == "" and list(masks) == [
                "a_pred.nii.gz",
                "b_pred.nii.gz",
                "bad_pred.nii.gz",
            ], where
            mask = masks["bad_pred.nii.gz"]
            assert mask.shape[:2] == SHAPE[:2] and mask.size in (72, 24), where
            assert set(np.unique(mask)) <= {0, 500, 2221}, where
    assert "Traceback" not in capsys.readouterr().err


@each("kind", UNREADABLE)
def test_what_tells_no_grid_has_no_mask_and_the_others_have(
    run: Callable[[], Any], bad: Path, kind: str, capsys: Any
) -> None:
    for i, data in enumerate(UNREADABLE[kind]):
        for path in each_way(bad, data):
            masks, said = run()
            assert "have no mask: bad" in said and list(masks) == [
                "a_pred.nii.gz",
                "b_pred.nii.gz",
            ], (kind, i, path)
    assert "Traceback" not in capsys.readouterr().err


def mutated(count: int) -> Iterator[bytes]:
    """Good files with one to four bytes of the header, or any of a packed file, changed."""
    plain, rng = packed(), np.random.default_rng(0)
    for i in range(count):
        data = bytearray(gzip.compress(plain, mtime=0) if i % 4 == 0 else plain)
        for at in rng.integers(0, len(data) if i % 4 == 0 else 352, rng.integers(1, 5)):
            data[at] = rng.integers(0, 256)
        yield bytes(data)


def run_mutated(run: Callable[[], Any], bad: Path, count: int, capsys: Any) -> None:
    for data in mutated(count):
        (bad if data[:2] == b"\x1f\x8b" else bad.with_name("bad.nii")).write_bytes(data)
        masks, said = run()
        (path,) = bad.parent.glob("bad*")
        shape = sane_shape(path)
        if said:
            assert "have no mask: bad" in said and len(masks) == 2 and shape is None, (said, shape)
        else:
            assert len(masks) == 3 and masks["bad_pred.nii.gz"].shape == (
                shape or masks["bad_pred.nii.gz"].shape
            )
        assert "Traceback" not in capsys.readouterr().err
        path.unlink()


def sane_shape(path: Path) -> tuple[int, ...] | None:
    """What nibabel has to say of it, if it is one volume of no absurd size."""
    try:
        shape = tuple(nib.load(path).shape)
    except Exception:
        return None
    sane = 2 <= len(shape) <= 3 and min(shape) > 0 and np.prod(shape, dtype=float) < MAX_VOXELS
    return shape if sane else None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of nibabel and numpy, which the test itself calls
def test_mutated_files(run: Callable[[], Any], bad: Path, capsys: Any) -> None:
    run_mutated(run, bad, 30, capsys)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_many_mutated_files(run: Callable[[], Any], bad: Path, capsys: Any) -> None:
    run_mutated(run, bad, 300, capsys)


@each("kind", ["folder", "pipe", "dangling", "device", "loop"])
def test_what_is_no_file(
    run: Callable[[], Any], bad: Path, kind: str, caplog: pytest.LogCaptureFixture, capsys: Any
) -> None:
    if kind == "folder":
        bad.mkdir()
    elif kind == "pipe":
        os.mkfifo(bad)
    else:
        bad.symlink_to({"dangling": "nowhere", "device": "/dev/zero", "loop": bad.name}[kind])
    masks, _ = run()
    assert list(masks) == ["a_pred.nii.gz", "b_pred.nii.gz"]
    assert "case 'bad'" in caplog.text and "Traceback" not in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(run: Callable[[], Any], bad: Path) -> None:
    save(bad).chmod(0)
    masks, said = run()
    assert "have no mask: bad" in said and len(masks) == 2


def header_of(*shape: int, extension: bool = False) -> bytes:
    """A header that claims this shape of one byte each, and perhaps two gigabytes of extensions."""
    start = edited((40, "<4h", 3, *shape), (70, "<2h", 2, 8))[:352]
    claims = [(108, "<f", 2.0**31), (348, "<B", 1)] if extension else []
    return edited(*claims, data=start) + (struct.pack("<2i", 2**31 - 16, 6) if extension else b"")


@pytest.mark.slow
def test_files_that_grow_in_memory(tmp_path: Path) -> None:
    """Four gigabytes when unpacked; they are answered within one."""
    folder = write_input(tmp_path / "input")
    for name, shape, extension in (
        ("little", SHAPE, False),
        ("extension", SHAPE, True),
        ("billion", (1000, 1000, 1001), False),
        ("all", (32000, 32000, 4), False),
    ):
        start = gzip.compress(header_of(*shape, extension=extension))
        (folder / "images" / f"{name}.nii.gz").write_bytes(start + zeros(4096))
    expected = ["a_pred.nii.gz", "b_pred.nii.gz", "extension_pred.nii.gz", "little_pred.nii.gz"]
    assert in_little_memory(tmp_path, 1) == expected
