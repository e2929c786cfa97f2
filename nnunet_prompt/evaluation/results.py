"""The form of an evaluation: `metrics.json`, and the table that is printed.

    {"cases": {"heart_01": {"500": {"dice": 0.93, "hd_mm": 8.1, "hd95_mm": 3.0, "assd_mm": 0.9,
                                    "volume_error": -0.04}}},
     "mean": {"500": {"dice": 0.93, ...}},
     "structures": {"500": {"name": "LV", "n": 38, "in_neither": 1, "only_label": 1, "only_prediction": 0}},
     "counts": {"label_files": 40, "scored": 39, "missing": 0, "unmatched": 0, "failed": 1},
     "weighted": {"cases": {"heart_01": {"dice": 0.91, ...}}, "mean": {"dice": 0.91, ...}},
     "conventions": {"distances": "between voxel centres, ...", "tolerances_mm": [1.0, 2.0, 3.0], ...},
     "rules": {"missing": "error", "extra": "error", "empty": "...", "names": null, "ignore_label": null},
     "missing": ["heart_02"], "unmatched": ["phantom_07"], "failed": {"heart_03": "why"}}

`measures` lists the other metrics of a structure. A union of structures has its values as key ("1220+2221"), and
`members` beside its name. `weighted` is the mean over the labels by volume, see `conventions`.

Keys are label values as on disk: all but 0 that the label file or the prediction of a case holds; a value that is in
neither has no entry. null stands for an undefined metric; a mean is taken over the `n` cases where the Dice is defined
(a volume error also needs reference voxels), and is null if there is none. The last keys are there only when there is
something to state:

    missing    label files without a prediction: scored as empty or left out, see `rules.missing`
    unmatched  predictions without a label file: not scored
    groups     scores by centre, vendor or another column, see `groups`
    calibration  of probability maps, see `reliability`
    readers    agreement of several readers, see `readers`
    failed     cases that could not be scored, with the reason: not in the mean
    headers    what the headers of a case contradict, and what was taken
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from nnunet_prompt.common.arguments import shown
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.evaluation.metrics import Scores
from nnunet_prompt.evaluation.options import Key
from nnunet_prompt.evaluation.pairs import Extra, Missing, listed
from nnunet_prompt.io.json_file import write_json

if TYPE_CHECKING:  # Python 3.10 has none
    from typing import NotRequired

# in metrics.json and in the CSV only, so that the table stays narrow
UNPRINTED = ("sensitivity", "precision", "abs_volume_error_ml", "volume_ml", "predicted_volume_ml")
METRICS = tuple(field.name for field in fields(Scores))
EMPTY_RULE = (
    "a structure in neither map is left out of the means; in only one of them it counts with Dice 0 and the diagonal"
    " of the image as distance; its volume error needs reference voxels"
)
CaseScores = dict[str, dict[str, float | None]]  # by label value and metric


class StructureCounts(TypedDict):
    """How many of the scored cases stand behind the means of a label value, and which of them are one-sided."""

    name: str | None
    n: int
    in_neither: int
    only_label: int
    only_prediction: int
    members: NotRequired[list[int]]  # of a union


class Weighted(TypedDict):
    """The mean over the labels by volume, of each case and of all."""

    cases: dict[str, dict[str, float | None]]
    mean: dict[str, float | None]


class Counts(TypedDict):
    """Numbers of cases."""

    label_files: int
    scored: int
    missing: int
    unmatched: int
    failed: int


class Rules(TypedDict):
    """The choices of the caller, and the rule for empty masks. `names` is the dataset.json that the names are from."""

    missing: Missing
    extra: Extra
    empty: str
    names: str | None
    ignore_label: int | None


class Evaluation(TypedDict):
    """The result of `evaluate_folders`, as it is written."""

    cases: dict[str, CaseScores]
    mean: CaseScores
    structures: dict[str, StructureCounts]
    counts: Counts
    rules: Rules
    weighted: NotRequired[Weighted]
    conventions: NotRequired[dict[str, str | float | list[float]]]
    groups: NotRequired[dict[str, Any]]
    calibration: NotRequired[dict[str, Any]]
    readers: NotRequired[dict[str, Any]]
    missing: NotRequired[list[str]]
    unmatched: NotRequired[list[str]]
    failed: NotRequired[dict[str, str]]
    headers: NotRequired[dict[str, list[str]]]


def summarise(
    scored: Mapping[str, Mapping[Key, Scores]],
    names: Mapping[Key, str],
    added: Mapping[str, Mapping[Key, Mapping[str, float | None]]] | None = None,
) -> tuple[dict[str, CaseScores], CaseScores, dict[str, StructureCounts]]:
    """Cases, means and counts, ready for JSON: None for NaN, keys are text. `added` has the metrics beyond `Scores`."""
    mean: CaseScores = {}
    structures: dict[str, StructureCounts] = {}
    cases = {
        case: {
            str(label): {
                **{metric: mean_of([value]) for metric, value in asdict(row).items()},
                **(added or {}).get(case, {}).get(label, {}),
            }
            for label, row in scores.items()
        }
        for case, scores in scored.items()
    }
    keys = {label for scores in scored.values() for label in scores}
    for label in sorted(keys, key=lambda k: (isinstance(k, str), members_of(k))):
        rows = [scores[label] for scores in scored.values() if label in scores]
        values = [scores[str(label)] for scores in cases.values() if str(label) in scores]
        metrics = dict.fromkeys(metric for row in values for metric in row)
        mean[str(label)] = {m: mean_of([_number(row.get(m)) for row in values]) for m in metrics}
        n = sum(not np.isnan(row.dice) for row in rows)
        structures[str(label)] = {
            "name": names.get(label),
            "n": n,
            "in_neither": len(scored) - n,
            "only_label": sum(only_label(row) for row in rows),
            "only_prediction": sum(only_prediction(row) for row in rows),
        }
        if isinstance(label, str):
            structures[label]["members"] = members_of(label)
    return cases, mean, structures


def members_of(key: Key) -> list[int]:
    """The values of a label or union."""
    return [int(value) for value in str(key).split("+")]


def weighted_by_volume(cases: Mapping[str, CaseScores]) -> Weighted:
    """The mean over the labels of each case by the volume that reference and prediction have of each, unions apart."""
    found: dict[str, dict[str, float | None]] = {}
    for case, scores in cases.items():
        rows = [row for key, row in scores.items() if "+" not in key and row["dice"] is not None]
        weights = [_number(row["volume_ml"]) + _number(row["predicted_volume_ml"]) for row in rows]
        metrics = [m for m in (rows[0] if rows else ()) if _weighs(m)]
        found[case] = {
            m: mean_of([np.average([_number(row.get(m)) for row in rows], weights=weights)])
            for m in metrics
        }
    metrics = list(dict.fromkeys(m for row in found.values() for m in row))
    mean = {m: mean_of([_number(row[m]) for row in found.values() if row]) for m in metrics}
    return {"cases": found, "mean": mean}


def _weighs(metric: str) -> bool:
    """Whether a metric is defined for every structure that is in one of the maps."""
    return metric in ("dice", "hd_mm", "hd95_mm", "assd_mm") or metric.startswith("nsd_")


def only_label(scores: Scores) -> bool:
    """Whether the label map has the structure and the prediction has not."""
    return scores.volume_error == -1


def only_prediction(scores: Scores) -> bool:
    """Whether the prediction has the structure and the label map has not."""
    return bool(np.isnan(scores.volume_error) and not np.isnan(scores.dice))


def mean_of(values: Sequence[float]) -> float | None:
    """The mean of what is not NaN; None if nothing is left."""
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else None


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def format_table(results: Evaluation) -> str:
    """The means of `evaluate_folders` as text to print: one line per label value, a dash for null.

    Names are shown where one is known. The column `n` counts the cases behind the mean Dice.
    """
    _check_form(results)
    named = any(s["name"] for s in results["structures"].values())
    head = ("structure", "label", "n") if named else ("label", "n")
    added = dict.fromkeys(metric for means in results["mean"].values() for metric in means)
    metrics = tuple(m for m in dict.fromkeys((*METRICS, *added)) if m not in UNPRINTED)
    rows = [(*head, *metrics)]
    for label, means in results["mean"].items():
        structure = results["structures"][label]
        own = (structure["name"] or "-", label) if named else (label,)
        rows.append((*own, str(structure["n"]), *(_cell(means.get(metric)) for metric in metrics)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )


def format_notes(results: Evaluation) -> str:
    """Notes to print below the table, a line each: cases that are not in it, and the rule for empty masks."""
    _check_form(results)
    counts, rules = results["counts"], results["rules"]
    lines = [f"{counts['scored']} of {counts['label_files']} cases scored"]
    if "missing" in results:
        done = "scored as empty masks" if rules["missing"] == "empty" else "left out"
        lines.append(f"no prediction, {done}: {_counted(results['missing'])}")
    if "unmatched" in results:
        lines.append(f"no label file, not scored: {_counted(results['unmatched'])}")
    if "failed" in results:
        lines.append(f"failed, not scored: {_counted(list(results['failed']))}")
    if rules["ignore_label"] is not None:
        lines.append(f"voxels of the ignore label {rules['ignore_label']} are left out")
    if rules["names"] is not None:
        unknown = [k for k, s in results["structures"].items() if s["name"] is None]
        note = f", which does not name {listed(unknown)}" if unknown else ""
        lines.append(f"names from {rules['names']}{note}")
    weighted = results["weighted"]["mean"].get("dice") if "weighted" in results else None
    if weighted is not None and len(results["mean"]) > 1:
        lines.append(f"all labels, weighted by volume: dice {weighted:.3f}")
    lines.append(f"n: cases behind a mean; {rules['empty']}")
    return "\n".join(lines)


def _check_form(results: object) -> None:
    if not isinstance(results, Mapping) or not {"mean", "structures", "counts"} <= results.keys():
        raise NNUNetPromptError(
            f"results: expected what evaluate_folders returns, found {shown(results)}"
        )


def write_results(results: Evaluation, output: Path) -> None:
    """Writes the results; raises `NNUNetPromptError` where that cannot be."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_json(output, results, allow_nan=False)
    except OSError as error:
        raise NNUNetPromptError(
            f"{output} cannot be written ({error.strerror}): give a path that can"
        ) from error


def _counted(cases: Sequence[str]) -> str:
    return f"{len(cases)} ({listed(cases)})"


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
