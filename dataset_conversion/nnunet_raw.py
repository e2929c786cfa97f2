"""Data that already are nnU-Net raw: written again in canonical orientation, with the structures in `dataset.json`.

Dataset004_Hippocampus/
  dataset.json    channel_names, labels, file_ending; an `nnunet_prompt` block is kept
  imagesTr/       <case>_0000.nii.gz, <case>_0001.nii.gz, ...
  labelsTr/       <case>.nii.gz
Or `dataset.json` lists the files of its cases under `dataset`; then only these count, wherever they are.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.case import Case
from nnunet_prompt.data.conversion import (
    converter_parser,
    data_set_name,
    read_dataset_json,
    run_converter,
)
from nnunet_prompt.data.labels import foreground_labels, ignore_label
from nnunet_prompt.data.raw import RawTarget, keep_out_of, write_raw_dataset
from nnunet_prompt.data.structures import StructureTable, structures_from_dataset_json
from nnunet_prompt.io.names import entry_of
from nnunet_prompt.io.nifti_file import ENDINGS

from .nnunet_files import training_files


def convert(
    source: Path, dataset_id: int, *, name: str | None = None, patient_regex: str | None = None
) -> Path:
    """Writes the training cases in canonical orientation and returns the folder.

    Channel names are kept, because nnU-Net's normalisation depends on them, and so is an ignore label. Group 1 of
    `patient_regex`, searched in the name of a case, is its patient; all cases of a patient then fall on one side of
    a split. Raises `DatasetError` for regions and for a `dataset.json` that nnU-Net would not take, and everything
    that `write_raw_dataset` raises.
    """
    content = read_dataset_json(source)
    target = RawTarget(
        dataset_id,
        name or data_set_name(content.get("name"), source),
        channel_names=_channels(source, content),
        reference=str(content.get("reference", "")),
        licence=str(content.get("licence", content.get("license", ""))),
        ignore_label=_ignore_value(source, content) is not None,
        sources=(source,),
    )
    keep_out_of([source])
    cases = list(nnunet_cases(source, patient_regex=patient_regex))  # they hold names of files only
    return write_raw_dataset(cases, target, table=_structures(source, content))


def nnunet_cases(source: Path, *, patient_regex: str | None = None) -> Iterator[Case]:
    """The training cases, by name: those that `dataset.json` lists, else those of `imagesTr`; see `nnunet_files`.

    Hidden files and folders such as `__MACOSX` are skipped. Raises `DatasetError` for a missing channel or label map,
    for a label map without images, and for a name in which `patient_regex` finds nothing.
    """
    content = read_dataset_json(source)
    channels, ending = len(_channels(source, content)), _ending(source, content)
    table = _structures(source, content)
    ignore = _ignore_value(source, content)
    ids = {s.label: s.label for s in table.structures} | {0: 0}
    if ignore is not None:
        ids[ignore] = len(table.structures) + 1
    pattern = None if patient_regex is None else _pattern(patient_regex)
    found = training_files(source, content, channels=channels, ending=ending)
    for case, files in found.items():
        yield Case(
            case,
            files.images,
            files.label,
            annotated=entry_of(table.annotated, case),
            label_values=ids,
            patient=None if pattern is None else _patient(pattern, case),
            source=files.stated,
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = converter_parser("nnU-Net raw data to nnU-Net raw data in canonical orientation")
    parser.add_argument(
        "--patient-regex",
        metavar="REGEX",
        help="group 1 of it, in the name of a case, is the patient",
    )
    options = parser.parse_args(arguments)
    return run_converter(
        lambda: convert(
            options.source,
            options.dataset_id,
            name=options.name,
            patient_regex=options.patient_regex,
        )
    )


def _structures(source: Path, content: Mapping[str, Any]) -> StructureTable:
    """nnU-Net's rules for labels; only the background, which is 0 in any case, need not be stated."""
    stated = content.get("labels")
    background = stated.get("background", 0) if isinstance(stated, Mapping) else 0
    if background not in (0, "0", [0]):
        raise DatasetError(
            f"{source / 'dataset.json'}: labels.background must be 0, found {background!r}"
        )
    try:
        return structures_from_dataset_json(content)
    except DatasetError as error:
        raise DatasetError(f"{source}: {error}") from error


def _ignore_value(source: Path, content: Mapping[str, Any]) -> int | None:
    try:
        value, labels = ignore_label(content), foreground_labels(content)
    except DatasetError as error:
        raise DatasetError(f"{source}: {error}") from error
    if value is not None and not value > len(labels):
        raise DatasetError(
            f"{source / 'dataset.json'}: labels.ignore must be the highest number, found {value}"
        )
    return value


def _channels(source: Path, content: Mapping[str, Any]) -> tuple[str, ...]:
    named = content.get("channel_names")
    if named is None and "modality" in content:
        raise DatasetError(
            f"{source / 'dataset.json'}: names no channel_names but a modality, as nnU-Net v1 and the Medical"
            f" Segmentation Decathlon do: run `nnunet-prompt convert msd {source}` instead"
        )
    numbered = [str(i) for i in range(len(named))] if isinstance(named, Mapping) else []
    if not isinstance(named, Mapping) or not numbered or set(named) != set(numbered):
        raise DatasetError(
            f'{source / "dataset.json"}: channel_names must be {{"0": name, ...}}, found {named!r}'
        )
    return tuple(str(named[i]) for i in numbered)


def _ending(source: Path, content: Mapping[str, Any]) -> str:
    ending = content.get("file_ending")
    if not isinstance(ending, str) or ending.lower() not in ENDINGS:
        raise DatasetError(
            f"{source / 'dataset.json'}: file_ending is {ending!r}, only {' and '.join(ENDINGS)} can be read:"
            " convert the images to NIfTI, or train on the data set as it is"
        )
    return ending


def _pattern(regex: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(regex)
    except re.error as error:
        raise DatasetError(f"patient regex {regex!r}: {error}") from error
    if pattern.groups < 1:
        raise DatasetError(f"patient regex {regex!r}: needs a group, as in '(patient[0-9]+)_'")
    return pattern


def _patient(pattern: re.Pattern[str], case: str) -> str:
    found = pattern.search(case)
    if found is None or not found.group(1):
        raise DatasetError(
            f"case {case}: patient regex {pattern.pattern!r} finds no patient in this name"
        )
    return found.group(1)


if __name__ == "__main__":
    sys.exit(main())
