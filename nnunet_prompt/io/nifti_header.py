"""The first bytes of a NIfTI file, looked at before anybody believes them.

nibabel reads the extensions of a header while it opens a file, as many bytes as they claim; and it refuses a header
for one bad field. Here nothing is read beyond what a sane header takes, and no field is believed.
"""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib

from nnunet_prompt.common.errors import ImageError, system_reason
from nnunet_prompt.io.nifti_geometry import corrected, restore_fields

MAX_EXTENSIONS = 2**26  # bytes before the voxels
_GZIP = b"\x1f\x8b"
_KINDS = {348: nib.Nifti1Header, 540: nib.Nifti2Header}  # by what they state of their own size
_LARGEST = 540
_MAGIC = (b"n+1\0", b"ni1\0")
_PIECE = 2**20


def open_plain(path: Path) -> io.BufferedReader | gzip.GzipFile:
    """A file for reading, unpacked on the way if its bytes, not its name, show that it is compressed."""
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    return gzip.open(path) if packed else path.open("rb")


def first_bytes(path: Path, size: int) -> tuple[bytes, str]:
    """The first `size` bytes of a file, unpacked, or as many as can be had, and then why, "" at its proper end.

    Never keeps more than that, whatever the file grows to. Raises `OSError` if it cannot be opened.
    """
    pieces: list[bytes] = []
    problem = ""
    with open_plain(path) as file:
        try:
            # read1, for read forgets what came before an error
            while size > 0 and (piece := file.read1(size)):
                pieces.append(piece)
                size -= len(piece)
        except (OSError, EOFError, zlib.error) as error:
            problem = " ".join(str(error).split()) or type(error).__name__
    return b"".join(pieces), problem


def check_is_file(path: Path) -> None:
    """Raises `ImageError` for what is not there, and for a folder, a pipe or a device, which is never opened."""
    try:
        if path.is_file():
            return
        there = path.exists()
    except OSError as error:  # such as of a folder that may not be searched
        raise ImageError(f"{path}: cannot be opened: {system_reason(error)}") from error
    raise ImageError(
        f"{path}: expected a file, found something else" if there else f"{path}: no such file"
    )


def bare_header(path: Path) -> Any:
    """The header without its extensions: nibabel's object, repaired as nibabel does, but with nothing refused.

    Any field may still be wrong, and what states where voxels lie is as it is on disk. Raises `ImageError` if the file
    is missing, cannot be read, or does not begin like a NIfTI file.
    """
    stored = _parse(path, _start(path))
    header = corrected(stored)
    restore_fields(header, stored)
    return header


def check_extensions(path: Path) -> Any:
    """The header as it is on disk, without its extensions, or None where it cannot be known.

    Raises `ImageError` if the extensions claim more than `MAX_EXTENSIONS` or than there is room for. A file without a
    header that can be known is left to nibabel, which reports what is wrong with it.
    """
    start = _start(path)
    try:
        header = _parse(path, start)
        offset = int(header["vox_offset"])
    except (ImageError, ValueError, OverflowError):
        return None
    size = int(header.template_dtype.itemsize)
    if start[size : size + 1] not in (b"", b"\0") and offset > size + 4:
        _check_lengths(path, header, offset)
    return header


def check_end(path: Path, size: int) -> None:
    """Reads a compressed file up to byte `size` and one more, and keeps nothing.

    Raises what `gzip` does if the file is too damaged for that; where it ends there, also for a wrong check sum.
    """
    with gzip.open(path) as file:
        while size > 0 and (piece := file.read(min(size, _PIECE))):
            size -= len(piece)
        file.read(1)


def _check_lengths(path: Path, header: Any, offset: int) -> None:
    if offset > MAX_EXTENSIONS:
        raise ImageError(
            f"{path}: the header claims {offset} bytes before the voxels, expected at most {MAX_EXTENSIONS}:"
            " it is damaged"
        )
    content, _ = first_bytes(path, offset)
    place, order = int(header.template_dtype.itemsize) + 4, "<" if header.endianness == "<" else ">"
    while place + 16 <= len(content):
        length = struct.unpack_from(f"{order}i", content, place)[0]
        if not 8 <= length <= offset - place:
            raise ImageError(
                f"{path}: a header extension claims {length} bytes, expected 8 to {offset - place}: it is damaged"
            )
        place += length


def _start(path: Path) -> bytes:
    check_is_file(path)
    try:
        start, problem = first_bytes(path, _LARGEST + 4)
    except OSError as error:
        raise ImageError(f"{path}: cannot be opened: {error.strerror}") from error
    if problem and not start:
        raise ImageError(f"{path}: cannot be read as NIfTI ({problem})")
    return start


def _parse(path: Path, start: bytes) -> Any:
    for order in "<>":
        size = struct.unpack_from(f"{order}i", start)[0] if len(start) >= 4 else 0
        if size in _KINDS and len(start) >= size:
            kind: Any = _KINDS[size]
            return kind(start[:size], order, check=False)
    if start[344:348] in _MAGIC:  # nibabel asks for no more
        return nib.Nifti1Header(start[:348], check=False)
    raise ImageError(
        f"{path}: cannot be read as NIfTI, expected a header of 348 or 540 bytes, found"
        f" {'an empty file' if not start else repr(start[:4])}"
    )
