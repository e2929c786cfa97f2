"""Files that appear complete or not at all, and gzip that costs little time.

libdeflate packs and unpacks several times as fast as zlib. At level 6 files are within a few percent of what
SimpleITK, nnU-Net's own writer, makes of them; nibabel alone would write at level 1. Label maps, long runs of one
value, are compressed by zlib-ng, which makes less of them in a fraction of the time. Compressed files carry neither a
time nor a name, so the same voxels give the same bytes.
"""

from __future__ import annotations

import errno
import gzip
import os
import struct
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any

from imagecodecs import GZIP, ZLIBNG, gzip_decode, gzip_encode, zlibng_encode

from nnunet_prompt.common.errors import NNUNetPromptError, OutputError, system_reason
from nnunet_prompt.io.threads import checkpoint

PARTIAL = ".partial-"  # begins the names of files that are being written
PACKED = ".gz"
LEVEL = 6
_LONGEST_ENDING = 16  # bytes; what is longer is part of a name
_PROBE = 2**16  # bytes
_MARGIN = 2**16  # packing never doubles what is longer than this
_LARGEST = 2**32 - 1  # gzip knows sizes modulo 2**32, and libdeflate believes them


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden name beside `path` to write to; it becomes `path` when the block ends well and is removed otherwise.

    Raises `OutputError` with `path` and the system's own reason where the disc is full or the place cannot be written.
    """
    partial = partial_name(path)
    try:
        yield partial
        partial.replace(path)
    except NNUNetPromptError:
        raise
    except Exception as error:
        reason = _reason(error, partial)
        if reason is None:
            raise
        raise cannot_write(path, reason) from error
    finally:
        with suppress(OSError):  # where it could not be made, it cannot be removed
            partial.unlink(missing_ok=True)


def write_once(path: Path, write: Callable[[Path], object], *, token: str = "") -> bool:
    """Has `write` make a file under a hidden name, and gives it its own name unless that is taken by then.

    So of several writers, on one machine or on many that share the folder, one is seen; returns whether it is this one.
    `token` is part of the hidden name.
    """
    partial = partial_name(path, token=token)
    try:
        write(partial)
        return _take_name(partial, path)
    except OutputError as error:  # its message names the hidden file
        reason = system_reason(error)
        raise error if reason is None else cannot_write(path, reason) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def partial_name(path: Path, *, token: str | None = None) -> Path:
    """A hidden name beside `path` that nobody else has, on any machine, however long the name of `path` is.

    It ends like `path`, because writers choose the format by the ending. A `token` stands where else a hash of the
    name stands, by which `partials_of` finds what a killed run left.
    """
    endings = path.suffixes[-2:] if path.suffix.lower() == PACKED else path.suffixes[-1:]
    ending = "".join(endings)
    ending = ending if len(ending.encode()) <= _LONGEST_ENDING else ""
    mark = _mark(path) if token is None else token
    return path.with_name(f"{PARTIAL}{mark}-{uuid.uuid4().hex[:12]}{ending}")


def partials_of(path: Path) -> Iterator[Path]:
    """Half-written files of `path` that killed runs left, also those of earlier versions, which used its name."""
    for pattern in (f"{PARTIAL}{_mark(path)}-*", f"{PARTIAL}*-{escape(path.name)}"):
        yield from path.parent.glob(pattern)


def make_folder(folder: Path) -> None:
    """Makes an output folder and those above it. Raises `OutputError` if that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise OutputError(f"{folder}: cannot be made: a file has this name") from error
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made: {system_reason(error)}") from error


def check_writable(folder: Path) -> None:
    """Raises `OutputError` if no file can be made in a folder; to be asked before long work, not after it."""
    probe = partial_name(folder / "probe")
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise cannot_write(folder, str(system_reason(error))) from error


def cannot_write(path: Path, reason: str) -> OutputError:
    """The error for an output that the system refuses."""
    full = reason in (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
    way_out = "make room there, or give another place" if full else "give a place that can"
    return OutputError(f"{path}: cannot be written: {reason}; {way_out}")


def _reason(error: Exception, partial: Path) -> str | None:
    """Why the system refused to write, also where a library (torch, ITK) reports only a failure; None if it did not.

    What such a library hides shows when a block is written to the same folder. An error of another file, an input
    that is gone, for instance, is none of writing.
    """
    known = system_reason(error)
    if isinstance(error, OSError) and error.filename not in (None, partial, str(partial)):
        return None
    if isinstance(error, IsADirectoryError):  # it names both, and room would not help
        return None
    if known is not None or not isinstance(error, RuntimeError):
        return known
    probe = partial.with_name(f"{PARTIAL}{uuid.uuid4().hex[:12]}")
    try:
        probe.write_bytes(bytes(_PROBE))
    except OSError as refused:
        return system_reason(refused)
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
    return None


def _mark(path: Path) -> str:
    return f"{zlib.crc32(os.fsencode(path.name)):08x}"


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
            _stream(partial, image, packed=path.name.lower().endswith(PACKED))


def _stream(path: Path, image: Any, *, packed: bool) -> None:
    """Writes an image piece by piece; nibabel's own way leaves the file open where the disc is full."""
    with path.open("wb") as file:
        if not packed:
            image.to_stream(file)
            return
        with gzip.GzipFile("", "wb", 1, file, mtime=0) as stream:
            image.to_stream(stream)


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
    except (RuntimeError, ValueError):  # another reader may know more, or report what is wrong
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
