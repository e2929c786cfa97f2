"""LAScarQS: LGE of the left atrium, with its cavity and, in task 1 only, the scar on its wall.

    2022 to 2025  task1/train_data/train_1/{enhanced,atriumSegImgMO,scarSegImgM}.nii.gz, task1_val/val_1/...
                  task2/train_data/train_1/{enhanced,atriumSegImgMO}.nii.gz
    2026          LA scar quantification（MRI）/train_data/train_1/..., LA cavity segmentation（MRI）/...

Both tasks count from 1, so a case keeps its task: `LAt1_001`. Masks are whatever is above 0. Task 2 looks for no scar:
there it is unknown, not absent. The tasks share patients: the same image in both is found by its content and makes the
two cases one patient (other images of one patient cannot be found). The CT task of 2026 is `atriumct`.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.data.care_labels import Task
from nnunet_prompt.data.case import Case
from nnunet_prompt.data.grids import Agreement, agreement
from nnunet_prompt.io.nifti import Grid, read_grid, read_stored
from nnunet_prompt.io.threads import in_order

from . import atrium
from .converter import Converter
from .download import (
    DEFAULTS,
    CareOptions,
    nifti_files,
    one_each,
    stem,
)
from .duplicates import Patients, thumbnail
from .inspect import (
    Examined,
    Inspection,
    header_notes,
)
from .names import (
    ATRIUM_CASE,
    ATRIUM_CT,
    ATRIUM_TASKS,
    plain_name,
)

TASK: Task = "lascarqs"
NAME = "LAScarQS"
CENTRE = "A"  # Utah: all training cases of all years, by the pages of the challenge
IMAGE, CAVITY, SCAR, CT_LABELS = "enhanced", "atriumSegImgMO", "scarSegImgM", "cardiacSegImgMO"
ANNOTATED = {1: frozenset({"la", "la_scar", "la_scar_outside"}), 2: frozenset({"la"})}
_STEMS = {name.lower(): name for name in (IMAGE, CAVITY, SCAR, CT_LABELS)}
_FROM_BEST: tuple[Agreement, ...] = ("same", "affine differs", "shape differs", "disjoint")
Thumbnail = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class CaseFiles:
    """The files of one case by what they hold, with the task and the part ("train", "val", "test") of its folder."""

    task: int
    part: str
    number: int
    files: Mapping[str, Path]
    source: Path

    @property
    def name(self) -> str:
        part = "" if self.part == "train" else f"{self.part}_"
        return f"LAt{self.task}_{part}{self.number:03d}"

    @property
    def masks(self) -> tuple[str, ...]:
        return tuple(m for m in (CAVITY, SCAR) if m in self.files)

    @property
    def blank(self) -> Inspection:
        files = (path.relative_to(self.source).as_posix() for path in self.files.values())
        return Inspection(self.name, tuple(files), centre=CENTRE if self.part == "train" else "")


def examine(source: Path, options: CareOptions = DEFAULTS) -> Iterator[Examined]:
    """Examines every case of the download, by task and number, several at a time.

    Raises `DatasetError` for an empty download and for two copies of a case or a file.
    """
    named = (
        ((p.parent, _STEMS.get(stem(p).lower(), stem(p))), p) for p in nifti_files(source, options)
    )
    folders: dict[Path, dict[str, Path]] = defaultdict(dict)
    for (folder, part), path in one_each(named, source).items():
        folders[folder][part] = path
    cases: list[CaseFiles] = []
    for folder, files in folders.items():
        found = _identify(folder, files, source)
        if isinstance(found, CaseFiles):
            cases.append(found)
        else:
            yield Examined(found)
    one_each(((c.name, next(iter(c.files.values())).parent) for c in cases), source)
    patients = Patients()
    cases.sort(key=lambda c: (c.part != "train", c.task, c.part, c.number))
    for examined, seen in in_order(partial(_examine, options=options), cases):
        yield examined if seen is None else _with_patient(examined, seen, patients)


def _identify(folder: Path, files: Mapping[str, Path], source: Path) -> CaseFiles | Inspection:
    """The case that a folder holds, or the record of why it holds none."""
    relative = folder.relative_to(source)
    plain = Inspection(
        relative.as_posix(), tuple(p.relative_to(source).as_posix() for p in files.values())
    )
    if CT_LABELS in files or any(ATRIUM_CT.search(plain_name(part)) for part in relative.parts):
        return replace(plain, left_out="a case of the CT task, which `convert atriumct` reads")
    unknown = sorted(set(files) - set(_STEMS.values()))
    if unknown:
        problem = f"found the file {files[unknown[0]].name!r}, expected {IMAGE}, {CAVITY} or {SCAR}"
        return replace(plain, problems=(problem,))
    name = ATRIUM_CASE.fullmatch(plain_name(folder.name))
    if name is None:
        problem = f"found the folder {folder.name!r}, expected train_<number>"
        return replace(plain, problems=(problem,))
    above = [plain_name(part) for part in reversed(folder.resolve().parts)]
    told = (task for part in above for task, form in ATRIUM_TASKS.items() if form.search(part))
    task = next(told, None)
    if task is None:
        problem = "no folder name states the task: put it into a folder named task1 or task2"
        return replace(plain, problems=(problem,))
    return CaseFiles(task, name["part"] or "train", int(name["number"]), files, source)


def _unusable(found: CaseFiles) -> tuple[str, str]:
    """Why a case is left out, and what is wrong with it, judged by its files alone; both may be ""."""
    if IMAGE not in found.files:
        return "", f"found {' and '.join(found.masks)} without {IMAGE}"
    if not found.masks and found.part != "train":
        return "no label map (a validation or test case)", ""
    if CAVITY not in found.files:
        return "", f"no {CAVITY}, which every training case has"
    if found.task == 1 and SCAR not in found.files:
        return "", f"no {SCAR}, which every labelled case of task 1 has"
    if found.task == 2 and SCAR in found.files:
        return "", f"found {SCAR}, which no case of task 2 has: is this task 1?"
    return "", ""


def _examine(found: CaseFiles, options: CareOptions) -> tuple[Examined, Thumbnail | None]:
    """One case, and what its image looks like when it is to be written."""
    left_out, problem = _unusable(found)
    inspection = found.blank
    try:
        if IMAGE in found.files:
            inspection = inspection.with_grid(read_grid(found.files[IMAGE]))
        if left_out or problem:
            problems = (problem,) if problem else ()
            return Examined(replace(inspection, left_out=left_out, problems=problems)), None
        inspection = _labelled(found, inspection, options)
        if inspection.left_out or inspection.problems:
            return Examined(inspection), None
        seen = thumbnail(read_stored(found.files[IMAGE]))
    except ImageError as error:
        return Examined(replace(inspection, problems=(str(error),))), None
    return Examined(inspection, _case(found, options)), seen


def _labelled(found: CaseFiles, blank: Inspection, options: CareOptions) -> Inspection:
    """The record of a case with image and masks. Raises `ImageError` for what cannot be read."""
    image = read_grid(found.files[IMAGE])
    off = atrium.spacing_is_off(image)
    notes = header_notes(IMAGE, image)
    notes += [atrium.spacing_note(image, mend=options.fix_spacing)] if off else []
    reasons: list[str] = []
    audits: list[atrium.MaskAudit] = []
    fits: list[Agreement] = []
    for mask in found.masks:
        grid = read_grid(found.files[mask])
        how = agreement(image, grid)
        told = _fit(mask, grid, how, off=off)
        gone = how == "disjoint" or (how == "shape differs" and off)
        (reasons if gone else notes).extend(told)
        notes += header_notes(mask, grid)
        fits.append(how)
        audits.append(
            atrium.audit_mask(
                found.files[mask],
                mask,
                must_hold=mask == CAVITY,
                unknown_to_background=options.unknown_to_background,
            )
        )
    return replace(
        blank,
        label_values=tuple(sorted({0}.union(*(a.values for a in audits)))),
        agreement=max(fits, key=_FROM_BEST.index),
        annotated=tuple(sorted(ANNOTATED[found.task])),
        notes=(*notes, *(n for a in audits for n in a.notes)),
        left_out="; ".join(reasons),
        problems=tuple(p for a in audits for p in a.problems),
    )


def _fit(mask: str, grid: Grid, how: Agreement, *, off: bool) -> Iterator[str]:
    """Decides about a mask on another grid than its image, whose spacing may be off."""
    if how == "affine differs":
        yield f"{mask} takes the geometry of the image (same shape, another affine)"
    elif how == "disjoint":
        yield f"{mask} and the image do not overlap in space (their shapes differ, too)"
    elif how == "shape differs" and off:
        yield f"{mask} has another shape, {grid.shape}, and the image's spacing, needed to place it, is wrong"
    elif how == "shape differs":
        yield f"{mask}, shape {grid.shape}, is resampled to the image by nearest neighbour"


def _case(found: CaseFiles, options: CareOptions) -> Case:
    image = found.files[IMAGE]
    grid = read_grid(image)
    mend = options.fix_spacing and atrium.spacing_is_off(grid)
    mended = atrium.documented_spacing(grid.shape) if mend else None
    labels = atrium.AtriumLabels(image, found.files[CAVITY], found.files.get(SCAR), mended)
    return Case(
        found.name,
        (image if mended is None else atrium.MendedImage(image, mended),),
        labels,
        annotated=ANNOTATED[found.task],
        patient=found.name,
        centre=found.blank.centre or None,
        source=image.relative_to(found.source).as_posix(),
        sequence="LGE",
        task=TASK,
        modality="MR",
    )


def _with_patient(examined: Examined, seen: Thumbnail, patients: Patients) -> Examined:
    """The case with its patient, which is that of an earlier case with the same image."""
    inspection, case = examined.inspection, examined.case
    assert case is not None
    patient = patients.patient_of(case.case_id, seen)
    if patient == case.case_id:
        return examined
    notes = (*inspection.notes, f"the same image as {patient}: the two are one patient")
    return Examined(replace(inspection, notes=notes), replace(case, patient=patient))


CONVERTER = Converter(TASK, NAME, "2022 to 2026", examine)
convert, main = CONVERTER.convert, CONVERTER.main

if __name__ == "__main__":
    sys.exit(main())
