"""Which prediction belongs to which label file, and what is refused before anything is read.

A case id is a file name without its ending (`io.image_files`) and without a trailing `_pred`. Counting a case that
has no prediction, dropping a prediction that has no label file, or taking one folder for the other would give numbers
that look right; so each is an error unless the caller decides otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from nnunet_prompt.common.arguments import one_of
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.io.image_files import image_ending, without_image_ending
from nnunet_prompt.io.names import composed

PREDICTION_SUFFIX = "_pred"
Missing = Literal["error", "empty", "skip"]
Extra = Literal["error", "skip"]

# what the folders of reference label maps are called in nnU-Net and elsewhere
_REFERENCE_FOLDERS = {
    *("labels", "label", "labelstr", "labelsts", "labelsval", "labelsva", "hidden_labels"),
    *("gt_segmentations", "gt", "ground_truth", "groundtruth", "reference", "references", "truth"),
}
# what nnU-Net and its trainers leave beside predictions, never beside label maps
_PREDICTION_FILES = ("predict_from_raw_data_args.json", "summary.json", "prediction_pass_one.json")


@dataclass(frozen=True, slots=True)
class Pairs:
    """The files of both folders by case id. More than one file of a case is an error of that case alone."""

    labels: Mapping[str, Sequence[Path]]
    predictions: Mapping[str, Sequence[Path]]

    @property
    def missing(self) -> list[str]:
        """Cases with a label file and no prediction."""
        return sorted(self.labels.keys() - self.predictions.keys())

    @property
    def extra(self) -> list[str]:
        """Cases with a prediction and no label file."""
        return sorted(self.predictions.keys() - self.labels.keys())


def pair_files(labels: Path, predictions: Path, *, missing: Missing, extra: Extra) -> Pairs:
    """Matches the files of two folders by case; subfolders are not searched.

    Raises `NNUNetPromptError` if one is no folder, if they are one folder or look swapped, if they share no case, and,
    unless `missing` and `extra` allow it, if a case lacks its prediction or its label file.
    """
    one_of("missing", missing, get_args(Missing))
    one_of("extra", extra, get_args(Extra))
    pairs = Pairs(files_by_case(labels), files_by_case(predictions))
    if labels.samefile(predictions):
        raise NNUNetPromptError(
            f"{labels} and {predictions} are one folder: give the label maps first and then the predictions"
        )
    if not pairs.labels.keys() & pairs.predictions.keys():
        raise NNUNetPromptError(
            f"{labels} and {predictions} share no case: expected the files <case>.nii.gz and"
            f" <case>.nii.gz or <case>{PREDICTION_SUFFIX}.nii.gz, found for example"
            f" {_example(pairs.labels)} and {_example(pairs.predictions)}"
        )
    _check_not_swapped(labels, predictions, pairs)
    if pairs.missing and missing == "error":
        raise NNUNetPromptError(
            f"{predictions}: {len(pairs.missing)} of {len(pairs.labels)} cases of {labels} have no prediction"
            f" ({listed(pairs.missing)}): --missing skip leaves these cases out, --missing empty scores them as"
            " empty masks"
        )
    if pairs.extra and extra == "error":
        raise NNUNetPromptError(
            f"{labels}: {len(pairs.extra)} of {len(pairs.predictions)} cases of {predictions} have no label file"
            f" ({listed(pairs.extra)}): label maps come first and predictions second; --extra skip scores only"
            " the cases that have both"
        )
    return pairs


def listed(cases: Sequence[str], most: int = 5) -> str:
    """The first of some cases, and how many more there are."""
    more = len(cases) - most
    return ", ".join(cases[:most]) + (f" and {more} more" if more > 0 else "")


def _check_not_swapped(labels: Path, predictions: Path, pairs: Pairs) -> None:
    marked = [p.name for paths in pairs.labels.values() for p in paths if _has_suffix(p)]
    also = any(_has_suffix(p) for paths in pairs.predictions.values() for p in paths)
    stray = next((n for n in _PREDICTION_FILES if (labels / n).is_file()), None)
    stray = None if stray and any((predictions / n).is_file() for n in _PREDICTION_FILES) else stray
    named = _names_references(predictions) and not _names_references(labels)
    if marked and not also:
        why = f"{labels} holds {marked[0]}, the name of a prediction"
    elif stray:
        why = f"{labels} holds {stray}, which is written beside predictions"
    elif named:
        why = f"{predictions} has the name of a folder of label maps, {labels} has not"
    else:
        return
    raise NNUNetPromptError(
        f"{why}: label maps come first and predictions second; if they do, rename what misleads"
    )


def _names_references(folder: Path) -> bool:
    return folder.absolute().name.lower() in _REFERENCE_FOLDERS


def _has_suffix(path: Path) -> bool:
    return _without_ending(path).endswith(PREDICTION_SUFFIX)


def _without_ending(path: Path) -> str:
    """The name without its ending, in the form in which names are compared."""
    return composed(without_image_ending(path.name))


def files_by_case(folder: Path) -> dict[str, list[Path]]:
    """The label files of a folder by case id, sorted; raises `NNUNetPromptError` if it is no folder."""
    if not folder.is_dir():
        raise NNUNetPromptError(
            f"{folder} is not a folder: give the folder that holds the label files"
        )
    files: dict[str, list[Path]] = {}
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise NNUNetPromptError(
            f"{folder} cannot be read ({error.strerror}): give a folder that can"
        ) from error
    for path in paths:
        if image_ending(path.name) and path.is_file():
            case = _without_ending(path).removesuffix(PREDICTION_SUFFIX)
            files.setdefault(case, []).append(path)
    return dict(sorted(files.items()))


def _example(files: Mapping[str, Sequence[Path]]) -> str:
    return next((paths[0].name for paths in files.values()), "no NIfTI file")
