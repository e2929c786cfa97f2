"""The charts of a report: boxes with every value beside them, as SVG with axes, units and a text alternative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nnunet_prompt.report.numbers import interval
from nnunet_prompt.report.svg import ARMS, FAINT, INK, figure, svg
from nnunet_prompt.report.words import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 5.4  # inches
ROW, LEAST = 0.36, 0.9  # inches: of a row, and beside the rows
MOST_LINKS = 1500  # points of a chart that are links; more would make the page slow
CROWD = 50  # values in a row from which on dots are smaller and paler
_NAME = 28  # characters of a name in a chart


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a chart: values by case, and whether they are those of the second arm."""

    name: str
    values: Mapping[str, float]
    second: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """An `svg` element, and the caption below it."""

    svg: str
    caption: str


def distributions(
    rows: Sequence[Row], metric: Metric, anchors: Mapping[str, str], *, name: str, what: str
) -> Chart:
    """A box and all values per row, the first on top. `anchors` are the ids of the cases, `what` the rows are of."""
    rows = [row for row in rows if row.values]
    with figure(WIDTH, LEAST + ROW * max(len(rows), 1), name) as page:
        axes = page.subplots()
        links = sum(len(row.values) for row in rows) <= MOST_LINKS
        for place, row in enumerate(rows):
            _draw_row(axes, place, row, metric, anchors if links else {})
        _finish(axes, [_short(row) for row in rows], metric.axis)
        if metric.better == "zero":
            axes.axvline(0, color=FAINT, linewidth=0.8)
        text = "; ".join(_in_words(row, metric) for row in rows)
        title = f"{metric.title} by {what}"
        return Chart(svg(page, name, title, f"Box plot. {text}."), title)


def differences(
    rows: Sequence[Row],
    metric: Metric,
    anchors: Mapping[str, str],
    *,
    name: str,
    arms: Sequence[str],
) -> Chart:
    """The paired differences of each row, second minus first arm, and the 95 % interval of their mean."""
    rows = [row for row in rows if row.values]
    with figure(WIDTH, LEAST + ROW * max(len(rows), 1), name) as page:
        axes = page.subplots()
        for place, row in enumerate(rows):
            _scatter(axes, place, row, metric, anchors)
            found = interval(list(row.values.values()))
            if found is not None and found.low is not None and found.high is not None:
                ends = [found.low * metric.scale, found.high * metric.scale]
                axes.plot(ends, [place, place], color=INK, linewidth=2.2, zorder=3)
            if found is not None:
                axes.plot(
                    found.mean * metric.scale, place, "D", color=INK, markersize=4.5, zorder=4
                )
        axes.axvline(0, color=FAINT, linewidth=1)
        unit = f" in {metric.unit}" if metric.unit else ""
        _finish(axes, [_short(r) for r in rows], f"{metric.title}{unit}: {arms[1]} minus {arms[0]}")
        text = "; ".join(_in_words(row, metric, signed=True) for row in rows)
        title = f"{metric.title}: {arms[1]} minus {arms[0]}, paired by case"
        caption = (
            f"{title}. Diamond and bar: mean and 95 % interval; right of 0, {arms[1]} is higher."
        )
        return Chart(svg(page, name, title, f"Dots are cases. {text}."), caption)


def curves(
    lines: Mapping[str, Sequence[float]], *, name: str, title: str, label: str, limits: bool = False
) -> Chart:
    """Values by epoch, the first line in the first colour; NaN leaves a gap. `limits` shows 0 to 1."""
    with figure(WIDTH, 2.7, name) as page:
        axes = page.subplots()
        styles = [(ARMS[0], "-"), (ARMS[1], "-"), (ARMS[0], ":"), (ARMS[1], ":")]
        for (line, values), (colour, style) in zip(lines.items(), styles, strict=False):
            epochs = np.arange(1, len(values) + 1)
            axes.plot(epochs, values, color=colour, linestyle=style, linewidth=1.5, label=line)
        axes.set(xlabel="epoch", ylabel=label)
        if limits:
            axes.set_ylim(0, 1)
        if len(lines) > 1:
            axes.legend(loc="best", fontsize=8.5)
        text = "; ".join(
            f"{line}: {found[0]:.4g} in the first epoch, {found[-1]:.4g} in the last of {len(found)}"
            for line, values in lines.items()
            if (found := [v for v in values if v == v])
        )
        return Chart(svg(page, name, title, f"Line chart by epoch. {text}."), title)


def _draw_row(axes: Axes, place: int, row: Row, metric: Metric, anchors: Mapping[str, str]) -> None:
    """A box from quartile to quartile, its median, and whiskers to the furthest values within 1.5 of its length."""
    from matplotlib.patches import Rectangle

    values = np.array(list(row.values.values())) * metric.scale
    colour, half = INK, 0.28
    low, middle, high = np.percentile(values, (25, 50, 75))
    reach = 1.5 * (high - low)
    first = values[values >= low - reach].min()
    last = values[values <= high + reach].max()
    box = Rectangle(
        (low, place - half),
        high - low,
        2 * half,
        fill=False,
        edgecolor=colour,
        linewidth=1,
        zorder=3,
    )
    axes.add_patch(box)
    for a, b in ((first, low), (high, last)):
        axes.plot([a, b], [place, place], color=colour, linewidth=1, zorder=3)
    axes.plot([middle, middle], [place - half, place + half], color=colour, linewidth=2.4, zorder=3)
    _scatter(axes, place, row, metric, anchors)


def _scatter(axes: Axes, place: int, row: Row, metric: Metric, anchors: Mapping[str, str]) -> None:
    """All values of a row, moved up and down a little, always in the same way, so that they can be seen."""
    jitter = np.random.default_rng(0).uniform(-0.2, 0.2, len(row.values))
    values = np.array(list(row.values.values())) * metric.scale
    dots = axes.scatter(
        values,
        place + jitter,
        s=14 if len(values) <= CROWD else 7,
        color=ARMS[row.second],
        alpha=0.75 if len(values) <= CROWD else 0.45,
        linewidths=0,
        zorder=2,
    )
    if anchors:
        dots.set_urls([f"#{anchors[case]}" for case in row.values])


def _finish(axes: Axes, names: Sequence[str], label: str) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(max(len(names), 1) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(label)


def _in_words(row: Row, metric: Metric, *, signed: bool = False) -> str:
    found = interval(list(row.values.values()))
    assert found is not None  # rows without values are left out before
    unit = f" {metric.unit}" if metric.unit else ""
    cases = "1 case" if found.n == 1 else f"{found.n} cases"
    text = f"{row.name}: {cases}, mean {metric.text(found.mean, signed=signed)}{unit}"
    if found.low is not None:
        low, high = (metric.text(v, signed=signed) for v in (found.low, found.high))
        text += f" (95 % interval {low} to {high})"
    quartiles = " to ".join(metric.text(q, signed=signed) for q in found.quartiles)
    return f"{text}, median {metric.text(found.median, signed=signed)}, quartiles {quartiles}"


def _short(row: Row) -> str:
    return row.name if len(row.name) <= _NAME else f"{row.name[: _NAME - 1]}…"
