"""Scores one case: its reference label map and its prediction, on one grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nnunet_prompt.common.errors import ImageError, NNUNetPromptError
from nnunet_prompt.evaluation.added import added_scores
from nnunet_prompt.evaluation.measures import measure_label_maps
from nnunet_prompt.evaluation.metrics import Scores
from nnunet_prompt.evaluation.options import Key, Measures
from nnunet_prompt.io.geometry import geometry_difference, same_geometry
from nnunet_prompt.io.image_files import read_label_file
from nnunet_prompt.io.nifti import NiftiVolume

MOST_VALUES = 512  # of a label map; an image has more


@dataclass(frozen=True, slots=True)
class Job:
    """One case and its files; more than one label file or prediction is an error of the case."""

    case: str
    labels: tuple[Path, ...]
    predictions: tuple[Path, ...]
    label_values: tuple[int, ...] | None
    ignore: int | None
    measures: Measures = field(default_factory=Measures)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The scores of one case by label value and union, or the reason why there are none.

    added: metrics beyond `Scores`, those of `measures` and of plug-ins.
    """

    scores: Mapping[Key, Scores] = field(default_factory=dict)
    failure: str | None = None
    notes: tuple[str, ...] = ()  # on the headers
    added: Mapping[Key, Mapping[str, float | None]] = field(default_factory=dict)
    broken: tuple[str, ...] = ()  # a line for each plug-in that failed


def run_job(job: Job) -> Outcome:
    """Scores a case; whatever is wrong with its files is its own affair."""
    try:
        return score_job(job)
    except NNUNetPromptError as error:
        return Outcome(failure=" ".join(str(error).split()))
    except (OSError, MemoryError, ValueError, ArithmeticError) as error:
        where = " and ".join(str(path) for path in (*job.labels, *job.predictions))
        why = " ".join(f"{type(error).__name__} {error}".split())
        return Outcome(failure=f"{where}: cannot be scored ({why})")


def job_died(job: Job) -> Outcome:
    """The outcome of a case whose process died."""
    where = " and ".join(str(path) for path in (*job.labels, *job.predictions))
    return Outcome(failure=f"{where}: its process died, perhaps for lack of memory: use fewer")


def score_job(job: Job) -> Outcome:
    """Reads the files of a case and scores them. Raises `NNUNetPromptError` for what is wrong with them."""
    for paths in (job.labels, job.predictions):
        if len(paths) > 1:
            names = " and ".join(str(path) for path in paths)
            raise ImageError(f"{names} all belong to case {job.case!r}: keep one of them")
    truth = read_label_file(job.labels[0])
    prediction = read_label_file(job.predictions[0]) if job.predictions else None
    return score_volumes(
        truth, prediction, values=job.label_values, ignore=job.ignore, measures=job.measures
    )


def score_volumes(
    truth: NiftiVolume,
    prediction: NiftiVolume | None,
    *,
    values: tuple[int, ...] | None,
    ignore: int | None,
    measures: Measures,
) -> Outcome:
    """Scores two label maps on one grid; no prediction counts as an empty one. Raises `ImageError`."""
    notes = [f"{truth.path}: {note}" for note in truth.notes]
    found = _label_values(truth)
    reference, predicted = truth.array, np.zeros_like(truth.array)
    if prediction is not None:
        _check_same_grid(truth, prediction)
        notes += [f"{prediction.path}: {note}" for note in prediction.notes]
        found |= _label_values(prediction)
        predicted = prediction.array
    if ignore is not None:
        ignored = reference == ignore
        reference, predicted = (np.where(ignored, 0, m) for m in (reference, predicted))
    chosen = tuple(sorted(found - {ignore})) if values is None else values
    found_here = measure_label_maps(
        reference,
        predicted,
        spacing_mm=truth.spacing_mm,
        labels=chosen,
        measures=measures,
        unions=measures.keys_of(chosen),
    )
    if ignore is not None and values is None:  # values only there were never there
        found_here = {k: m for k, m in found_here.items() if not np.isnan(m.scores.dice)}
    plugged, broken = added_scores(reference, predicted, truth.spacing_mm, found_here)
    added = {key: {**m.more, **plugged.get(key, {})} for key, m in found_here.items()}
    scores = {key: m.scores for key, m in found_here.items()}
    return Outcome(scores, notes=tuple(notes), added=added, broken=broken)


def _label_values(volume: NiftiVolume) -> set[int]:
    """The values of a label map but 0. Raises `ImageError` for those that only an image has."""
    values = np.unique(volume.array[volume.array != 0])
    if values.size and values[0] < 0:
        raise ImageError(
            f"{volume.path}: label values must be 0 or above, found {values[0]}: give a label map, not an image"
        )
    if values.size > MOST_VALUES:
        raise ImageError(
            f"{volume.path}: expected a label map, found {values.size} different values: it is an image"
        )
    return set(map(int, values))


def _check_same_grid(truth: NiftiVolume, prediction: NiftiVolume) -> None:
    if not same_geometry(truth, prediction):
        raise ImageError(
            f"{prediction.path}: must be on the grid of {truth.path}, found"
            f" {geometry_difference(prediction, truth)}"
        )
