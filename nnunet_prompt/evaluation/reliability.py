"""Calibration of a folder of probability maps, as metrics.json has it, and its diagram.

    "calibration": {"structures": {"500": {"name": "LV", "n": 12, "voxels": 81034, "ece": 0.02, "brier": 0.04,
                                           "table": [{"from": 0.0, "to": 0.067, "voxels": 40210,
                                                      "probability": 0.01, "reference": 0.02}, ...]}},
                    "cases": {"heart_01": {"500": {"voxels": 7011, "ece": 0.03, "brier": 0.05}}},
                    "rules": {"voxels": "...", "bins": "...", "pooled": "..."},
                    "without": ["heart_02"], "unmatched": ["phantom_07"], "failed": {"heart_03": ["why"]}}

Keys are the label values that count as inside, "200+2221" for a structure with its part, as in the names of the maps.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnunet_prompt.common.errors import ImageError, NNUNetPromptError
from nnunet_prompt.common.figures import figure_style
from nnunet_prompt.common.log import progress
from nnunet_prompt.evaluation.calibration import (
    RULES,
    Levels,
    count_levels,
    reliability_table,
    summary,
)
from nnunet_prompt.io.atomic import replacing
from nnunet_prompt.io.geometry import geometry_difference, same_geometry
from nnunet_prompt.io.image_files import read_label_file
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.io.probability_file import read_probability

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_log = logging.getLogger(__name__)


def calibrate(
    labels: Mapping[str, Sequence[Path]],
    maps: Mapping[str, Mapping[str, Path]],
    *,
    values: Sequence[int] | None = None,
    ignore: int | None = None,
    titles: Mapping[str, str | None] | None = None,
) -> dict[str, Any]:
    """The calibration of the maps of each case that has a label file, and warnings about what does not fit.

    Maps are chosen by `values`, if these are given: all values of their key must be among them.
    """
    both = [case for case in labels if case in maps]
    pooled: dict[str, Levels] = {}
    counts: dict[str, int] = {}
    cases: dict[str, Any] = {}
    failed: dict[str, list[str]] = {}
    for case in progress(both, "calibrate", total=len(both)):
        found, broken = _one_case(labels[case], _chosen(maps[case], values), ignore)
        for key, levels in found.items():
            pooled[key] = pooled.get(key, Levels.none()) + levels
            counts[key] = counts.get(key, 0) + bool(levels.voxels.any())
        cases[case] = {key: summary(levels) for key, levels in found.items()}
        if broken:
            failed[case] = broken
    structures = {
        key: {
            "name": _title(key, titles or {}),
            "n": counts[key],
            **summary(pooled[key]),
            "table": reliability_table(pooled[key]),
        }
        for key in sorted(pooled, key=lambda k: [int(v) for v in k.split("+")])
    }
    result: dict[str, Any] = {"structures": structures, "cases": cases, "rules": RULES}
    more = {
        "without": sorted(labels.keys() - maps.keys()),
        "unmatched": sorted(maps.keys() - labels.keys()),
        "failed": failed,
    }
    _report(more)
    return result | {key: lines for key, lines in more.items() if lines}


def _report(more: Mapping[str, Any]) -> None:
    for case, lines in more["failed"].items():
        for line in lines:
            _log.warning("%s: not calibrated: %s", case, line)
    for key, what in (
        ("without", "no probability map, not calibrated"),
        ("unmatched", "a probability map and no label map, not calibrated"),
    ):
        for case in more[key]:
            _log.warning("%s: %s", case, what)


def _chosen(maps: Mapping[str, Path], values: Sequence[int] | None) -> dict[str, Path]:
    return {k: p for k, p in maps.items() if values is None or set(_values(k)) <= set(values)}


def _values(key: str) -> list[int]:
    return [int(value) for value in key.split("+")]


def _title(key: str, titles: Mapping[str, str | None]) -> str | None:
    names = [titles.get(value) for value in key.split("+")]
    return titles.get(key) or ("+".join(n for n in names if n) if all(names) else None)


def _one_case(
    labels: Sequence[Path], maps: Mapping[str, Path], ignore: int | None
) -> tuple[dict[str, Levels], list[str]]:
    """The levels of each map of a case, and a line for each that could not be counted."""
    found: dict[str, Levels] = {}
    broken: list[str] = []
    try:
        if len(labels) > 1:
            raise ImageError(f"{labels[0]} and {labels[1]} belong to one case: keep one of them")
        reference = read_label_file(labels[0])
    except NNUNetPromptError as error:
        return found, [" ".join(str(error).split())]
    ignored = None if ignore is None else reference.array == ignore
    for key, path in maps.items():
        try:
            probability = read_probability(path)
            _check_grid(probability, reference)
        except (NNUNetPromptError, OSError, MemoryError) as error:
            broken.append(" ".join(str(error).split()))
            continue
        inside = np.isin(reference.array, _values(key))
        found[key] = count_levels(probability.array, inside, reference.spacing_mm, ignored)
    return found, broken


def _check_grid(probability: NiftiVolume, reference: NiftiVolume) -> None:
    if not same_geometry(probability, reference):
        raise ImageError(
            f"{probability.path}: must be on the grid of {reference.path}, found"
            f" {geometry_difference(probability, reference)}; predict that image again"
        )


def format_calibration(calibration: Mapping[str, Any]) -> str:
    """The calibration as text to print: one line per structure, a dash for what is not defined."""
    rows = [("structure", "label", "n", "voxels", "ece", "brier")]
    for key, row in calibration["structures"].items():
        numbers = ("-" if row[m] is None else f"{row[m]:.4f}" for m in ("ece", "brier"))
        rows.append((row["name"] or "-", key, str(row["n"]), str(row["voxels"]), *numbers))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows
    )


def draw_reliability(calibration: Mapping[str, Any], path: Path) -> None:
    """Draws the reliability diagram: the share of the reference against the probability, one line per structure."""
    with figure_style():
        figure = _diagram(calibration)
        with replacing(path) as partial:
            figure.savefig(partial, format=path.suffix.lower().lstrip("."))


def _diagram(calibration: Mapping[str, Any]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 5.2), dpi=150, layout="constrained")
    axes: Axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1, label="calibrated")
    for key, row in calibration["structures"].items():
        points = [(r["probability"], r["reference"]) for r in row["table"] if r["voxels"]]
        if points:
            label = f"{row['name'] or f'label {key}'} (ECE {row['ece']:.3f}, n = {row['n']})"
            axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=label)
    axes.set(xlabel="predicted probability", ylabel="share of voxels in the reference")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", fontsize=8)
    return figure
