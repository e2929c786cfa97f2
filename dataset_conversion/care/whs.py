"""WHS++: whole hearts in CT and MR, one volume per case, seven structures.

    2017       ct_train/ct_train_1001_{image,label}.nii.gz, mr_train/mr_train_1001_{image,label}.nii.gz (MM-WHS)
    2024/2025  Case1001_{image,label}.nii.gz
    2026       "A ct_train/Case1001_{image,label}.nii.gz", "C and D mr_train/Case3001_...", ct_val/CaseCTVal001_image

Only the names of the files count. The modality is that of the folder (ct or mr), else of the case number; the centre
is that of the folder (`A ct_train`), else of the number. Volumes without a label map are left out.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.data.care_labels import Task
from nnunet_prompt.data.case import Case, LabelSource
from nnunet_prompt.data.grids import OnGrid
from nnunet_prompt.io.nifti import read_grid
from nnunet_prompt.io.threads import in_order

from .converter import Converter
from .download import DEFAULTS, CareOptions, files_by_case
from .inspect import (
    Examined,
    Inspection,
    unexpected_file,
)
from .label_map import with_labels
from .names import HEART_FILE

TASK: Task = "whs"
NAME = "WHS"
CENTRE_OF_NUMBER = {"1": "A", "2": "B", "3": "C and D", "5": "E", "6": "F"}
MODALITY_OF_NUMBER = {"1": "CT", "2": "CT", "3": "MR", "5": "MR", "6": "MR"}
DAMAGED = {"Case3002", "mr_train_1002"}  # one reader cuts ten voxels off each border of it
_FOLDER = re.compile(r"(?:(?P<centre>[A-H](?: and [A-H])*) )?(?P<modality>ct|mr)_train", re.I)
_MODALITY = re.compile(r"(?:.*[ _])?(ct|mr)(?:[ _].*)?", re.IGNORECASE)
_CARE = re.compile(r"Case(\d)\d{3}", re.IGNORECASE)


def examine(source: Path, options: CareOptions = DEFAULTS) -> Iterator[Examined]:
    """Examines every volume of the download, by name, several at once.

    Raises `DatasetError` for an empty download and for two copies of a file.
    """
    cases, odd = files_by_case(source, options, name=HEART_FILE, part=str.lower)
    for path in odd:
        yield unexpected_file(path, source, "expected a name that ends in _image or _label")
    yield from in_order(lambda found: _examine(*found, source, options), cases.items())


def centre_and_modality(case: str, folders: Sequence[str]) -> tuple[str | None, str | None, str]:
    """Centre and modality (CT or MR) of a case from its folders and its name, and a problem or "".

    Names of validation and test cases are anonymous and state no centre.
    """
    number = _CARE.fullmatch(case)
    centre = CENTRE_OF_NUMBER.get(number[1]) if number else None
    by_number = MODALITY_OF_NUMBER.get(number[1]) if number else None
    by_folder = None
    for text in (*folders, re.sub(r"_\d+$", "", case)):
        training, word = _FOLDER.fullmatch(text.strip()), _MODALITY.fullmatch(text.strip())
        if training and training["centre"]:
            centre = training["centre"]
        by_folder = word[1].upper() if word else by_folder
    if by_folder and by_number and by_folder != by_number:
        return (
            centre,
            by_folder,
            f"the folder states {by_folder}, the number of the case {by_number}",
        )
    return centre, by_folder or by_number, ""


def _examine(case: str, parts: Mapping[str, Path], source: Path, options: CareOptions) -> Examined:
    files = {part: path.relative_to(source) for part, path in sorted(parts.items())}
    inspection = Inspection(case, tuple(f.as_posix() for f in files.values()))
    if "image" not in parts:
        return Examined(replace(inspection, problems=("a label map without an image",)))
    centre, modality, problem = centre_and_modality(case, files["image"].parts[:-1])
    inspection = replace(inspection, centre=centre or "", problems=(problem,) if problem else ())
    try:
        grid = read_grid(parts["image"])
        inspection = inspection.with_grid(grid)
        if "label" not in parts:
            return Examined(
                replace(inspection, left_out="no label map (a validation or test case)")
            )
        inspection, ids = with_labels(inspection, grid, parts["label"], TASK, options)
        if case in DAMAGED:
            note = "its border may be damaged, as in MM-WHS: look at it"
            inspection = replace(inspection, notes=(*inspection.notes, note))
    except ImageError as error:
        return Examined(replace(inspection, problems=(*inspection.problems, str(error))))
    if inspection.problems or inspection.left_out:
        return Examined(inspection)
    label: LabelSource = parts["label"]
    if inspection.agreement != "same":
        label = OnGrid(parts["label"], parts["image"], "values")
    annotated = frozenset(inspection.annotated)
    written = Case(
        case,
        (parts["image"],),
        label,
        annotated=annotated,
        label_values=ids,
        patient=case,
        centre=centre,
        source=inspection.files[0],
        sequence=modality,
        task=TASK,
        modality=modality,
    )
    return Examined(inspection, written)


CONVERTER = Converter(TASK, NAME, "2017 to 2026", examine)
convert, main = CONVERTER.convert, CONVERTER.main

if __name__ == "__main__":
    sys.exit(main())
