"""The only writer of nnU-Net raw data.

    Dataset501_Heart/
      imagesTr/<case>_0000.nii.gz   one file per channel, canonical orientation
      labelsTr/<case>.nii.gz        label ids 0..K
      imagesTs/, labelsTs/          held-out cases, when there are any
      dataset.json                  written last: without it the data set is not finished
      nnunet_prompt_cases.json      patient, centre, source, sequence; never leaves the raw folder

nnU-Net's readers hand arrays over with the axes of the file reversed, so a canonical array (D, H, W) is stored as
(W, H, D) with the matching affine.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from nnunet_prompt.common.errors import DatasetError, OutputError
from nnunet_prompt.common.log import progress_bar
from nnunet_prompt.data.case import Case, file_of
from nnunet_prompt.data.raw_case import DESCRIPTION, FILE_ENDING, Place, WrittenCase, write_case
from nnunet_prompt.data.side_file import write_side_file
from nnunet_prompt.data.structures import BLOCK, StructureTable
from nnunet_prompt.io.atomic import make_folder, remove_partials
from nnunet_prompt.io.guard import lies_in
from nnunet_prompt.io.json_file import read_object, write_json
from nnunet_prompt.io.threads import in_order

_log = logging.getLogger(__name__)

RAW_VARIABLE = "nnUNet_raw"
LISTED = 5  # so many headers that contradict themselves are reported one by one
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")
_CASE = re.compile(r"[^./\\\s][^/\\]*")  # hidden files and paths are no cases


@dataclass(frozen=True, slots=True)
class RawTarget:
    """The data set to write: `Dataset<dataset_id>_<name>` in `root`, or in the folder that nnUNet_raw names.

    nnU-Net chooses the normalisation by the channel name: "CT" gets CT normalisation, any other a z-score.
    `ignore_label` adds nnU-Net's ignore label K + 1. `sources` are the folders that are converted: none of them may be
    the folder to write, nor lie in it.
    """

    dataset_id: int
    name: str
    root: Path | None = None
    channel_names: tuple[str, ...] = ("image",)
    reference: str = ""
    licence: str = ""
    ignore_label: bool = False
    sources: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.dataset_id <= 999:
            raise DatasetError(f"data set id {self.dataset_id}: expected a number from 1 to 999")
        if not _NAME.fullmatch(self.name):
            raise DatasetError(
                f"data set name {self.name!r}: expected letters, digits, '_', '-' and '.' only"
            )
        if not self.channel_names:
            raise DatasetError(f"data set {self.name}: expected at least one channel name")

    @property
    def folder(self) -> Path:
        """Where the data set goes. Raises `DatasetError` when there is no `root` and nnUNet_raw is not set."""
        root = raw_root() if self.root is None else self.root
        return root / f"Dataset{self.dataset_id:03d}_{self.name}"


@dataclass(slots=True)
class _Written:
    """Facts about the cases seen so far, for the two JSON files."""

    annotated: dict[str, frozenset[str]] = field(default_factory=dict)
    prompted: dict[str, frozenset[str]] = field(default_factory=dict)
    side: dict[str, dict[str, str]] = field(default_factory=dict)
    headers: dict[str, None] = field(default_factory=dict)  # notes on headers, each once
    training: int = 0


def raw_root() -> Path:
    """The folder named by the environment variable nnUNet_raw. Raises `DatasetError` when it is not set."""
    value = os.environ.get(RAW_VARIABLE, "")
    if not value:
        raise DatasetError(
            f"the environment variable {RAW_VARIABLE} is not set:"
            f" export {RAW_VARIABLE}=/folder/for/raw/data/sets and run again"
        )
    return Path(value)


def write_raw_dataset(
    cases: Iterable[Case],
    target: RawTarget,
    *,
    table: StructureTable,
    test_cases: Iterable[Case] = (),
    on_written: Callable[[str, int], None] | None = None,
    on_complete: Callable[[Path], None] = lambda folder: None,
) -> Path:
    """Writes a data set in canonical orientation, several cases at once (`workers`), and returns its folder.

    The orientation of `table` and what it states about cases are replaced by those of the data set and its cases.
    Cases whose files are all there, whole and of its shape, are kept, so a stopped run resumes; `on_written`
    hears of the others in their order, with the number of voxels that became 0 (without it, headers that contradict
    themselves are logged), and `on_complete` of the folder when all cases are in it. `dataset.json` is
    written last, and one that is there goes before the first case is added. The files do not depend on the number
    of workers. Raises `DatasetError` for an unset nnUNet_raw, an id that another data set has, no case, two cases
    of one name, a wrong number of channels, label ids outside 0..K (and the ignore label K + 1), an unknown
    structure, files that belong to none of the cases, or a finished data set of another description; raises
    `ImageError` for files that cannot be read or share no grid.
    """
    folder = target.folder
    for case in cases if isinstance(cases, Sequence) else ():  # before anything is read
        _keep_apart(folder, case)
    plain = replace(table, orientation="canonical", annotated={}, prompted={})
    _prepare(folder, target, _description(target, plain))
    written = _Written()
    for part, some in (("Tr", cases), ("Ts", test_cases)):
        place = Place(folder, part, len(table.structures) + target.ignore_label)
        checked = (_checked(case, place, target, table, written) for case in some)
        total = len(some) if isinstance(some, Sized) else None
        bar = progress_bar(f"{target.name} images{part}", total=total, hidden=total == 0)
        with bar, closing(in_order(partial(write_case, place), checked)) as done:
            for one in done:
                bar.update()
                written.headers.update(dict.fromkeys(one.notes))
                _tell(one)
                if on_written is not None and one.replaced is not None:
                    on_written(one.name, one.replaced)
    _tell_headers([] if on_written is not None else list(written.headers))
    if not written.training:
        raise DatasetError(f"{folder}: no training case was given, expected at least one")
    _check_strangers(folder, written)
    full = replace(plain, annotated=written.annotated, prompted=written.prompted)
    write_side_file(folder, written.side)
    on_complete(folder)
    description = _description(target, full)
    write_json(folder / DESCRIPTION, {**description, "numTraining": written.training})
    return folder


def _description(target: RawTarget, table: StructureTable) -> dict[str, Any]:
    labels = {"background": 0, **{s.name: s.label for s in table.structures}}
    if target.ignore_label:
        labels["ignore"] = len(table.structures) + 1
    about = {"name": target.name, "reference": target.reference, "licence": target.licence}
    return {
        **{key: value for key, value in about.items() if value},
        "channel_names": {str(i): name for i, name in enumerate(target.channel_names)},
        "labels": labels,
        "file_ending": FILE_ENDING,
        BLOCK: table.to_block(),
    }


def _prepare(folder: Path, target: RawTarget, description: Mapping[str, Any]) -> None:
    """Makes the folders, removes what a killed run left half-written, refuses what would be mixed up."""
    for source in target.sources:
        _keep_file_apart(folder, source)
    others = [p for p in folder.parent.glob(f"Dataset{target.dataset_id:03d}_*") if p != folder]
    if others:
        raise DatasetError(
            f"{others[0]}: the data set id {target.dataset_id} is taken: choose another id with -d"
        )
    done = folder / DESCRIPTION
    if done.is_file():
        found = read_object(done, DatasetError, way_out=": choose another id with -d")
        if isinstance(found.get(BLOCK), dict):
            found[BLOCK].pop("cases", None)
        wanted = json.loads(json.dumps(description))
        wanted[BLOCK].pop("cases")
        differ = [k for k in wanted if found.get(k) != wanted[k]]
        if differ:
            raise DatasetError(
                f"{done}: {differ[0]} is {found.get(differ[0])}, the new data set has {wanted[differ[0]]}:"
                " choose another id with -d, or move that folder away"
            )
    for part in ("imagesTr", "labelsTr"):
        make_folder(folder / part)
    remove_partials(folder)


def _checked(
    case: Case, place: Place, target: RawTarget, table: StructureTable, written: _Written
) -> Case:
    """The case, which is in order, after what the JSON files will state about it has been noted."""
    _keep_apart(place.folder, case)
    _check_case(case, target, table, written)
    if place.part == "Tr" and case.label is None:
        raise DatasetError(f"case {case.case_id}: it has no label map, a training case needs one")
    written.side[case.case_id] = case.side_information()
    if place.part == "Tr":
        written.training += 1
        if case.annotated is not None:
            written.annotated[case.case_id] = case.annotated
            if case.prompted not in (None, case.annotated):
                written.prompted[case.case_id] = case.prompted
    return case


def _check_case(case: Case, target: RawTarget, table: StructureTable, written: _Written) -> None:
    if not _CASE.fullmatch(case.case_id):
        raise DatasetError(f"case name {case.case_id!r}: expected a name that can be a file name")
    if case.case_id in written.side:
        raise DatasetError(f"case {case.case_id}: found twice, expected every case once")
    if len(case.images) != len(target.channel_names):
        raise DatasetError(
            f"case {case.case_id}: found {len(case.images)} images,"
            f" expected one for each of the channels {list(target.channel_names)}"
        )
    annotated = frozenset(table.names) if case.annotated is None else case.annotated
    prompted = annotated if case.prompted is None else case.prompted
    this = case.case_id  # what follows checks
    replace(table, annotated={this: annotated}, prompted={this: prompted}, weights={})


def _keep_apart(folder: Path, case: Case) -> None:
    for source in (*case.images, case.label):
        path = file_of(source)
        if path is not None:
            _keep_file_apart(folder, path)


def _keep_file_apart(folder: Path, source: Path) -> None:
    """Raises `OutputError` if an input is the data set that is written, or lies in it."""
    if lies_in(source, folder, itself=True):
        raise OutputError(
            f"{folder}: holds the input {source}, and inputs are never written to: choose another id with -d, another"
            f" --name, or another {RAW_VARIABLE}"
        )


def keep_out_of(sources: Iterable[Path]) -> None:
    """Raises `OutputError` if nnUNet_raw lies in one of the `sources`: the data set would be taken for part of it."""
    root = os.environ.get(RAW_VARIABLE, "")
    for source in sources if root else ():  # that it is not set is reported where it is needed
        if lies_in(Path(root), source, itself=True):
            raise OutputError(
                f"{RAW_VARIABLE}={root}: lies in the source {source}, which is never written to: set {RAW_VARIABLE} to"
                " another place"
            )


def _tell(case: WrittenCase) -> None:
    if case.replaced:
        _log.info("case %s: %d voxels were not finite and are 0 now", case.name, case.replaced)


def _tell_headers(notes: Sequence[str]) -> None:
    """Reports headers that contradict themselves: a few of them, and how many there are."""
    for note in notes[:LISTED]:
        _log.info("note: %s", note)
    if len(notes) > LISTED:
        _log.info("note: %d more headers are such", len(notes) - LISTED)


def _check_strangers(folder: Path, written: _Written) -> None:
    """nnU-Net takes every file in the folders for a case of the data set."""
    for path in sorted(folder.glob(f"*/*{FILE_ENDING}")):
        case = path.name.removesuffix(FILE_ENDING)
        case = case[:-5] if path.parent.name.startswith("images") else case
        if case not in written.side:
            raise DatasetError(
                f"{path}: belongs to none of the cases: remove it, or choose another id"
            )
