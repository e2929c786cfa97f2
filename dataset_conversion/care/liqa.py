"""LiQA (CARE-Liver): the liver in up to seven MR phases, of which only the hepatobiliary one, GED4, has labels.

    training    LiQA_training_data/Vendor_A/1009-A-S4/{T1,T2,DWI_800,GED1..GED4,mask_GED4}.nii.gz
    validation  LiQA_val/Data/Vendor_A/1009-A/..., LiQA_val/info.csv; no masks

A number may occur at two vendors, so the case keeps its vendor: `LiQA_A_1009`. S1 to S4 is the stage of the fibrosis
and no part of the name. The other phases have no labels and are not registered with GED4: they are neither stacked nor
written. Which axis runs through the slices is for the affine to state, not for the sizes.
"""

from __future__ import annotations

import logging
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.data.care_labels import Task, atoms_on_disk, audit_values, label_values
from nnunet_prompt.data.case import Case, LabelSource, values_in
from nnunet_prompt.data.grids import Agreement, OnGrid, agreement
from nnunet_prompt.io.nifti import Grid, read_grid, read_stored_labels
from nnunet_prompt.io.threads import in_order

from .converter import Converter
from .download import (
    DEFAULTS,
    CareOptions,
    nifti_files,
    one_each,
    stem,
)
from .inspect import (
    Examined,
    Inspection,
    geometry,
    header_notes,
    unexpected_file,
)

_log = logging.getLogger(__name__)

TASK: Task = "liqa"
NAME = "LiQA"
ANNOTATED_PHASE = "GED4"
MASK = "mask_GED4"
VENDORS = ("A", "B1", "B2", "C")
# the training cases that are known to have a mask, by vendor
KNOWN_MASKS: Mapping[str, frozenset[str]] = {
    "A": frozenset("1009 1053 1406 1432 1920 1927 1967 1971 1991 1998".split()),
    "B1": frozenset("0241 0482 0487 0496 1002 1012 1029 1144 1158 1194".split()),
    "B2": frozenset("1031 1041 1053 1070 1075 1076 1086 1097 1098 1115".split()),
}
_PHASES = {
    name.lower(): name for name in ("T1", "T2", "DWI_800", "GED1", "GED2", "GED3", "GED4", MASK)
} | {"t2wi": "T2"}
_FOLDER = re.compile(r"(?P<number>\d+)(?:-(?P<vendor>(?!S\d)\w+))?(?:-S\d)?", re.IGNORECASE)
_VENDOR = re.compile(r"vendor[ _-]*(?P<vendor>A|B1|B2|C)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Patient:
    """Who a folder belongs to."""

    number: str
    vendor: str
    suffix: str = ""  # what stands in place of the vendor in the name of the folder

    @property
    def name(self) -> str:
        return "_".join(p for p in ("LiQA", self.vendor, self.number, self.suffix) if p)

    @property
    def known_mask(self) -> bool:
        return self.number in KNOWN_MASKS.get(self.vendor, ())


@dataclass(frozen=True, slots=True)
class PhaseFiles:
    """The files of one patient by phase, the mask among them."""

    patient: Patient
    files: Mapping[str, Path]
    source: Path

    def relative(self, phase: str) -> str:
        return self.files[phase].relative_to(self.source).as_posix()

    @property
    def blank(self) -> Inspection:
        files = tuple(self.relative(phase) for phase in self.files)
        return Inspection(self.patient.name, files, centre=self.patient.vendor)


def examine(source: Path, options: CareOptions = DEFAULTS) -> Iterator[Examined]:
    """Examines every patient of the download, by vendor and number, several at once.

    Logs which of the cases that are known to be annotated are not there. Raises `DatasetError` for an empty
    download and for two copies of a file.
    """
    named: list[tuple[tuple[Patient, str], Path]] = []
    for path in nifti_files(source, options):
        phase = _PHASES.get(re.sub(r"[\s-]", "_", stem(path)).lower())
        patient = _patient(path.parent)
        if phase is not None and isinstance(patient, Patient):
            named.append(((patient, phase), path))
            continue
        problem = patient if isinstance(patient, str) else _unknown_file(path)
        yield unexpected_file(path, source, problem)
    files = one_each(named, source)
    by_patient: dict[Patient, dict[str, Path]] = defaultdict(dict)
    for (patient, phase), path in files.items():
        by_patient[patient][phase] = path
    everyone = sorted(by_patient, key=lambda p: p.name)
    found = (PhaseFiles(patient, by_patient[patient], source) for patient in everyone)
    yield from in_order(partial(_examine, options=options), found)
    _warn_of_missing({patient for patient, phase in files if phase == MASK}, source)


def _patient(folder: Path) -> Patient | str:
    """Who a folder such as `Vendor_B1/0241-B1-S2` belongs to, or what is wrong with its name."""
    found = _FOLDER.fullmatch(folder.name)
    if found is None:
        return f"found the folder {folder.name!r}, expected <number>-<vendor>-S<stage>"
    above = (_VENDOR.fullmatch(part) for part in reversed(folder.resolve().parent.parts))
    told = next((v["vendor"].upper() for v in above if v), None)
    suffix = (found["vendor"] or "").upper()
    if suffix not in VENDORS:
        if told is None:
            return f"found the folder {folder.name!r}, expected a vendor in it or a folder Vendor_<vendor> around it"
        return Patient(found["number"], told, suffix)
    if told not in (None, suffix):
        return f"found vendor {suffix} in the folder {folder.name!r} in a folder of vendor {told}"
    return Patient(found["number"], suffix)


def _unknown_file(path: Path) -> str:
    return f"found the file {path.name!r}, expected one of {', '.join(dict.fromkeys(_PHASES.values()))}"


def _warn_of_missing(annotated: set[Patient], source: Path) -> None:
    here = {(p.vendor, p.number) for p in annotated}
    known = [(v, n) for v, numbers in KNOWN_MASKS.items() for n in sorted(numbers)]
    missing = [f"{n}-{v}" for v, n in known if (v, n) not in here]
    if here and missing:
        _log.warning(
            f"{source}: of {len(known)} cases known to be annotated {len(missing)} have no {MASK} here:"
            f" {', '.join(missing)}: check that the download is complete"
        )


def _examine(found: PhaseFiles, options: CareOptions) -> Examined:
    blank = found.blank
    if ANNOTATED_PHASE not in found.files:
        problem = f"found {', '.join(found.files)} without {ANNOTATED_PHASE}, which every case has"
        return Examined(replace(blank, problems=(problem,)))
    blank = geometry(blank, found.files[ANNOTATED_PHASE])
    if MASK not in found.files:
        reason = f"no {MASK} (only some training cases have one)"
        if found.patient.known_mask:
            reason = f"no {MASK}, although this case is known to have one"
        return Examined(replace(blank, left_out=reason))
    if blank.problems:
        return Examined(blank)
    try:
        return _labelled(found, blank, options)
    except ImageError as error:
        return Examined(replace(blank, problems=(str(error),)))


def _labelled(found: PhaseFiles, blank: Inspection, options: CareOptions) -> Examined:
    """Examines a case with image and mask. Raises `ImageError` when the mask cannot be read."""
    image, mask = found.files[ANNOTATED_PHASE], found.files[MASK]
    image_grid, grid = read_grid(image), read_grid(mask)
    values = values_in(read_stored_labels(mask).array)
    how = agreement(image_grid, grid)
    audit = audit_values(TASK, values, unknown_to_background=options.unknown_to_background)
    empty = () if 1 in values else (f"{MASK} holds no liver",)
    apart = f"{image.name} and {mask.name} do not overlap in space (their shapes differ, too)"
    inspection = replace(
        blank,
        label_values=values,
        agreement=how,
        annotated=("liver",),
        notes=(*_notes(found, image_grid), *_label_notes(grid, how), *audit.notes),
        left_out=apart if how == "disjoint" else "",
        problems=(*audit.problems, *empty),
    )
    if inspection.left_out or inspection.problems:
        return Examined(inspection)
    ids = label_values(TASK, atoms_on_disk(TASK)) | dict.fromkeys(audit.background, 0)
    label = mask if how == "same" else OnGrid(mask, image, "values")
    return Examined(inspection, _case(found, label, ids))


def _notes(found: PhaseFiles, grid: Grid) -> Iterator[str]:
    if not found.patient.known_mask:
        yield "annotated, but not among the cases known to be"
    yield from header_notes(ANNOTATED_PHASE, grid)
    if len(grid.file_shape) > 3:
        yield f"{ANNOTATED_PHASE} has shape {grid.file_shape}: the axes of length one are dropped"
    others = [phase for phase in found.files if phase not in (ANNOTATED_PHASE, MASK)]
    if others:
        yield f"not written, because unlabelled and not registered: {', '.join(sorted(others))}"


def _label_notes(grid: Grid, how: Agreement) -> Iterator[str]:
    yield from header_notes(MASK, grid)
    if grid.dtype.startswith("float"):
        yield f"{MASK} has type {grid.dtype} and is rounded"
    if how == "affine differs":
        yield f"{MASK} takes the geometry of {ANNOTATED_PHASE} (same shape, another affine)"
    if how == "shape differs":
        yield f"{MASK}, shape {grid.shape}, is resampled to {ANNOTATED_PHASE} by nearest neighbour"


def _case(found: PhaseFiles, label: LabelSource, ids: Mapping[int, int]) -> Case:
    patient = found.patient
    return Case(
        patient.name,
        (found.files[ANNOTATED_PHASE],),
        label,
        annotated=frozenset({"liver"}),
        label_values=ids,
        patient=patient.name,
        centre=patient.vendor,
        source=found.relative(ANNOTATED_PHASE),
        sequence=ANNOTATED_PHASE,
        task=TASK,
        vendor=patient.vendor,
        modality="MR",
    )


CONVERTER = Converter(TASK, NAME, "2024 to 2026", examine)
convert, main = CONVERTER.convert, CONVERTER.main

if __name__ == "__main__":
    sys.exit(main())
