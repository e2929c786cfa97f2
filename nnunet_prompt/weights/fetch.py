"""Downloads a known source, with progress, from where it stopped the last time, and checks what came."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.common.log import progress_bar
from nnunet_prompt.io.atomic import make_folder
from nnunet_prompt.io.json_file import read_object, write_json
from nnunet_prompt.networks.provenance import sha256_of
from nnunet_prompt.weights.source_table import KnownSource

if TYPE_CHECKING:
    from requests import Response

PART = ".part"
HASHES = "sha256.json"
TIMEOUT_S = 30
BLOCK = 1 << 20


def fetch(source: KnownSource, folder: Path) -> Path:
    """Downloads `source` into `folder`/<name>, unpacks an archive, and returns that model folder.

    A file that is there is not downloaded again; one that stopped half-way is resumed. Hashes are checked against the
    table's, else against those in `sha256.json`, which the first download writes. The licence is written to LICENSE,
    unless the owners' files hold one. Raises `ModelError` where there is no network, for a source that has to be
    fetched by hand, and for a file that is not what it was.
    """
    if not source.files:
        raise ModelError(
            f"{source.name}: is not fetched by this command: visit {source.page}, accept what its owners ask, and give"
            " the downloaded checkpoint to `weights adapt`"
        )
    target = folder / source.name
    make_folder(target)
    hashes = _known_hashes(target)
    for index, (name, address) in enumerate(source.files):
        last = index == len(source.files) - 1
        expected = (source.sha256 if last else "") or hashes.get(name, "")
        path = target / name
        if not (path.is_file() and hashes.get(name)):
            download(address, path, expected=expected)
        found = sha256_of(path)
        _check(path, found, expected)
        if hashes.get(name) != found:
            hashes[name] = found
            _write_hashes(target, hashes)
        if path.suffix == ".zip":
            _unpack(path, target)
    licence = target / "LICENSE"
    if not licence.exists():
        licence.write_text(f"{source.licence}\n{source.page}\n")
    return target


def download(address: str, path: Path, *, expected: str = "") -> None:
    """Downloads to PATH.part, from where an earlier download stopped, and renames it when it is whole.

    Raises `ModelError` in one line for whatever the network does, and where the hash is not `expected`; the part is
    kept for the next time, unless its hash is wrong.
    """
    import requests

    part = path.with_name(path.name + PART)
    path.parent.mkdir(parents=True, exist_ok=True)
    done = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={done}-"} if done else {}
    try:
        with requests.get(address, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
            if response.status_code == 416:  # the part is the whole
                pass
            else:
                response.raise_for_status()
                _receive(response, part, done if response.status_code == 206 else 0)
    except requests.HTTPError as error:
        said = " ".join(str(error).split())
        raise ModelError(
            f"{address}: refused by its server ({said}); the file may have moved"
        ) from None
    except requests.RequestException as error:
        raise ModelError(
            f"{address}: cannot be downloaded, is there a network? ({type(error).__name__}); run it again to resume"
            f" from {_size(part)} bytes, or download the file elsewhere and put it to {path}"
        ) from None
    if expected and sha256_of(part) != expected:
        found = sha256_of(part)
        part.unlink()
        _check(path, found, expected)
    part.replace(path)


def _receive(response: Response, part: Path, done: int) -> None:
    length = response.headers.get("Content-Length")
    total = done + int(length) if length and length.isdecimal() else None
    name = part.name.removesuffix(PART)
    with (
        part.open("r+b" if done else "wb") as file,
        progress_bar(name, total=total, initial=done, unit="B", unit_scale=True) as bar,
    ):
        file.seek(done)
        file.truncate()
        for block in response.iter_content(BLOCK):
            file.write(block)
            bar.update(len(block))
    if total is not None and part.stat().st_size != total:
        raise ModelError(
            f"{response.url}: ended after {part.stat().st_size} of {total} bytes; run it again to resume"
        )


def _unpack(archive: Path, folder: Path) -> None:
    """Files that are there are left alone, so a second call changes nothing. Raises `ModelError`."""
    try:
        with zipfile.ZipFile(archive) as content:
            for member in content.infolist():
                place = (folder / member.filename).resolve()
                if not place.is_relative_to(folder.resolve()):
                    raise ModelError(
                        f"{archive}: refused, it would write outside its folder ({member.filename})"
                    )
                if not (place.is_file() and place.stat().st_size == member.file_size):
                    content.extract(member, folder)
    except zipfile.BadZipFile as error:
        raise ModelError(
            f"{archive}: not a zip archive ({error}); delete it and fetch again"
        ) from None


def _check(path: Path, found: str, expected: str) -> None:
    if expected and found != expected:
        raise ModelError(
            f"{path}: sha256 is {found}, expected {expected}: damaged, or its owners changed it; delete it (and its"
            f" line in {HASHES} where you trust the new one) and fetch again"
        )


def _known_hashes(folder: Path) -> dict[str, str]:
    path = folder / HASHES
    if not path.exists():
        return {}
    content = read_object(path, ModelError, way_out="; delete it")
    return {name: str(value) for name, value in content.items()}


def _write_hashes(folder: Path, hashes: dict[str, str]) -> None:
    write_json(folder / HASHES, hashes)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
