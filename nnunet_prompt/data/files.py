"""Files that appear complete or not at all, and gzip that costs little time.

libdeflate packs and unpacks several times as fast as zlib. At level 6 files are within a few percent of what
SimpleITK, nnU-Net's own writer, makes of them; nibabel alone would write at level 1. Label maps, long runs of one
value, are packed by zlib-ng, which makes less of them in a fraction of the time. Packed files carry neither a time nor
a name, so the same voxels give the same bytes.
"""

from __future__ import annotations

import os
import struct
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from imagecodecs import GZIP, ZLIBNG, gzip_decode, gzip_encode, zlibng_encode

from nnunet_prompt.data.workers import checkpoint

PARTIAL = ".partial-"  # begins the names of files that are being written
PACKED = ".gz"
LEVEL = 6
_MARGIN = 2**16  # packing never doubles what is longer than this
_LARGEST = 2**32 - 1  # gzip knows sizes modulo 2**32, and libdeflate believes them


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden name beside `path` to write to; it becomes `path` when the block ends well and is removed otherwise."""
    partial = path.with_name(f"{PARTIAL}{os.getpid()}-{path.name}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_once(path: Path, write: Callable[[Path], object], *, token: str = "") -> bool:
    """Has `write` make a file under a hidden name, and gives it its own name unless that is taken by then.

    So of several writers, on one machine or on many that share the folder, one is seen; returns whether it is this one.
    `token` is part of the hidden name.
    """
    partial = path.with_name(f"{PARTIAL}{token}-{uuid.uuid4().hex[:12]}-{path.name}")
    try:
        write(partial)
        return _take_name(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def remove_partials(folder: Path) -> None:
    """Removes what a killed run left half-written in a folder and in the folders in it."""
    for pattern in (f"{PARTIAL}*", f"*/{PARTIAL}*"):
        for leftover in folder.glob(pattern):
            leftover.unlink(missing_ok=True)


def save_nifti(path: Path, image: Any, *, labels: bool = False) -> None:
    """Saves a nibabel image, or a label map, so that `path` never names an incomplete file."""
    checkpoint()
    with replacing(path) as partial:
        content = image.to_bytes() if path.name.lower().endswith(PACKED) and GZIP.available else b""
        if 0 < len(content) <= _LARGEST:
            partial.write_bytes(_pack_runs(content) if labels else gzip_encode(content, LEVEL))
        else:
            image.to_filename(partial)


def _pack_runs(content: bytes) -> bytes:
    """A gzip file (RFC 1952) of what holds long runs of one value."""
    if not ZLIBNG.available:
        return bytes(gzip_encode(content, LEVEL))
    stream = zlibng_encode(content, LEVEL)
    start = b"\x1f\x8b\x08" + bytes(6) + b"\xff"  # deflate; no flags, no time; an unknown system
    end = struct.pack("<II", zlib.crc32(content), len(content))
    return b"".join(
        (start, memoryview(stream)[2:-4], end)
    )  # between zlib's own header and sum (RFC 1950)


def unpack(path: Path, size: int) -> bytes | None:
    """The `size` bytes that a gzip file holds in one piece, their check sum right; None when it is anything else.

    Never allocates more than `size` bytes for them. Raises `OSError` when the file cannot be read.
    """
    checkpoint()
    if not GZIP.available or not 0 < size <= _LARGEST or path.stat().st_size > 2 * size + _MARGIN:
        return None
    try:
        content = bytes(gzip_decode(path.read_bytes(), out=size))
    except (RuntimeError, ValueError):  # another reader may know more, or say what is wrong
        return None
    return content if len(content) == size else None


def _take_name(partial: Path, path: Path) -> bool:
    """Gives a file a name that is still free; False if it is taken."""
    try:
        os.link(partial, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links: then this is as good as it gets
        if path.exists():
            return False
        partial.replace(path)
    return True
