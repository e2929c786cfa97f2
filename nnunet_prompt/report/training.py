"""The report of a training: a fold, or a model folder with all its folds."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nnunet_prompt.common.arguments import as_path
from nnunet_prompt.common.errors import ModelError, NNUNetPromptError
from nnunet_prompt.common.log import progress
from nnunet_prompt.evaluation.pairs import files_by_case
from nnunet_prompt.evaluation.processes import run_all
from nnunet_prompt.io.guard import check_output_file
from nnunet_prompt.report.as_seen import Seen, Source, prompts_as_seen
from nnunet_prompt.report.log_file import NAMES, TrainingLog, read_logs
from nnunet_prompt.report.masks import Written, images_of, processes_for
from nnunet_prompt.report.options import ReportOptions
from nnunet_prompt.report.page import check_page, write_page
from nnunet_prompt.report.pictures import CasePictures, PictureJob, job_died, run_job
from nnunet_prompt.report.training_page import Training, training_page
from nnunet_prompt.report.validation import NONE, SUMMARY, Validation, read_validation
from nnunet_prompt.training.validation_prompts import folder_name

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the parts of a training are; None for what is not found."""

    model: Path
    folds: tuple[Path, ...]
    preprocessed: Path | None
    images: Path | None


def write_training_report(
    folder: Path | str, output: Path | str, *, options: ReportOptions | None = None
) -> Written:
    """Writes one HTML file about a training: curves, validation by kind of prompt, cases, prompts as they were seen.

    `folder` is a fold, or the model folder above it. Of `options` count `images`, `num_processes` and `command`.
    References and images are looked for in the preprocessed data set that the log names, and in nnU-Net's folders;
    without them the page has no pictures, and states it. Raises `NNUNetPromptError` for a folder that is no training.
    """
    options = options or ReportOptions()
    folder, output = as_path("folder", folder), as_path("output", output)
    model, folds = _model_and_folds(folder)
    check_page(output)
    check_output_file(output, [folder, model, *folds])
    logs = {fold.name: read_logs(fold) for fold in folds}
    found = _folders(model, folds, list(logs.values()), options)
    validation = read_validation(folds)
    notes: list[str] = []
    pictures, kind = {}, ""
    structure, seen = "", list[Seen]()
    if validation is not None:
        kind = _shown_kind(validation)
        pictures = _pictures(validation, kind, found, options, notes)
        structure, seen = _seen(validation, found, notes)
    training = Training(model, tuple(folds), logs, validation, kind, structure, tuple(seen))
    page = training_page(training, pictures, options, notes)
    write_page("training.html", output, page=page)
    return Written(output, len(validation.study.cases) if validation else 0, {})


def _model_and_folds(folder: Path) -> tuple[Path, list[Path]]:
    if not folder.is_dir():
        raise ModelError(
            f"{folder}: no such folder; give a fold such as fold_0, or its model folder"
        )
    if _is_fold(folder):
        return folder.absolute().parent, [folder]
    folds = [path for path in sorted(folder.glob("fold_*")) if _is_fold(path)]
    if not folds:
        raise ModelError(
            f"{folder}: not a training: expected {NAMES} or {SUMMARY} in it or in its fold_0; a report of masks takes"
            " two folders, LABELS and PREDICTIONS"
        )
    return folder, folds


def _is_fold(folder: Path) -> bool:
    return any(folder.glob(NAMES)) or (folder / SUMMARY).is_file()


def _folders(
    model: Path, folds: Sequence[Path], logs: Sequence[TrainingLog], options: ReportOptions
) -> Folders:
    """Where nnU-Net's folders are, by its variables, else as the log has them."""
    dataset = model.absolute().parent.name
    places = [os.environ.get(f"nnUNet_{part}") for part in ("preprocessed", "raw")]
    preprocessed, raw = (None if place is None else Path(place) / dataset for place in places)
    named = [log.preprocessed for log in logs if log.preprocessed is not None]
    known = [p for p in (preprocessed, *named) if p is not None and p.is_dir()]
    found = next(iter(known), None)
    if raw is None and found is not None:  # beside it, as most people have them
        raw = found.parent.parent / "nnUNet_raw" / dataset
    images = options.images or (raw / "imagesTr" if raw is not None else None)
    there = images if images is not None and (options.images or images.is_dir()) else None
    return Folders(model, tuple(folds), found, there)


def _shown_kind(validation: Validation) -> str:
    """The kind of prompt whose masks stand beside those without prompts: the best one by its mean Dice."""
    kinds = [arm.name for arm in validation.study.arms]
    study = validation.study

    def mean(kind: str) -> float:
        values = list(study.means(kinds.index(kind), "dice").values())
        return sum(values) / len(values) if values else 0.0

    prompted = [kind for kind in kinds if kind != NONE]
    return max(prompted, key=mean, default="")


def _pictures(
    validation: Validation, kind: str, found: Folders, options: ReportOptions, notes: list[str]
) -> dict[str, CasePictures]:
    references = None if found.preprocessed is None else found.preprocessed / "gt_segmentations"
    if references is None or not references.is_dir():
        notes.append(
            "no pictures: the preprocessed data set, which holds the references, is not found; set nnUNet_preprocessed"
        )
        return {}
    cases = validation.study.cases
    labels = files_by_case(references)
    images: Mapping[str, Path] = {}
    try:
        images = {} if found.images is None else images_of(found.images, cases)
    except NNUNetPromptError as error:
        notes.append(f"no images: {error}")
    if found.images is None:
        notes.append(
            "no images: nnU-Net's raw data set is not found; set nnUNet_raw, or name it with -i"
        )
    named = {int(k): name for k, name in validation.study.structures.items() if k.isdecimal()}
    jobs = [
        PictureJob(
            case,
            labels[case][0],
            tuple(_mask(validation.folds[case], one, labels[case][0]) for one in _kinds(kind)),
            images.get(case),
            names=named,
        )
        for case in cases
        if case in labels
    ]
    count = processes_for(options, len(jobs))
    done = run_all(run_job, jobs, count, died=job_died)
    pairs = zip(jobs, progress(done, "pictures", total=len(jobs)), strict=True)
    return {job.case: pictures for job, pictures in pairs}


def _kinds(kind: str) -> tuple[str, ...]:
    return (NONE, kind) if kind else (NONE,)


def _mask(fold: Path, kind: str, reference: Path) -> Path:
    folder = fold / "validation"
    return (folder if kind == NONE else folder / folder_name(kind)) / reference.name


def _seen(validation: Validation, found: Folders, notes: list[str]) -> tuple[str, list[Seen]]:
    """The prompts of the case with the lowest Dice without prompts; nothing where they cannot be made again."""
    if len(validation.study.arms) < 2:
        return "", []
    if found.preprocessed is None:
        notes.append("prompts as the network saw them: the preprocessed data set is not found")
        return "", []
    case = replace(validation.study, arms=validation.study.arms[:1]).worst_first[0]
    try:
        structure, seen = prompts_as_seen(Source(found.model, found.preprocessed, case))
    except NNUNetPromptError as error:
        notes.append(f"prompts as the network saw them: {error}")
        return "", []
    return f"{structure} in {case}", seen
