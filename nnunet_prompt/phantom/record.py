"""The record of mock challenge data: which files of which cases are written, and with which options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib

from nnunet_prompt.common.errors import DatasetError, OutputError
from nnunet_prompt.io.atomic import PARTIAL, make_folder, replacing, save_nifti
from nnunet_prompt.io.json_file import read_object, write_json
from nnunet_prompt.phantom.scanner import Volume

RECORD_FILE = "mock_challenge.json"
_EARLIER_FILE = "rehearsal.json"  # its name once; such a folder is taken up
VERSION = 1
PARTS = ("train", "val", "test", "hidden_labels", "hidden_labels_val")
File = Volume | bytes  # bytes are written as they are: resource forks, tables


class Record:
    """The content of `mock_challenge.json`.

    {"version": 1, <options>, "complete": false, "cases": {name: {..., "files": [path, ...]}}}; paths are relative to
    the folder. The file is renewed after every case, so that a stopped run resumes.
    """

    def __init__(self, folder: Path, content: dict[str, Any]) -> None:
        self._folder = folder
        self._content = content

    @classmethod
    def open(cls, folder: Path, options: Mapping[str, Any]) -> Record:
        """The record of a folder, a new one if there is none; removes what a killed run left half-written.

        Raises `DatasetError` for a record that is not in this form, and for one of other options; `OutputError` for a
        folder without a record that has the parts of a download.
        """
        make_folder(folder)
        new: dict[str, Any] = {"version": VERSION, **options, "complete": False, "cases": {}}
        path = folder / RECORD_FILE
        if (folder / _EARLIER_FILE).is_file() and not path.is_file():
            (folder / _EARLIER_FILE).replace(path)
        if path.is_file():
            try:
                content = read_object(path, DatasetError, way_out=": choose another folder")
                found = {key: content[key] for key in new}
                _ = [list(entry["files"]) for entry in found["cases"].values()]
            except (KeyError, TypeError, AttributeError) as error:
                raise DatasetError(
                    f"{path}: not in the form of mock challenge data ({error!r})"
                ) from error
            for key in ("version", *options):
                if found[key] != new[key]:
                    raise DatasetError(
                        f"{path}: {key} is {found[key]}, expected {new[key]}: choose another folder"
                    )
            new = found | {"complete": False}
        else:
            _check_free(folder)
        for leftover in folder.rglob(f"{PARTIAL}*"):
            leftover.unlink()
        record = cls(folder, new)
        record._write()
        return record

    def holds(self, name: str) -> bool:
        """Whether a case is written and all its files are still there."""
        entry = self._content["cases"].get(name)
        return entry is not None and all((self._folder / f).is_file() for f in entry["files"])

    def add(self, name: str, files: Mapping[str, File], about: Mapping[str, str]) -> None:
        """Writes the files of a case that are not there, then its entry."""
        for relative, file in files.items():
            path = self._folder / relative
            if path.is_file():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(file, Volume):
                save_volume(path, file)
            else:
                with replacing(path) as partial:
                    partial.write_bytes(file)
        self._content["cases"][name] = {**about, "files": list(files)}
        self._write()

    def finish(self) -> None:
        """Marks the data as complete."""
        self._content["complete"] = True
        self._write()

    def _write(self) -> None:
        write_json(self._folder / RECORD_FILE, self._content)


def _check_free(folder: Path) -> None:
    """Raises `OutputError` for other downloads: their files would be replaced, or taken for ours."""
    files = (path for part in PARTS for path in (folder / part).rglob("*") if path.is_file())
    taken = next((path for path in files if not path.name.startswith(PARTIAL)), None)
    if taken is not None:
        raise OutputError(
            f"{taken}: already exists, but {folder} has no {RECORD_FILE}, so it is not mock challenge data:"
            " choose another folder"
        )


def save_volume(path: Path, volume: Volume) -> None:
    """Writes a volume as NIfTI, sform and qform alike; `path` never names an incomplete file."""
    array = volume.array[..., None] if volume.fourth_axis else volume.array
    image = nib.Nifti1Image(array, volume.affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(volume.affine, code=1)
    image.set_sform(volume.affine, code=1)
    save_nifti(path, image)
