"""Which files are the training cases of nnU-Net raw data, by the rules of nnU-Net 2.8.

Either `dataset.json` lists them, and nothing else counts; relative paths start at the folder, $VARIABLES are replaced:
  "dataset": {"<case>": {"images": ["elsewhere/a.nii.gz", ...], "label": "labelsTr/a.nii.gz"}, ...}
or they are the files of two folders:
  imagesTr/<case>_0000.nii.gz, imagesTr/<case>_0001.nii.gz, ...   and   labelsTr/<case>.nii.gz
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.io.names import as_stored, composed
from nnunet_prompt.io.nifti import is_nifti_name

_log = logging.getLogger(__name__)

LISTING = "dataset"
_CHANNEL = re.compile(r"(.+)_(\d{4})")


@dataclass(frozen=True, slots=True)
class CaseFiles:
    """The files of one case: an image per channel, the label map, and the first image as the data set calls it."""

    images: tuple[Path, ...]
    label: Path
    stated: str


def training_files(
    source: Path, content: Mapping[str, Any], *, channels: int, ending: str
) -> dict[str, CaseFiles]:
    """The files of each training case, by name. `content` is what `dataset.json` holds.

    What counts otherwise than the user may think is logged: files that are left out because they are not
    listed or end otherwise, and a numTraining that is not the number of cases. Raises `DatasetError` for a listing
    that is not in its form, a file that is missing, a label map without images, and a name that is not in its form.
    """
    if LISTING in content:
        found = _listed(source, content[LISTING], channels)
        _note_unlisted(source, found, ending)
    else:
        found = _in_folders(source, channels, ending)
    stated = content.get("numTraining", len(found))
    if stated != len(found):
        _note(f"{source / 'dataset.json'}: numTraining is {stated!r}, found {len(found)} cases")
    return found


def _listed(source: Path, listing: Any, channels: int) -> dict[str, CaseFiles]:
    where = f"{source / 'dataset.json'}: {LISTING}"
    form = '{"<case>": {"images": [file, ...], "label": file}}'
    if not isinstance(listing, Mapping) or not listing:
        raise DatasetError(f"{where} must be {form}, found {_short(listing)}")
    found = {}
    for case, entry in sorted(listing.items()):
        images, label = _entry(entry, f"{where}[{case!r}]")
        if len(images) != channels:
            raise DatasetError(
                f"{where}[{case!r}].images: expected one file for each of the {channels} channels of channel_names,"
                f" found {len(images)}"
            )
        paths = tuple(_file(source, f, f"{where}[{case!r}].images") for f in images)
        found[case] = CaseFiles(paths, _file(source, label, f"{where}[{case!r}].label"), images[0])
    return found


def _entry(entry: Any, where: str) -> tuple[list[str], str]:
    images = entry.get("images") if isinstance(entry, Mapping) else None
    label = entry.get("label") if isinstance(entry, Mapping) else None
    if isinstance(images, list) and isinstance(label, str):
        if all(isinstance(file, str) for file in images):
            return images, label
    raise DatasetError(
        f'{where} must be {{"images": [file, ...], "label": file}}, found {_short(entry)}'
    )


def _file(source: Path, stated: str, where: str) -> Path:
    path = as_stored(source / os.path.expandvars(stated))  # an absolute path stands for itself
    if not path.is_file():
        raise DatasetError(f"{where}: {stated}: no such file{_from(source, path, stated)}")
    if not is_nifti_name(path.name):
        raise DatasetError(f"{where}: {stated}: only NIfTI files can be read, .nii.gz and .nii")
    return path


def _from(source: Path, path: Path, stated: str) -> str:
    return "" if str(path) == stated else f" (looked for {path}; relative paths start at {source})"


def _note_unlisted(source: Path, found: Mapping[str, CaseFiles], ending: str) -> None:
    """nnU-Net, too, takes the listed cases alone; a user may have forgotten that there is a list."""
    if not (source / "imagesTr").is_dir():
        return
    listed = {path.resolve() for files in found.values() for path in files.images}
    others = [p for p in _files(source / "imagesTr", ending).values() if p.resolve() not in listed]
    if others:
        _note(
            f"{source / 'dataset.json'}: `{LISTING}` lists {len(found)} cases, and only they count:"
            f" {len(others)} files of imagesTr are left out, such as {others[0].name}"
        )


def _in_folders(source: Path, channels: int, ending: str) -> dict[str, CaseFiles]:
    images, labels = (_files(source / part, ending) for part in ("imagesTr", "labelsTr"))
    if not images:
        raise DatasetError(
            f"{source / 'imagesTr'}: no file named <case>_0000{ending}{_instead(source / 'imagesTr')}"
        )
    names = sorted({_case_of(source, path, name, channels) for name, path in images.items()})
    lonely = sorted(set(labels) - set(names))
    if lonely:
        raise DatasetError(f"{labels[lonely[0]]}: a label map without images in imagesTr")
    for case in names:
        wanted = [f"{case}_{i:04d}" for i in range(channels)]
        missing = [f"imagesTr/{w}{ending}" for w in wanted if w not in images]
        missing += [] if case in labels else [f"labelsTr/{case}{ending}"]
        if missing:
            raise DatasetError(f"{source}: case {case} lacks {missing[0]}")
    return {
        case: CaseFiles(
            tuple(images[f"{case}_{i:04d}"] for i in range(channels)),
            labels[case],
            f"imagesTr/{images[f'{case}_0000'].name}",
        )
        for case in names
    }


def _case_of(source: Path, path: Path, name: str, channels: int) -> str:
    """The case that an image belongs to."""
    match = _CHANNEL.fullmatch(name)
    if match is None:
        raise DatasetError(
            f"{path}: expected a name such as <case>_0000{path.name.removeprefix(name)}, which ends with the four"
            " digits of the channel"
        )
    if int(match[2]) >= channels:
        raise DatasetError(
            f"{path}: is channel {int(match[2])}, but channel_names of {source / 'dataset.json'} has only {channels},"
            " numbered from 0: name the channel there, or take the file away"
        )
    return match[1]


def _files(folder: Path, ending: str) -> dict[str, Path]:
    """The files of a folder by their composed names without the ending, which may be in upper case as well."""
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        if not path.name.lower().endswith(ending.lower()):
            continue
        name = composed(path.name[: -len(ending)])
        if name in found:
            raise DatasetError(f"{path}: {found[name].name} has the same name, keep one of them")
        found[name] = path
    _note_others(folder, found, ending)
    return found


def _note_others(folder: Path, found: Mapping[str, Path], ending: str) -> None:
    taken = set(found.values())
    others = [p for p in sorted(folder.iterdir()) if p not in taken and is_nifti_name(p.name)]
    if found and others:
        _note(
            f"{folder}: {len(others)} files do not end with file_ending {ending} and are left out,"
            f" such as {others[0].name}"
        )


def _instead(folder: Path) -> str:
    names = [p.name for p in sorted(folder.iterdir()) if not p.name.startswith(".")]
    return f", found {names[0]} instead" if names else ", the folder is empty"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 100 else f"{text[:97]}..."


def _note(text: str) -> None:
    _log.info("note: %s", text)
