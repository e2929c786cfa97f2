"""Data sets in the layout of the Medical Segmentation Decathlon.

Task04_Hippocampus/
  dataset.json    "modality": {"0": "MRI"}, "labels": {"0": "background", "1": "Anterior", ...},
                  "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}, ...]
  imagesTr/       one file per case; several modalities lie on the fourth axis
  labelsTr/
nnU-Net v1 has the same `dataset.json` and one file per modality: <case>_0000.nii.gz, <case>_0001.nii.gz, ...
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.case import Case, FileVolume
from nnunet_prompt.data.conversion import (
    converter_parser,
    data_set_name,
    read_dataset_json,
    run_converter,
)
from nnunet_prompt.data.raw import RawTarget, keep_out_of, write_raw_dataset
from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.io.names import as_stored
from nnunet_prompt.io.nifti import is_nifti_name, volume_count
from nnunet_prompt.io.nifti_file import ENDINGS


def convert(source: Path, dataset_id: int, *, name: str | None = None) -> Path:
    """Writes the training cases as nnU-Net raw data, in canonical orientation, and returns the folder.

    The modalities become the channel names, on which nnU-Net's normalisation depends. Raises `DatasetError` for a
    `dataset.json` that is not of this layout and everything that `write_raw_dataset` raises.
    """
    content = read_dataset_json(source)
    target = RawTarget(
        dataset_id,
        name or data_set_name(content.get("name"), source),
        channel_names=_modalities(source, content),
        reference=str(content.get("reference", "")),
        licence=str(content.get("licence", content.get("license", ""))),
        sources=(source,),
    )
    keep_out_of([source])
    cases = list(msd_cases(source))  # they hold names of files only
    return write_raw_dataset(cases, target, table=msd_structures(source))


def msd_structures(source: Path) -> StructureTable:
    """One structure per foreground label of `dataset.json`, by value; the values stay the official ones."""
    values = _labels(source, read_dataset_json(source))
    return StructureTable(
        tuple(Structure(name, i, (i,), value) for i, (value, name) in enumerate(values.items(), 1))
    )


def msd_cases(source: Path) -> Iterator[Case]:
    """The training cases that `dataset.json` lists; hidden files among them are skipped.

    Raises `DatasetError` for an entry without image or label, for a file outside the folder, and for an image whose
    fourth axis does not fit the modalities.
    """
    content = read_dataset_json(source)
    channels = len(_modalities(source, content))
    ids = {0: 0, **{value: i for i, value in enumerate(_labels(source, content), 1)}}
    entries = content.get("training")
    if not isinstance(entries, Sequence) or isinstance(entries, str) or not entries:
        raise DatasetError(f"{source / 'dataset.json'}: training must list at least one case")
    for number, entry in enumerate(entries):
        where = f"{source / 'dataset.json'}: training[{number}]"
        if not isinstance(entry, Mapping) or not {"image", "label"} <= entry.keys():
            raise DatasetError(f'{where} must be {{"image": file, "label": file}}, found {entry!r}')
        image, label = (_inside(source, entry[key], f"{where}.{key}") for key in ("image", "label"))
        if image.name.startswith("."):
            continue
        for path, key in ((image, "image"), (label, "label")):
            if not is_nifti_name(path.name):
                raise DatasetError(
                    f"{where}.{key}: {entry[key]!r}: only {' and '.join(ENDINGS)} can be read"
                )
        yield Case(
            re.sub(r"\.nii(\.gz)?$", "", image.name, flags=re.IGNORECASE),
            _images(image, channels),
            label,
            label_values=ids,
            source=str(entry["image"]),
        )


def _images(image: Path, channels: int) -> tuple[Path | FileVolume, ...]:
    """The channels of an image: the volumes of its file, or the files <case>_0000, ... that nnU-Net v1 has for it."""
    name, ending = re.fullmatch(r"(.+?)(\.nii(?:\.gz)?)", image.name, re.IGNORECASE).groups()  # type: ignore[union-attr]
    single = [image.with_name(f"{name}_{i:04d}{ending}") for i in range(channels)]
    if not image.exists() and single[0].is_file():
        missing = next((path for path in single if not path.is_file()), None)
        if missing is not None:
            raise DatasetError(
                f"{missing}: no such file, and dataset.json names {channels} modalities"
            )
        return tuple(single)
    found = volume_count(image)
    if found != channels:
        raise DatasetError(
            f"{image}: holds {found} volumes, dataset.json names {channels} modalities"
        )
    return (image,) if channels == 1 else tuple(FileVolume(image, i) for i in range(channels))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = converter_parser("Medical Segmentation Decathlon to nnU-Net raw data").parse_args(
        arguments
    )
    return run_converter(lambda: convert(options.source, options.dataset_id, name=options.name))


def _labels(source: Path, content: Mapping[str, Any]) -> dict[int, str]:
    """Foreground value → name, by value."""
    path = source / "dataset.json"
    try:
        values = {int(value): str(name) for value, name in content["labels"].items()}
    except (KeyError, ValueError, AttributeError) as error:
        raise DatasetError(
            f'{path}: labels must be {{"0": "background", "1": name, ...}}, found'
            f" {content.get('labels')!r}: data that already are nnU-Net raw have a converter of their own"
        ) from error
    foreground = {v: values[v] for v in sorted(values) if v != 0}
    if not foreground or len(set(foreground.values())) < len(foreground) or min(foreground) < 0:
        raise DatasetError(
            f"{path}: labels must name each value above 0 once, found {content['labels']!r}"
        )
    return foreground


def _modalities(source: Path, content: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        named = {int(key): str(name) for key, name in content["modality"].items()}
    except (KeyError, ValueError, AttributeError) as error:
        raise DatasetError(
            f'{source / "dataset.json"}: modality must be {{"0": name, ...}}, found {content.get("modality")!r}'
        ) from error
    if not named or sorted(named) != list(range(len(named))):
        raise DatasetError(
            f"{source / 'dataset.json'}: modality must number its names from 0, found {sorted(named)}"
        )
    return tuple(named[i] for i in sorted(named))


def _inside(source: Path, stated: Any, where: str) -> Path:
    """A file that is named below the folder; what is linked from there may lie elsewhere."""
    name = os.path.normpath(str(stated).replace("\\", "/"))
    if not isinstance(stated, str) or Path(name).is_absolute() or name.split("/")[0] == "..":
        raise DatasetError(f"{where}: {stated!r} lies outside the folder of the data set")
    return as_stored(source / name)


if __name__ == "__main__":
    sys.exit(main())
