"""Prompts in and out of the page: our own form as JSON, or with its masks beside it in a zip."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from nnunet_prompt.common.errors import PromptFileError
from nnunet_prompt.io.atomic import replacing
from nnunet_prompt.io.json_file import write_json
from nnunet_prompt.io.save_mask import save_mask
from nnunet_prompt.prompt_files.prompt_file import PromptFile, load_prompts
from nnunet_prompt.view.wire import prompts_to_json

if TYPE_CHECKING:
    from nnunet_prompt.prompts.types import CasePrompts
    from nnunet_prompt.view.tab import Tab


def write_prompts(tab: Tab, folder: Path) -> list[Path]:
    """Writes the prompts of a tab as CASE_prompts.json, with the masks that they begin with; returns the files."""
    masks = {label: said.mask for label, said in tab.prompts.labels.items()}
    names = {
        label: f"{tab.name}_mask_{label}.nii.gz" for label, m in masks.items() if m is not None
    }
    made = [
        save_mask(mask, folder / names[label], like=tab.volumes[0])
        for label, mask in masks.items()
        if mask is not None
    ]
    path = folder / f"{tab.name}_prompts.json"
    write_json(path, prompts_to_json(tab.name, tab.prompts, names))
    return [path, *made]


def as_download(tab: Tab, folder: Path) -> tuple[str, bytes]:
    """The name and the content of the prompts of a tab: JSON, or a zip where masks are among them.

    `folder` is an empty one for the files in between.
    """
    files = write_prompts(tab, folder)
    if len(files) == 1:
        return files[0].name, files[0].read_bytes()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            archive.write(file, file.name)
    return f"{tab.name}_prompts.zip", content.getvalue()


def read_prompts(tab: Tab, name: str, content: bytes, folder: Path, *, most: int) -> CasePrompts:
    """The prompts of an upload for the case of a tab: a file of any form that `predict -p` reads, or our own zip.

    `folder` is an empty one, and nothing outside it is read; `most` bytes are unpacked. Raises `PromptFileError` for
    anything else.
    """
    path = folder / (_plain(name) or "prompts.json")
    if path.name.lower().endswith(".zip"):
        path = _unpacked(path.name, content, folder, most)
    else:
        path.write_bytes(content)
    file = load_prompts(path)
    images = {tab.name: tab.volumes[0].path}
    placed = file.for_images(images, table=tab.session.predictor.table)
    _check_masks(placed, folder)  # now that all files are known, and none is read
    return placed.prompts(tab.name, tab.volumes[0])


def _check_masks(file: PromptFile, folder: Path) -> None:
    """Raises `PromptFileError` for a mask outside the folder of the upload."""
    for mask in file.masks:
        if mask.resolve().parent != folder.resolve():
            raise PromptFileError(
                f"{file.path.name}: names the mask {mask.name}, and a page may read no other files; upload a zip with"
                " the prompts and the mask"
            )


def _unpacked(name: str, content: bytes, folder: Path, most: int) -> Path:
    """The one JSON file of a zip, whose files are now in `folder`."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
            if sum(m.file_size for m in members) > most:
                raise PromptFileError(f"{name}: more than {most} bytes unpacked, which is refused")
            for member in members:
                target = folder / (_plain(member.filename) or "unnamed")
                with replacing(target) as partial:
                    partial.write_bytes(archive.read(member))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise PromptFileError(f"{name}: not a zip that can be read: {error}") from error
    found = sorted(folder.glob("*.json"))
    if len(found) != 1:
        raise PromptFileError(f"{name}: expected one .json file in it, found {len(found)}")
    return found[0]


def _plain(name: str) -> str:
    """The last part of a name, whichever system it comes from."""
    return PurePosixPath(PureWindowsPath(name).name).name
