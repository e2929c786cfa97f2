"""The summary of a closed loop: means after each interaction, area under the curve, clicks to a Dice, failures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnunet_prompt.common.figures import figure_style
from nnunet_prompt.io.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GOALS = (0.85, 0.90)  # Dice
METRICS = ("dice", "hd95_mm", "nsd")
COLOURS = ("#4da3ff", "#ff5c5c", "#3ddc97", "#ffb000", "#c77dff", "#2ec4b6", "#f28cb1", "#9aa0a6")


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Per label, and over all: `curve` has the mean of each metric after each interaction.

    `auc` is the area under the mean Dice and NSD by the trapezoid rule with a step of one interaction, as the CVPR
    challenges state it, `auc_normalised` the same as a share of the best; `interactions_to` the mean number of
    interactions to a Dice, over the labels that reach it; `failures` how many do not. Interaction -1, an automatic mask
    to begin with, is in the curve and not in the area.
    """
    labels = sorted({row["label"] for row in rows})
    return {
        "labels": {str(k): _of(r for r in rows if r["label"] == k) for k in labels},
        "all": _of(rows),
    }


def _of(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    rows = list(rows)
    steps = sorted({row["interaction"] for row in rows})
    curve = [
        {
            "interaction": step,
            **{m: _mean([r[m] for r in rows if r["interaction"] == step]) for m in METRICS},
        }
        for step in steps
    ]
    played = [point for point in curve if point["interaction"] >= 0]
    length = max(len(played) - 1, 1)
    areas = {m: _area([point[m] for point in played]) for m in ("dice", "nsd")}
    series: dict[tuple[str, int], dict[int, float]] = {}
    for row in rows:
        if row["interaction"] >= 0:
            own = series.setdefault((row["case"], row["label"]), {})
            own[row["interaction"]] = row["dice"]
    reached = {
        goal: [
            min((k for k, d in one.items() if d >= goal), default=None) for one in series.values()
        ]
        for goal in GOALS
    }
    return {
        "n": len(series),
        "curve": curve,
        "auc": areas,
        "auc_normalised": {m: None if a is None else a / length for m, a in areas.items()},
        "interactions_to": {
            f"{goal:.2f}": _mean([None if k is None else k + 1 for k in ks])
            for goal, ks in reached.items()
        },
        "failures": {f"{goal:.2f}": sum(k is None for k in ks) for goal, ks in reached.items()},
    }


def draw_curves(summary: Mapping[str, Any], names: Mapping[int, str], path: Path) -> None:
    """Dice and NSD after each interaction, one line per label and one for their mean, as PNG."""
    with figure_style(), replacing(path) as partial:
        _curves(summary, names).savefig(partial, format="png")


def _curves(summary: Mapping[str, Any], names: Mapping[int, str]) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    lines = [
        (names.get(int(k), f"label {k}"), one, COLOURS[i % len(COLOURS)], 1.4)
        for i, (k, one) in enumerate(summary["labels"].items())
    ]
    if len(lines) > 1:
        lines.append(("all", summary["all"], "black", 2.4))
    for axes, metric, title in zip(
        figure.subplots(1, 2, sharex=True),
        ("dice", "nsd"),
        ("Dice", "Normalised surface Dice"),
        strict=True,
    ):
        for name, one, colour, width in lines:
            points = [p for p in one["curve"] if p[metric] is not None]
            axes.plot(
                [p["interaction"] + 1 for p in points],
                [p[metric] for p in points],
                marker="o",
                color=colour,
                linewidth=width,
                markersize=4,
                label=f"{name} (n = {one['n']})",
            )
        axes.set(xlabel="interactions", ylabel=title, ylim=(0, 1))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    figure.axes[0].legend(loc="lower right", fontsize=8)
    return figure


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [v for v in values if v is not None]
    return float(np.mean(defined)) if defined else None


def _area(values: Sequence[float | None]) -> float | None:
    if not values or any(v is None for v in values):
        return None
    heights = np.array(values, float)
    return (
        float(((heights[:-1] + heights[1:]) / 2).sum()) if len(heights) > 1 else float(heights[0])
    )
