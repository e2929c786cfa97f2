"""What a platform's job folder holds: its sockets with their values, from inputs.json or from the folders alone.

    [{"socket": {"slug": "ct-image", "super_kind": "Image", "relative_path": "images/ct", ...},
      "image": {"name": "patient7.mha"}, "file": null, "value": null}, ...]

Older jobs have "interface" for "socket". A path that is not stated is images/<slug> for an image, <slug>.json else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_prompt.challenge.forms.sockets import (
    InputSocket,
    Sockets,
    check_below,
    is_image_name,
)
from nnunet_prompt.common.arguments import shown
from nnunet_prompt.common.errors import DatasetError, ImageError, NNUNetPromptError
from nnunet_prompt.io.image_files import ENDINGS
from nnunet_prompt.io.json_file import read_json

INPUTS_FILE = "inputs.json"
SAMPLE = (
    '[{"socket": {"slug": "ct-image", "relative_path": "images/ct"}, "image": {"name": "a.mha"}}]'
)


@dataclass(frozen=True, slots=True)
class SocketValue:
    """A socket of a job.

    slug    its name
    socket  what it is for us
    path    the file or folder of its value; it need not be there where `value` is given
    name    the name that the image had when it was uploaded, None where that is not stated
    value   what inputs.json holds itself, None for nothing
    """

    slug: str
    socket: InputSocket
    path: Path
    name: str | None = None
    value: Any = None

    def image(self) -> Path:
        """The one image file at its path. Raises `ImageError` for none and for several."""
        if self.path.is_file():
            return self.path
        there = sorted(self.path.iterdir()) if self.path.is_dir() else []
        found = [p for p in there if is_image_name(p.name) and p.is_file()]
        if len(found) != 1:
            names = ", ".join(p.name for p in found or there[:3]) or "none"
            raise ImageError(
                f"{self.path}: socket {self.slug!r}: expected one image that ends in {', '.join(ENDINGS[:6])}, found"
                f" {names}"
            )
        return found[0]

    def json(self) -> Any:
        """The JSON value, of its file or else of inputs.json. Raises `DatasetError` for neither."""
        if self.value is not None and not self.path.is_file():
            return self.value
        missing = f"socket {self.slug!r} has no value: give the file, or a value in {INPUTS_FILE}"
        return read_json(self.path, DatasetError, missing=missing)


def read_inputs(folder: Path, sockets: Sockets) -> list[SocketValue]:
    """The sockets that inputs.json lists, without those that are ignored.

    Raises `DatasetError` for a file that is missing, no list of sockets, or names one that is not configured.
    """
    path = folder / INPUTS_FILE
    content = read_json(
        path, DatasetError, missing=f"the platform writes it into the input folder: {SAMPLE}"
    )
    if not isinstance(content, list) or not content:
        raise DatasetError(
            f"{path}: expected a list of sockets, found {shown(content)}; expected for example {SAMPLE}"
        )
    found: dict[str, SocketValue] = {}
    for i, entry in enumerate(content):
        one = _read_entry(entry, f"{path}: [{i}]", folder, sockets)
        if one.slug in found:
            raise DatasetError(f"{path}: [{i}]: the slug {one.slug!r} is listed twice")
        found[one.slug] = one
    return [one for one in found.values() if one.socket.role != "ignored"]


def find_inputs(folder: Path, sockets: Sockets) -> list[SocketValue]:
    """The configured sockets whose folder or file is there; for jobs without inputs.json.

    Raises `DatasetError` for a folder below images/ that is not configured.
    """
    known = {slug: folder / _default_path(slug, one) for slug, one in sockets.inputs.items()}
    images = folder / "images"
    for path in sorted(images.iterdir()) if images.is_dir() else []:
        if path.is_dir() and path not in known.values():
            sockets.of(path.name, str(path))
    return [
        SocketValue(slug, sockets.inputs[slug], path)
        for slug, path in known.items()
        if path.exists() and sockets.inputs[slug].role != "ignored"
    ]


def write_inputs(folder: Path, values: Mapping[str, Path]) -> list[dict[str, Any]]:
    """The content of an inputs.json for images and JSON files that lie below `folder`, as the platform writes it."""
    entries = []
    for slug, path in values.items():
        below = path.relative_to(folder)
        image = is_image_name(path.name)
        socket = {
            "slug": slug,
            "title": slug,
            "kind": "Image" if image else "Anything",
            "super_kind": "Image" if image else "File",
            "relative_path": (below.parent if image else below).as_posix(),
        }
        entries.append(
            {
                "file": None,
                "image": {"name": path.name} if image else None,
                "value": None if image else json.loads(path.read_text(encoding="utf-8")),
                "socket": socket,
            }
        )
    return entries


def _read_entry(entry: Any, where: str, folder: Path, sockets: Sockets) -> SocketValue:
    stated = entry.get("socket", entry.get("interface")) if isinstance(entry, dict) else None
    slug = stated.get("slug") if isinstance(stated, dict) else None
    if not isinstance(stated, dict) or not isinstance(slug, str) or not slug:
        raise DatasetError(
            f"{where}: socket.slug: expected the slug of a socket, found {shown(entry)}; expected for example {SAMPLE}"
        )
    socket = sockets.of(slug, where)
    path = stated.get("relative_path") or _default_path(slug, socket)
    try:
        below = check_below(path) if isinstance(path, str) else None
    except NNUNetPromptError as error:
        raise DatasetError(f"{where}: socket.relative_path: {error}") from None
    if below is None:
        raise DatasetError(f"{where}: socket.relative_path: expected a text, found {shown(path)}")
    image = entry.get("image")
    name = image.get("name") if isinstance(image, dict) else None
    named = name if isinstance(name, str) and name else None
    return SocketValue(slug, socket, folder / below, named, entry.get("value"))


def _default_path(slug: str, socket: InputSocket) -> str:
    if socket.folder is not None:
        return socket.folder
    return f"images/{slug}" if socket.role in ("image", "mask") else f"{slug}.json"
