"""MyoPS++: short-axis stacks of the left ventricle in up to three sequences, C0 (cine), LGE and T2.

    2020       train25/myops_training_101_{C0,DE,T2}.nii.gz, train25_myops_gd/myops_training_101_gd.nii.gz
    2024       train_data_pp/Case1001/Case1001_{C0,LGE,T2,gd}.nii.gz
    2025/2026  Myo_train/MyoPS_train/CenterA/Case1001/Case1001_{C0,LGE,T2,gd}.nii.gz

Only the names of the files count; folder levels may differ. The label map (gd) has the grid of LGE. Every sequence
becomes a case of its own, `<case>_<sequence>`; what does not lie on the grid of the labels is resampled to it once.
With `--stack-sequences` the three become the channels of one case, zeros where one is missing.

The download holds an aligned and an unaligned copy; the tests of the challenge are aligned, so take that one. Of the
unaligned copy the affines are to be trusted (`--unaligned`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.data.care_labels import (
    Task,
    atoms_on_disk,
    audit_values,
    label_values,
    taught_by,
)
from nnunet_prompt.data.case import Case, ImageSource, LabelSource, values_in
from nnunet_prompt.data.grids import Agreement, Blank, OnGrid, agreement
from nnunet_prompt.io.nifti import Grid, read_grid, read_stored_labels
from nnunet_prompt.io.threads import in_order

from .converter import Converter
from .download import DEFAULTS, CareOptions, files_by_case
from .inspect import (
    Examined,
    Inspection,
    geometry,
    header_notes,
    unexpected_file,
)
from .label_map import label_notes
from .myops_annotation import Annotation, annotation_of
from .names import SHORT_AXIS_FILE

TASK: Task = "myops"
NAME = "MyoPS"
SEQUENCES = ("C0", "LGE", "T2")
THIN_MM = (
    2.0  # the thinnest documented slices have 5 mm; one case states 1 mm, which is a suspect header
)
_PARTS = {"DE": "LGE", "GD": "gd"}


@dataclass(frozen=True, slots=True)
class PatientFiles:
    """The files of one patient: `files` by sequence, and the label map under "gd"."""

    name: str
    files: Mapping[str, Path]
    source: Path
    options: CareOptions

    @property
    def sequences(self) -> tuple[str, ...]:
        return tuple(s for s in SEQUENCES if s in self.files)

    def relative(self, part: str) -> str:
        return self.files[part].relative_to(self.source).as_posix()


@dataclass(frozen=True, slots=True)
class Labels:
    """The label map of a patient, on the grid of LGE (`grid`), and what it holds; `agreement` is how they agreed."""

    label: LabelSource
    grid: Grid
    agreement: Agreement
    values: tuple[int, ...]
    ids: Mapping[int, int]
    annotation: Annotation
    notes: tuple[str, ...]
    problems: tuple[str, ...]


def examine(source: Path, options: CareOptions = DEFAULTS) -> Iterator[Examined]:
    """Examines every patient of the download, by name; a patient gives one entry per sequence, or one if stacked.

    Several are examined at once. Raises `DatasetError` for an empty download and for two copies of a file.
    """
    cases, odd = files_by_case(source, options, name=SHORT_AXIS_FILE, part=_part)
    for path in odd:
        yield unexpected_file(
            path, source, "expected a name that ends in _C0, _LGE, _DE, _T2 or _gd"
        )
    patients = (PatientFiles(case, files, source, options) for case, files in cases.items())
    for examined in in_order(_examine, patients):
        yield from examined


def _part(stated: str) -> str:
    """The one spelling of what a file holds, such as "LGE" for "DE"."""
    return _PARTS.get(stated.upper(), stated.upper())


def _examine(found: PatientFiles) -> list[Examined]:
    blank = Inspection(found.name, tuple(found.relative(p) for p in found.files))
    left_out, problem = _unusable(found)
    if left_out or problem:
        if "CINE" not in found.files:  # which is no volume
            blank = geometry(blank, next(iter(found.files.values())))
        problems = (*([problem] if problem else []), *blank.problems)
        return [Examined(replace(blank, left_out=left_out, problems=problems))]
    try:
        labels = _labels(found)
    except ImageError as error:
        return [Examined(replace(blank, problems=(str(error),)))]
    if found.options.stack_sequences:
        return [_stacked(found, labels)]
    return [_single(found, sequence, labels) for sequence in found.sequences]


def _unusable(found: PatientFiles) -> tuple[str, str]:
    """Why a patient is left out, and what is wrong with it, judged by its files alone; both may be ""."""
    if "CINE" in found.files:
        return "a case of CineMyoPS, which is another sub-task", ""
    if not found.sequences:
        return "", "a label map without images, expected LGE beside it"
    if "gd" not in found.files:
        return "no label map (a validation or test case)", ""
    if "LGE" not in found.files:
        return "", f"found {', '.join(found.sequences)} without LGE, on whose grid the labels lie"
    return "", ""


def _labels(found: PatientFiles) -> Labels:
    """Reads the label map. Raises `ImageError` when it or the header of LGE cannot be read."""
    gd, lge = found.files["gd"], found.files["LGE"]
    values = values_in(read_stored_labels(gd).array)
    grid, image_grid = read_grid(gd), read_grid(lge)
    how = agreement(image_grid, grid)
    audit = audit_values(TASK, values, unknown_to_background=found.options.unknown_to_background)
    annotation = annotation_of(found.name, found.relative("gd"), values, found.sequences)
    ids = label_values(TASK, atoms_on_disk(TASK, pathology_read=annotation.pathology_read))
    return Labels(
        gd if how == "same" else OnGrid(gd, lge, "values"),
        image_grid,
        how,
        values,
        ids | dict.fromkeys(audit.background, 0),
        annotation,
        (*audit.notes, *annotation.notes, *label_notes(grid, how, "LGE")),
        (*audit.problems, *annotation.problems),
    )


def _on_image(grid: Grid, sequence: str, how: Agreement, *, copied: bool) -> Iterator[str]:
    yield from header_notes(sequence, grid)
    slices = min(range(3), key=lambda axis: grid.shape[axis])
    if grid.shape[slices] == 1:
        yield "a stack of one slice"
    if grid.spacing_mm[slices] < THIN_MM:
        yield f"slices of {grid.spacing_mm[slices]:g} mm: a suspect header, kept as it is"
    if sequence != "LGE" and how == "affine differs" and copied:
        yield f"{sequence} takes the geometry of the labels (same shape, another affine)"
    elif sequence != "LGE" and how in ("affine differs", "shape differs"):
        yield f"{sequence}, shape {grid.shape}, is resampled to the grid of the labels"


def _image(
    found: PatientFiles, sequence: str, labels: Labels
) -> tuple[ImageSource | None, Inspection]:
    """One image on the grid of the labels (None if it cannot be), and what was found out about it."""
    path, unaligned = found.files[sequence], found.options.unaligned
    inspection = Inspection(
        f"{found.name}_{sequence}",
        (found.relative(sequence), found.relative("gd")),
        label_values=labels.values,
        annotated=tuple(sorted(labels.annotation.annotated)),
        centre=labels.annotation.centre or "",
        notes=labels.notes,
        problems=labels.problems,
    )
    try:
        grid = read_grid(path)
    except ImageError as error:
        return None, replace(inspection, problems=(*labels.problems, str(error)))
    how = labels.agreement if sequence == "LGE" else agreement(labels.grid, grid)
    notes = (*labels.notes, *_on_image(grid, sequence, how, copied=not unaligned))
    inspection = replace(inspection.with_grid(grid), agreement=how, notes=notes)
    if "disjoint" in (how, labels.agreement):
        reason = f"{path.name} and the label map do not overlap in space (their shapes differ, too)"
        return None, replace(inspection, left_out=reason)
    if sequence == "LGE":
        return path, inspection
    return OnGrid(path, labels.grid.path, by_affine=unaligned), inspection


def _single(found: PatientFiles, sequence: str, labels: Labels) -> Examined:
    image, inspection = _image(found, sequence, labels)
    if image is None or inspection.problems:
        return Examined(inspection)
    case = _case(found, labels, (image,), (sequence,))
    taught = tuple(sorted(case.annotated or ()))
    return Examined(replace(inspection, annotated=taught), replace(case, case_id=inspection.case))


def _stacked(found: PatientFiles, labels: Labels) -> Examined:
    parts = {s: _image(found, s, labels) for s in found.sequences}
    lge, inspection = parts["LGE"]
    here = tuple(s for s, (image, _) in parts.items() if image is not None)
    notes = [n for _, i in parts.values() for n in i.notes]
    notes += [f"{s} is left out: {i.left_out}" for s, (_, i) in parts.items() if i.left_out]
    notes += [f"{s} is missing and becomes zeros" for s in SEQUENCES if s not in here]
    inspection = replace(
        inspection,
        case=found.name,
        files=tuple(found.relative(p) for p in found.files),
        notes=tuple(dict.fromkeys(notes)),
        problems=tuple(dict.fromkeys(p for _, i in parts.values() for p in i.problems)),
    )
    if lge is None or inspection.problems:
        return Examined(inspection)
    images = tuple(
        image
        if (image := parts[s][0] if s in parts else None) is not None
        else Blank(labels.grid.path)
        for s in SEQUENCES
    )
    case = _case(found, labels, images, here)
    return Examined(replace(inspection, annotated=tuple(sorted(case.annotated or ()))), case)


def _case(
    found: PatientFiles, labels: Labels, images: tuple[ImageSource, ...], sequences: Sequence[str]
) -> Case:
    annotated = labels.annotation.annotated
    return Case(
        found.name,
        images,
        labels.label,
        annotated=taught_by(annotated, sequences),
        prompted=annotated,
        label_values=labels.ids,
        patient=found.name,
        centre=labels.annotation.centre,
        source=found.relative(sequences[0]),
        sequence="+".join(sequences),
        task=TASK,
        modality="MR",
    )


CONVERTER = Converter(
    TASK,
    NAME,
    "2020 to 2026",
    examine,
    channels=lambda options: SEQUENCES if options.stack_sequences else ("image",),
)
convert, main = CONVERTER.convert, CONVERTER.main

if __name__ == "__main__":
    sys.exit(main())
