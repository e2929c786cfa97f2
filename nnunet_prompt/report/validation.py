"""The validation of trained folds, read from their summary.json: scores by kind of prompt, case and structure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.evaluation.results import Evaluation
from nnunet_prompt.io.image_files import without_image_ending
from nnunet_prompt.io.json_file import read_object
from nnunet_prompt.report.study import Arm, Study

SUMMARY = "validation/summary.json"
NONE = "none"  # the kind without prompts
KEYS = {"Dice": "dice", "HD": "hd_mm", "HD95": "hd95_mm"}
Scores = dict[str, dict[str, float | None]]  # by label, then metric


@dataclass(frozen=True, slots=True)
class Validation:
    """The cases of several folds: `study` has one arm per kind, that without prompts first.

    folds: the folder of the fold of each case
    gated: the kinds where a label may only appear in the slices in which it is prompted
    """

    study: Study
    folds: Mapping[str, Path]
    gated: frozenset[str]


def read_validation(folds: Sequence[Path]) -> Validation | None:
    """The validation of the folds that have one; None for none. Raises `ModelError` for a summary of another form."""
    kinds: dict[str, dict[str, Scores]] = {}
    names: dict[str, str] = {}
    cases: dict[str, Path] = {}
    gated: set[str] = set()
    for fold in folds:
        path = fold / SUMMARY
        if not path.is_file():
            continue
        content = read_object(path, ModelError)
        try:
            names |= {str(k): str(v) for k, v in content.get("structures", {}).items()}
            about = content.get("prompt_kinds", {})
            gated |= {kind for kind, one in about.items() if one.get("gated")}
            for row in content["metric_per_case"]:
                case = _case(row)
                cases[case] = fold
                for kind, scores in row.get("prompt_kinds", {NONE: row["metrics"]}).items():
                    kinds.setdefault(kind, {})[case] = _scores(scores)
        except (KeyError, TypeError, AttributeError) as error:
            raise ModelError(
                f"{path}: not a summary of a validation ({error!r}): validate again with nnUNetv2_train ... --val"
            ) from None
    if not cases:
        return None
    arms = tuple(Arm(kind, Path(kind), _evaluation(rows, names)) for kind, rows in kinds.items())
    return Validation(Study(folds[0], arms), cases, frozenset(gated))


def _case(row: Mapping[str, Any]) -> str:
    """The name of a case; nnU-Net's own summary has only its files."""
    if "case" in row:
        return str(row["case"])
    return without_image_ending(Path(str(row["reference_file"])).name)


def _scores(found: Mapping[str, Mapping[str, float | None]]) -> Scores:
    return {
        label: {key: one.get(name) for name, key in KEYS.items() if name in one}
        for label, one in found.items()
    }


def _evaluation(cases: Mapping[str, Scores], names: Mapping[str, str]) -> Evaluation:
    """In the form of `evaluate`, as far as a study asks for it."""
    labels = dict.fromkeys(label for scores in cases.values() for label in scores)
    metrics = dict.fromkeys(
        metric for scores in cases.values() for one in scores.values() for metric in one
    )
    structures = {label: {"name": names.get(label), "only_label": 0} for label in labels}
    mean = {label: dict.fromkeys(metrics) for label in labels}
    return cast("Evaluation", {"cases": dict(cases), "mean": mean, "structures": structures})
