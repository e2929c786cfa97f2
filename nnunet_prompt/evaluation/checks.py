"""Checks of what `evaluate` is given: its output, its label values, and whether these occur in the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nnunet_prompt.common.arguments import as_path, check_type, items, shown, whole_number
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.evaluation.metrics import Scores
from nnunet_prompt.evaluation.options import EvaluateOptions, Key
from nnunet_prompt.evaluation.pairs import Pairs
from nnunet_prompt.evaluation.results import only_label, only_prediction


def as_evaluate_options(options: EvaluateOptions | None) -> EvaluateOptions:
    """The options, or those by default. Raises `NNUNetPromptError` for anything else."""
    if options is not None:
        check_type("options", options, EvaluateOptions, "EvaluateOptions(tolerances_mm=(1, 2))")
    return options or EvaluateOptions()


def checked_output(output: Path | str | None) -> Path | None:
    """The file to write. Raises `NNUNetPromptError` for a folder."""
    path = None if output is None else as_path("output", output)
    if path is not None and path.is_dir():
        raise NNUNetPromptError(f"{path} is a folder: give a file, such as {path / 'metrics.json'}")
    return path


def checked_values(label_values: Sequence[int] | None) -> tuple[int, ...] | None:
    """The label values, each once. Raises `NNUNetPromptError` for anything but one or more above 0."""
    if label_values is None:
        return None
    given = items(label_values)
    if given is None:
        raise NNUNetPromptError(
            f"label_values: expected a list such as [500, 200], found {shown(label_values)}"
        )
    values = [whole_number("label_values", v, lowest=0, example=500) for v in given]
    if not values or 0 in values:
        raise NNUNetPromptError(
            f"label values must be one or more and not the background 0, found {values}"
        )
    return tuple(dict.fromkeys(values))


def check_values(
    values: Sequence[int] | None, scored: Mapping[str, Mapping[Key, Scores]], pairs: Pairs
) -> None:
    """Raises `NNUNetPromptError` where the values of the cases would give nothing but zeros, or no number."""
    labels = {
        case: {key: s for key, s in scores.items() if isinstance(key, int)}
        for case, scores in scored.items()
    }
    if values is None:
        _check_values_meet([s for case, s in labels.items() if case in pairs.predictions])
    else:
        _check_values_occur(values, labels)


def _check_values_meet(scored: Sequence[Mapping[int, Scores]]) -> None:
    """Two numberings (1, 2, 3 and 500, 600, 200) would score 0 throughout, which looks like a bad model."""
    rows = [(value, s) for scores in scored for value, s in scores.items() if not np.isnan(s.dice)]
    reference = sorted({value for value, s in rows if not only_prediction(s)})
    predicted = sorted({value for value, s in rows if not only_label(s)})
    if reference and predicted and not set(reference) & set(predicted):
        raise NNUNetPromptError(
            f"label maps and predictions share no value: the label maps hold {_numbers(reference)}, the predictions"
            f" {_numbers(predicted)}: renumber one of them, or state what to score with --values {reference[0]}"
        )


def _check_values_occur(values: Sequence[int], scored: Mapping[str, Mapping[int, Scores]]) -> None:
    """Chosen values that are in no file would give a table without a number."""
    dice = [s.dice for scores in scored.values() for s in scores.values()]
    if dice and np.isnan(dice).all():
        raise NNUNetPromptError(
            f"label values: expected values that occur, found {_numbers(values)}, which no label map and no prediction"
            " holds: leave out --values to score all"
        )


def _numbers(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:8])) + (" ..." if len(values) > 8 else "")
