"""Scores predictions against references, wherever they are: two folders, two files or two arrays."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np

from nnunet_prompt.common.arguments import as_path, items, label_value, shown
from nnunet_prompt.common.errors import ImageError, NNUNetPromptError
from nnunet_prompt.evaluation.case import score_volumes
from nnunet_prompt.evaluation.checks import as_evaluate_options, checked_output, checked_values
from nnunet_prompt.evaluation.extras import add_groups, check_outputs, grouping_facts, write_outputs
from nnunet_prompt.evaluation.folders import collect_results, evaluate_folders
from nnunet_prompt.evaluation.names import Names, NamesLike, read_names
from nnunet_prompt.evaluation.options import EvaluateOptions, FolderOptions, resolve
from nnunet_prompt.evaluation.pairs import PREDICTION_SUFFIX, Extra, Missing, Pairs, files_by_case
from nnunet_prompt.evaluation.results import Evaluation
from nnunet_prompt.io.image_files import read_label_file, without_image_ending
from nnunet_prompt.io.in_memory import KINDS, is_in_memory, volumes_in_memory
from nnunet_prompt.io.nifti import NiftiVolume

_LOG = logging.getLogger(__name__)
IN_MEMORY = "case"  # the name of a case that has no file


def evaluate(
    references: Any,
    predictions: Any,
    *,
    spacing_mm: Sequence[float] | None = None,
    labels: Sequence[int | str] | None = None,
    names: NamesLike = None,
    output: Path | str | None = None,
    missing: Missing = "error",
    extra: Extra = "error",
    num_processes: int = 1,
    options: EvaluateOptions | None = None,
) -> Evaluation:
    """Overlap, surface distances and volume errors of each label and union; returns plain data, as metrics.json has it.

    references, predictions: two folders of label files, named alike; or one case each: a file, a nibabel or SimpleITK
        image, (array, affine), (array, spacing), or an array (X, Y, Z) of whole numbers or booleans
    spacing_mm: of two arrays, the voxel size along each axis
    labels: what to score, by value, or by name where `names` or a dataset.json beside the references has it; all
        that occur, if left out
    names: {500: "LV"}, "500=LV,200=scar" or a dataset.json
    output: a metrics.json to write, too
    missing, extra, num_processes: of folders; a case without a prediction is an "error", "empty" or is left out
        ("skip"), a prediction without a reference an "error" or "skip"
    options: tolerances of the surface Dice, unions, lesion-wise structures, groups and a CSV, see `EvaluateOptions`

        evaluate("labelsTs", "predictions")["mean"]["500"]["dice"]

    >>> reference = np.ones((4, 4, 2), int)
    >>> evaluate(reference, reference, spacing_mm=(1.5, 1.5, 8.0))["mean"]["1"]["hd95_mm"]
    0.0

    A single case is called by its file, or "case". None stands for what is not defined. Raises `ImageError` where two
    label maps do not lie on one grid or are no label maps, and `NNUNetPromptError` for other arguments; what is wrong
    with one of several cases of a folder stands under "failed".
    """
    if _is_folder(references) or _is_folder(predictions):
        folders = as_path("references", references), as_path("predictions", predictions)
        if spacing_mm is not None:
            raise NNUNetPromptError("spacing_mm: is of two arrays; that of files is in the files")
        values = None
        if labels is not None:
            values = _values(labels, read_names(names, *folders), lambda: _first(folders[0]))
        of_folders = FolderOptions(values, names, missing, extra, num_processes)
        return evaluate_folders(*folders, output, folder_options=of_folders, options=options)
    given = _Given(labels, names, checked_output(output), as_evaluate_options(options))
    return _one_case(*_volumes(references, predictions, spacing_mm), given)


@dataclass(frozen=True, slots=True)
class _Given:
    """The arguments of `evaluate` that are of one case as of a folder."""

    labels: Sequence[int | str] | None
    names: NamesLike
    output: Path | None
    options: EvaluateOptions


def _one_case(reference: NiftiVolume, prediction: NiftiVolume, given: _Given) -> Evaluation:
    paths = [v.path for v in (reference, prediction) if not str(v.path).startswith("<")]
    if given.options.probabilities is not None or given.options.readers:
        raise NNUNetPromptError(
            "probabilities and readers: are evaluated for two folders; give the folders of the case's files"
        )
    check_outputs(given.output, given.options, paths)
    known = _names(given.names, paths)
    found = set(np.unique(reference.array).tolist())
    values = None
    if given.labels is not None:
        values = checked_values(_values(given.labels, known, lambda: found))
    facts, source = grouping_facts(given.options, None)
    measures = resolve(given.options, known, found, values)
    outcome = score_volumes(
        reference, prediction, values=values, ignore=known.ignore, measures=measures
    )
    case = (
        without_image_ending(paths[0].name).removesuffix(PREDICTION_SUFFIX) if paths else IN_MEMORY
    )
    pairs = Pairs({case: [reference.path]}, {case: [prediction.path]})
    results = collect_results(pairs, {case: outcome.scores}, {case: outcome}, known, measures)
    for line in outcome.broken:
        _LOG.warning("%s", line)
    add_groups(results, given.options, facts, source)
    write_outputs(results, given.output, given.options, facts)
    return results


def _is_folder(given: Any) -> bool:
    return isinstance(given, (str, PathLike)) and Path(given).is_dir()


def _volumes(
    reference: Any, prediction: Any, spacing_mm: Sequence[float] | None
) -> tuple[NiftiVolume, NiftiVolume]:
    """Both label maps; an array alone lies on the grid of the other, or has the spacing that is given."""
    alone = [isinstance(given, np.ndarray) for given in (reference, prediction)]
    if spacing_mm is None and all(alone):
        raise NNUNetPromptError(
            "spacing_mm: expected the voxel size of the arrays in mm, such as (1.5, 1.5, 8.0), found None"
        )
    if spacing_mm is not None and not all(alone):
        raise NNUNetPromptError(
            "spacing_mm: is of two arrays; give it for neither a file nor an image, which have their own"
        )
    if all(alone):
        return (
            _volume("references", (reference, spacing_mm)),
            _volume("predictions", (prediction, spacing_mm)),
        )
    if alone[0]:
        other = _volume("predictions", prediction)
        return _volume("references", (reference, other.affine)), other
    first = _volume("references", reference)
    return first, _volume("predictions", (prediction, first.affine) if alone[1] else prediction)


def _volume(name: str, given: Any) -> NiftiVolume:
    """One label map, (X, Y, Z) of int32."""
    if isinstance(given, (str, PathLike)):
        return read_label_file(as_path(name, given))
    if isinstance(given, NiftiVolume):
        volume = given
    elif is_in_memory(given):
        (volume, *more) = volumes_in_memory(given)
        if more:
            raise ImageError(
                f"{name}: expected one label per voxel, found {1 + len(more)} channels"
            )
    else:
        raise ImageError(f"{name}: expected a folder, an array, {KINDS}, found {shown(given)}")
    if not (volume.array == np.rint(volume.array)).all():
        raise ImageError(
            f"{name}: expected a label map of whole numbers, found {shown(volume.array)} with fractions; give"
            " probabilities a threshold first, such as p > 0.5"
        )
    return replace(volume, array=volume.array.astype(np.int32))


def _names(names: NamesLike, paths: Sequence[Path]) -> Names:
    if names is None and not paths:
        return Names()
    folder = paths[0].parent if paths else Path()
    return read_names(names, folder, folder)


def _first(folder: Path) -> set[int]:
    """The values in the first label file of a folder."""
    files = next(iter(files_by_case(folder).values()), [])
    return set(np.unique(read_label_file(files[0]).array).tolist()) if files else set()


def _values(labels: Any, known: Names, found: Callable[[], set[int]]) -> list[int]:
    """The values of labels given by value or name; `found` decides between two numberings of one data set."""
    parts = [labels] if isinstance(labels, (int, str)) else items(labels)
    if parts is None:
        raise NNUNetPromptError(
            f"labels: expected labels such as [500, 'LV'], found {shown(labels)}"
        )
    by_name = any(isinstance(part, str) for part in parts) and bool(known.numberings)
    values = found() if by_name and len(known.numberings) > 1 else set[int]()
    names = max(known.numberings, key=lambda n: len(values & n.keys())) if by_name else {}
    return [label_value("labels", part, cast("dict[int, str]", names)) for part in parts]
