"""Models by their address on a hub, `hf://owner/name@revision`: downloaded once, at one commit, with hashes checked.

Only data are taken: JSON, safetensors, words.npz, LICENSE and the card. HF_ENDPOINT names another hub than the default.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.data.word_bank import NAME as BANK_NAME
from nnunet_prompt.io.atomic import make_folder
from nnunet_prompt.io.json_file import read_object, write_json
from nnunet_prompt.networks.provenance import sha256_of
from nnunet_prompt.networks.safetensors_file import ENDING
from nnunet_prompt.weights.fetch import HASHES, TIMEOUT_S, download

SCHEME: Final = "hf:"
TAKEN: Final = (".json", ENDING)
TAKEN_NAMES: Final = ("LICENSE", "README.md", BANK_NAME)
_ADDRESS = re.compile(
    r"hf:/{1,2}(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w][\w.-]*))?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HubAddress:
    """A repository, and the commit, tag or branch to take of it."""

    repo: str
    revision: str = "main"

    @property
    def folder(self) -> str:
        return self.repo.replace("/", "--")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository: its SHA-256 where the hub states it (of large files), else git's hash, else ""."""

    name: str
    sha256: str = ""
    blob: str = ""


def hub_address(text: str | Path) -> HubAddress:
    """The address in a text, whose two slashes a `Path` makes one. Raises `ModelError` for another form."""
    match = _ADDRESS.fullmatch(str(text))
    if match is None:
        raise ModelError(f"{text}: expected hf://owner/name@revision")
    return HubAddress(match["repo"], match["revision"] or "main")


def local_model(model: Path, cache: Path | None = None) -> Path:
    """A model folder: `model` itself, or for an address on a hub the download below `cache`, by default the user's."""
    if not str(model).startswith(SCHEME):
        return model
    return fetch_hub(hub_address(model), cache or cache_folder())


def cache_folder() -> Path:
    """Where downloaded models are kept: below XDG_CACHE_HOME, by default ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nnunet-prompt"


def fetch_hub(address: HubAddress, folder: Path) -> Path:
    """Downloads a repository to `folder`/OWNER--NAME/COMMIT, which is there when all of it is, and returns it.

    A commit that is there is checked against its `sha256.json` and needs no network; a download that stopped is
    resumed. Raises `ModelError` where there is no network, no such repository or model in it, and for a file that is
    not what its hub or its first download states.
    """
    known = folder / address.folder / address.revision
    if _COMMIT.fullmatch(address.revision) and known.is_dir():
        return _checked(known)
    commit, files = _listing(address)
    target = folder / address.folder / commit
    _log.info("hf://%s@%s: commit %s", address.repo, address.revision, commit)
    if target.is_dir():
        return _checked(target)
    partial = target.with_name(f"{commit}.part")
    make_folder(partial)
    hashes: dict[str, str] = {}
    for file in files:
        path = partial / file.name
        if not path.is_file():
            place = f"{_endpoint()}/{address.repo}/resolve/{commit}/{file.name}"
            download(place, path, expected=file.sha256)
        hashes[file.name] = _verified(path, file)
    write_json(partial / HASHES, hashes)
    partial.rename(target)
    return target


def _listing(address: HubAddress) -> tuple[str, tuple[HubFile, ...]]:
    """The commit of a revision, and those of its files that are taken. Raises `ModelError`."""
    import requests

    place = f"{_endpoint()}/api/models/{address.repo}/revision/{address.revision}"
    try:
        answer = requests.get(place, params={"blobs": "true"}, timeout=TIMEOUT_S)
        answer.raise_for_status()
        content = answer.json()
        commit = str(content["sha"])
        found = [_file(entry) for entry in content["siblings"]]
    except requests.HTTPError as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"hf://{address.repo}@{address.revision}: refused by its hub ({reason}); expected a public repository and a"
            " commit, tag or branch of it"
        ) from None
    except (requests.RequestException, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"hf://{address.repo}@{address.revision}: cannot be listed ({type(error).__name__}), is there a network?"
            " A commit that was downloaded before needs none: give its 40 digits"
        ) from None
    files = tuple(f for f in found if _is_taken(f.name))
    names = {f.name for f in files}
    if not _COMMIT.fullmatch(commit) or "plans.json" not in names:
        raise ModelError(
            f"hf://{address.repo}@{address.revision}: not a model of `nnunet-prompt weights publish`: it has no"
            " plans.json with safetensors"
        )
    return commit, files


def _file(entry: Mapping[str, Any]) -> HubFile:
    large = entry.get("lfs")
    sha256 = (
        str(large.get("sha256") or large.get("oid") or "") if isinstance(large, Mapping) else ""
    )
    return HubFile(
        str(entry["rfilename"]), sha256, "" if sha256 else str(entry.get("blobId") or "")
    )


def _is_taken(name: str) -> bool:
    """Data of the model itself; nothing outside its folder, and not its form for other programs."""
    path = PurePosixPath(name)
    parts = path.parts
    inside = not path.is_absolute() and ".." not in parts and "\\" not in name and ":" not in name
    ours = len(parts) == 1 or (len(parts) == 2 and parts[0].startswith("fold_"))
    kind = path.suffix in TAKEN or name in TAKEN_NAMES
    return inside and ours and kind and name != HASHES


def _verified(path: Path, file: HubFile) -> str:
    """The SHA-256 of a download. Raises `ModelError`, and removes the file, where the hub states another content."""
    found = sha256_of(path)
    other = bool(file.sha256) and found != file.sha256
    if file.blob:
        content = path.read_bytes()
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
        other = other or blob.hexdigest() != file.blob
    if other:
        path.unlink()
        raise ModelError(f"{path}: is not what its hub states, and was removed; run it again")
    return found


def _checked(folder: Path) -> Path:
    for name, expected in read_object(folder / HASHES, ModelError).items():
        path = folder / name
        if not path.is_file() or sha256_of(path) != expected:
            raise ModelError(
                f"{path}: is not what was downloaded (sha256); remove {folder} and run it again"
            )
    return folder


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
