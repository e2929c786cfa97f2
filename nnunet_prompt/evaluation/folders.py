"""Scores a folder of predictions against a folder of label files, and writes metrics.json.

    {"cases": {"heart_01": {"1": {"dice": 0.93, "hd_mm": 8.1, "hd95_mm": 3.0, "assd_mm": 0.9,
                                  "volume_error": -0.04}}},
     "mean": {"1": {"dice": 0.93, ...}},
     "missing": ["heart_02"], "unmatched": ["phantom_07"], "failed": {"heart_03": "why"}}

The keys of a case are label values as on disk: all but 0 that its label file or its prediction
holds; a label that is in neither has no entry. null stands for an undefined metric; a mean is taken
over the cases where the metric is defined, and is null if there is none. `evaluation.metrics`
defines the metrics and the empty cases. The last keys are there only when they say something:

    missing    label files without a prediction: scored as an empty prediction, so in the mean
    unmatched  predictions without a label file: not scored
    failed     cases that could not be scored, with the reason: not in the mean
    headers    what the headers of a case contradict, and what was taken
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from nnunet_prompt.data.geometry import geometry_difference, same_geometry
from nnunet_prompt.data.nifti import (
    ENDINGS,
    NiftiVolume,
    is_nifti_name,
    read_label_volume,
    replacing,
)
from nnunet_prompt.errors import ImageError, PromptError
from nnunet_prompt.evaluation.metrics import Scores, score_label_maps

PREDICTION_SUFFIX = "_pred"
METRICS = tuple(field.name for field in fields(Scores))


@dataclass(frozen=True, slots=True)
class _Job:
    """One case and its files; more than one label file or prediction is an error of the case."""

    case: str
    labels: tuple[Path, ...]
    predictions: tuple[Path, ...]
    label_values: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The scores of one case by label value, or the reason why there are none."""

    case: str
    scores: dict[int, Scores]
    failure: str | None = None
    notes: tuple[str, ...] = ()


def evaluate_folders(
    labels: Path,
    predictions: Path,
    output: Path | None = None,
    *,
    label_values: Sequence[int] | None = None,
    num_processes: int = 1,
) -> dict[str, Any]:
    """Scores each NIfTI file of `labels` with the file of the same case in `predictions`.

    A case id is the file name without .nii or .nii.gz and without a trailing `_pred`; subfolders
    are not searched. `label_values` fixes the labels to score; an ignore label is unknown here.
    Spacing is that of the label file, as nnU-Net's reader takes it. Returns what the module describes and, if
    `output` is given, writes it there. Warns on stderr of every case that is missing, unmatched or
    failed. With `num_processes` above 1 a script needs the usual `if __name__ == "__main__"`.

    Raises `PromptError` if a folder does not exist, if the folders share no case, or if an argument
    cannot be used; what is wrong with a single case is told under "failed".
    """
    _check_arguments(output, label_values, num_processes)
    truths, predicted = _matched(labels, predictions)
    values = None if label_values is None else tuple(dict.fromkeys(map(int, label_values)))
    jobs = [_Job(c, tuple(p), tuple(predicted.get(c, ())), values) for c, p in truths.items()]
    outcomes = list(tqdm(_outcomes(jobs, num_processes), "evaluate", len(jobs), unit="case"))
    asides = {
        "missing": sorted(truths.keys() - predicted.keys()),
        "unmatched": sorted(predicted.keys() - truths.keys()),
        "failed": {o.case: o.failure for o in outcomes if o.failure is not None},
        "headers": {o.case: list(o.notes) for o in outcomes if o.notes},
    }
    results = _summary(outcomes) | {key: cases for key, cases in asides.items() if cases}
    _warn(results)
    if output is not None:
        _write_json(results, output)
    return results


def format_table(results: Mapping[str, Any]) -> str:
    """The means of `evaluate_folders` as text to print: one line per label, a dash for null.

    The column `cases` counts the cases that have a Dice for the label: those behind its mean.
    """
    rows = [("label", "cases", *METRICS)]
    for label, means in results["mean"].items():
        scores = [case[label]["dice"] for case in results["cases"].values() if label in case]
        count = sum(score is not None for score in scores)
        rows.append((label, str(count), *(_cell(means[metric]) for metric in METRICS)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _check_arguments(
    output: Path | None, label_values: Sequence[int] | None, num_processes: int
) -> None:
    if label_values is not None and (not label_values or 0 in label_values):
        raise PromptError(
            f"label values must be one or more and not the background 0, found {list(label_values)}"
        )
    if num_processes < 1:
        raise PromptError(f"the number of processes must be at least 1, found {num_processes}")
    if output is not None and output.is_dir():
        raise PromptError(f"{output} is a folder: give a file, such as {output / 'metrics.json'}")


def _matched(
    labels: Path, predictions: Path
) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """The files of both folders by case id; raises `PromptError` if no case is in both."""
    truths, predicted = _files_by_case(labels), _files_by_case(predictions)
    if not truths.keys() & predicted.keys():
        raise PromptError(
            f"{labels} and {predictions} share no case: expected the files <case>.nii.gz and"
            f" <case>.nii.gz or <case>{PREDICTION_SUFFIX}.nii.gz, found for example"
            f" {_example(truths)} and {_example(predicted)}"
        )
    return truths, predicted


def _files_by_case(folder: Path) -> dict[str, list[Path]]:
    """The NIfTI files of a folder by case id, sorted; raises `PromptError` if it is no folder."""
    if not folder.is_dir():
        raise PromptError(f"{folder} is not a folder: give the folder that holds the NIfTI files")
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if is_nifti_name(path.name) and path.is_file():
            ending = next(e for e in ENDINGS if path.name.lower().endswith(e))
            case = path.name[: -len(ending)].removesuffix(PREDICTION_SUFFIX)
            files.setdefault(case, []).append(path)
    return dict(sorted(files.items()))


def _example(files: Mapping[str, Sequence[Path]]) -> str:
    return next((paths[0].name for paths in files.values()), "no NIfTI file")


def _outcomes(jobs: Sequence[_Job], num_processes: int) -> Iterator[_Outcome]:
    if num_processes == 1:
        yield from map(_run, jobs)
        return
    # a forked copy of a process with threads (torch has some) can hang, so these start afresh
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(num_processes, len(jobs)), mp_context=context)
    try:
        yield from pool.map(_run, jobs)
    except BrokenProcessPool as error:
        raise PromptError(
            f"one of {num_processes} processes died, perhaps for lack of memory: use fewer"
        ) from error
    finally:  # after Ctrl-C the cases that still wait must not be scored first
        pool.shutdown(cancel_futures=True)


def _run(job: _Job) -> _Outcome:
    try:
        return _score(job)
    except ImageError as error:
        return _Outcome(job.case, {}, str(error))


def _score(job: _Job) -> _Outcome:
    for paths in (job.labels, job.predictions):
        if len(paths) > 1:
            names = " and ".join(str(path) for path in paths)
            raise ImageError(f"{names} all belong to case {job.case!r}: keep one of them")
    truth = read_label_volume(job.labels[0])
    notes = [f"{truth.path}: {note}" for note in truth.notes]
    predicted = np.zeros_like(truth.array)
    if job.predictions:
        prediction = read_label_volume(job.predictions[0])
        _check_same_grid(truth, prediction)
        notes += [f"{prediction.path}: {note}" for note in prediction.notes]
        predicted = prediction.array
    values = job.label_values
    if values is None:
        maps = (truth.array, predicted)
        values = tuple(sorted({int(value) for m in maps for value in np.unique(m[m != 0])}))
    scores = score_label_maps(truth.array, predicted, spacing_mm=truth.spacing_mm, labels=values)
    return _Outcome(job.case, scores, notes=tuple(notes))


def _check_same_grid(truth: NiftiVolume, prediction: NiftiVolume) -> None:
    if not same_geometry(truth, prediction):
        raise ImageError(
            f"{prediction.path}: must be on the grid of {truth.path}, found"
            f" {geometry_difference(prediction, truth)}"
        )


def _summary(outcomes: Sequence[_Outcome]) -> dict[str, Any]:
    """The cases that were scored and their means, ready for JSON: None for NaN, keys are text."""
    scored = {o.case: o.scores for o in outcomes if o.failure is None}
    mean: dict[str, dict[str, float | None]] = {}
    for label in sorted({label for scores in scored.values() for label in scores}):
        rows = [asdict(scores[label]) for scores in scored.values() if label in scores]
        mean[str(label)] = {metric: _mean([row[metric] for row in rows]) for metric in METRICS}
    cases = {
        case: {
            str(label): {metric: _mean([value]) for metric, value in asdict(row).items()}
            for label, row in scores.items()
        }
        for case, scores in scored.items()
    }
    return {"cases": cases, "mean": mean}


def _mean(values: Sequence[float]) -> float | None:
    """The mean of what is not NaN; None if nothing is left."""
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else None


def _warn(results: Mapping[str, Any]) -> None:
    missing = (f"{case}: no prediction, scored as empty" for case in results.get("missing", ()))
    unmatched = (f"{case}: no label file, not scored" for case in results.get("unmatched", ()))
    failed = (f"{case}: not scored: {why}" for case, why in results.get("failed", {}).items())
    headers = (line for notes in results.get("headers", {}).values() for line in notes)
    for line in (*missing, *unmatched, *failed, *headers):
        print(f"warning: {line}", file=sys.stderr)


def _write_json(results: Mapping[str, Any], output: Path) -> None:
    text = json.dumps(results, indent=2, allow_nan=False) + "\n"
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with replacing(output) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PromptError(
            f"{output} cannot be written ({error.strerror}): give a path that can"
        ) from error
