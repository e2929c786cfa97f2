"""The left atrium in CT, third task of CARE 2026: the atrium, its pulmonary veins and its appendage.

    the page       .../train_1/{enhanced,cardiacSegImgMO}.nii.gz
    the download   cardiac anatomy segmentation（CT）/train_data/train_1/{0001,label_0001}.nii.gz, val_data/val_1/...

Values are 1 (atrium), 2 (veins), 3 (appendage). Of the 150 training cases, all of centre D, about 100 have no label
map; they are left out, as are the 20 of the validation set. The folders of the two MR tasks in the same download are
those of `lascarqs`.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.data.care_labels import Task
from nnunet_prompt.data.case import Case, LabelSource
from nnunet_prompt.data.grids import OnGrid
from nnunet_prompt.io.nifti import read_grid
from nnunet_prompt.io.threads import in_order

from .converter import Converter
from .download import DEFAULTS, CareOptions, nifti_files, one_each, stem
from .inspect import Examined, Inspection
from .label_map import with_labels
from .names import ATRIUM_CASE, ATRIUM_CT, plain_name

TASK: Task = "atriumct"
NAME = "AtriumCT"
CENTRE = "D"  # Fuzhou: all cases of the task
IMAGE, LABEL = "image", "label"
_LABEL = re.compile(r"cardiacSegImgMO|label[_ ]?(?P<number>\d+)", re.IGNORECASE)
_IMAGE = re.compile(r"enhanced|(?P<number>\d+)", re.IGNORECASE)
_MR = re.compile(r"atriumSegImgMO|scarSegImgM", re.IGNORECASE)
OTHER_TASK = "a case of the MR tasks, which `convert lascarqs` reads"
UNLABELLED = "no label map (about 100 of the 150 training cases have none)"


@dataclass(frozen=True, slots=True)
class CaseFiles:
    """The image and the label map of a case, those that exist, and the part ("train", "val", "test") of its folder."""

    part: str
    number: int
    files: Mapping[str, Path]
    source: Path

    @property
    def name(self) -> str:
        part = "" if self.part == "train" else f"{self.part}_"
        return f"LAct_{part}{self.number:03d}"

    @property
    def blank(self) -> Inspection:
        files = (path.relative_to(self.source).as_posix() for path in self.files.values())
        return Inspection(self.name, tuple(files), centre=CENTRE)


def examine(source: Path, options: CareOptions = DEFAULTS) -> Iterator[Examined]:
    """Examines every case of the download, by part and number, several at a time.

    Raises `DatasetError` for an empty download and for two copies of a case or a file.
    """
    folders: dict[Path, list[Path]] = defaultdict(list)
    for path in nifti_files(source, options):
        folders[path.parent].append(path)
    cases: list[CaseFiles] = []
    for folder, paths in folders.items():
        found = _identify(folder, paths, source)
        if isinstance(found, CaseFiles):
            cases.append(found)
        else:
            yield Examined(found)
    one_each(((c.name, next(iter(c.files.values())).parent) for c in cases), source)
    cases.sort(key=lambda c: (c.part != "train", c.part, c.number))
    yield from in_order(partial(_examine, options=options), cases)


def _identify(folder: Path, paths: list[Path], source: Path) -> CaseFiles | Inspection:
    """The case that a folder holds, or the record of why it holds none."""
    relative = folder.relative_to(source)
    plain = Inspection(
        relative.as_posix(), tuple(path.relative_to(source).as_posix() for path in paths)
    )
    of_ct = any(ATRIUM_CT.search(plain_name(part)) for part in folder.resolve().parts)
    named = any(_names_ct(stem(path)) for path in paths)
    if any(_MR.fullmatch(stem(path)) for path in paths) or not (of_ct or named):
        return replace(plain, left_out=OTHER_TASK)
    case = ATRIUM_CASE.fullmatch(plain_name(folder.name))
    if case is None:
        problem = f"found the folder {folder.name!r}, expected train_<number>"
        return replace(plain, problems=(problem,))
    parts = [(_part(path), path) for path in paths]
    odd = next((path for part, path in parts if part is None), None)
    if odd is not None:
        problem = f"found the file {odd.name!r}, expected enhanced and cardiacSegImgMO, or 0001 and label_0001"
        return replace(plain, problems=(problem,))
    files = one_each(((part, path) for part, path in parts if part is not None), source)
    numbers = {n for path in paths if (n := _number(path)) is not None}
    if numbers - {int(case["number"])}:
        problem = f"found files of the numbers {sorted(numbers)} in the folder {folder.name!r}"
        return replace(plain, problems=(problem,))
    return CaseFiles(
        case["part"] or "train", int(case["number"]), dict(sorted(files.items())), source
    )


def _examine(found: CaseFiles, options: CareOptions) -> Examined:
    inspection = found.blank
    if IMAGE not in found.files:
        return Examined(replace(inspection, problems=("a label map without an image",)))
    image = found.files[IMAGE]
    try:
        grid = read_grid(image)
        inspection = inspection.with_grid(grid)
        if LABEL not in found.files:
            why = (
                UNLABELLED if found.part == "train" else "no label map (a validation or test case)"
            )
            return Examined(replace(inspection, left_out=why))
        inspection, ids = with_labels(inspection, grid, found.files[LABEL], TASK, options)
    except ImageError as error:
        return Examined(replace(inspection, problems=(*inspection.problems, str(error))))
    if inspection.problems or inspection.left_out:
        return Examined(inspection)
    label: LabelSource = found.files[LABEL]
    if inspection.agreement != "same":
        label = OnGrid(found.files[LABEL], image, "values")
    case = Case(
        found.name,
        (image,),
        label,
        annotated=frozenset(inspection.annotated),
        label_values=ids,
        patient=found.name,
        centre=CENTRE,
        source=inspection.files[0],
        sequence="CT",
        task=TASK,
        modality="CT",
    )
    return Examined(inspection, case)


def _part(path: Path) -> str | None:
    """Whether a file is the image or the label map of its folder; None for neither."""
    if _LABEL.fullmatch(stem(path)):
        return LABEL
    return IMAGE if _IMAGE.fullmatch(stem(path)) else None


def _number(path: Path) -> int | None:
    """The number in the name of a file."""
    for pattern in (_LABEL, _IMAGE):
        found = pattern.fullmatch(stem(path))
        if found and found["number"]:
            return int(found["number"])
    return None


def _names_ct(name: str) -> bool:
    """Whether a file name occurs in this task alone: any but `enhanced`."""
    return bool(_LABEL.fullmatch(name)) or name.isdecimal()


CONVERTER = Converter(TASK, NAME, "2026", examine)
convert, main = CONVERTER.convert, CONVERTER.main

if __name__ == "__main__":
    sys.exit(main())
