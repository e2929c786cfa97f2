"""The words for metrics: every key of an evaluation has a title, a unit and a direction, also those of plug-ins."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Better = Literal["high", "low", "zero"]
_ARROWS = {"high": "higher is better", "low": "lower is better", "zero": "0 is best"}
_SURFACE_DICE = re.compile(r"(?:nsd|surface_dice)_?(?P<mm>\d+(?:[._p]\d+)?)?_?(?:mm)?")
MOST_COLUMNS = (
    8  # where there are more metrics, tables have those of `_COLUMNS` and those of plug-ins
)
_COLUMNS = (
    *("dice", "hd95_mm", "assd_mm", "volume_error"),
    *("sensitivity", "precision", "lesion_f1"),
)
_BESIDE = ("lesions", "predicted_lesions", "matched_lesions")  # counts behind a metric
PREFERRED_NSD = "nsd_2mm"
MAIN = (
    "dice",
    "hd95_mm",
    "volume_error",
)  # of these there are charts, and of the first surface Dice


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric in words.

    unit: "" for a number without one
    digits: behind the point
    scale: what a value is multiplied by to be shown, 100 for per cent
    """

    key: str
    title: str
    unit: str = ""
    digits: int = 3
    better: Better = "high"
    scale: float = 1.0

    @property
    def axis(self) -> str:
        """The label of an axis: title, unit, direction."""
        unit = f" in {self.unit}" if self.unit else ""
        return f"{self.title}{unit} ({_ARROWS[self.better]})"

    @property
    def head(self) -> str:
        """The title of a column."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def mean(self) -> str:
        """The title of a mean of it."""
        kept = self.title[:2].isupper() or self.title.startswith("Dice")
        return f"Mean {self.title if kept else self.title[:1].lower() + self.title[1:]}"

    def text(self, value: float | None, *, signed: bool = False) -> str:
        """A value as it is shown, without its unit; a dash for None."""
        if value is None or value != value:
            return "–"
        sign = "+" if signed or (self.better == "zero" and self.scale == 100) else ""
        return f"{value * self.scale:{sign}.{self.digits}f}".replace("-", "−")


_KNOWN = (
    Metric("dice", "Dice"),
    Metric("hd_mm", "HD", "mm", 1, "low"),
    Metric("hd95_mm", "HD95", "mm", 1, "low"),
    Metric("assd_mm", "ASSD", "mm", 2, "low"),
    Metric("volume_error", "Volume error", "%", 1, "zero", 100),
    Metric("abs_volume_error_ml", "Absolute volume error", "ml", 1, "low"),
    Metric("volume_ml", "Volume", "ml", 1),
    Metric("predicted_volume_ml", "Volume of the mask", "ml", 1),
    Metric("sensitivity", "Sensitivity"),
    Metric("precision", "Precision"),
    Metric("lesion_f1", "Lesion-wise F1"),
)
_BY_KEY = {metric.key: metric for metric in _KNOWN}


def metric_of(key: str) -> Metric:
    """The words for a key; a key that is not known is its own title, and its end gives the unit."""
    if key in _BY_KEY:
        return _BY_KEY[key]
    found = _SURFACE_DICE.fullmatch(key)
    if found:
        at = found["mm"]
        return Metric(key, "NSD" if at is None else f"NSD at {re.sub('[_p]', '.', at)} mm")
    for end, unit, digits in (("_mm", "mm", 1), ("_ml", "ml", 1), ("_mm3", "mm³", 0)):
        if key.endswith(end):
            title = _as_title(key.removesuffix(end))
            return Metric(key, title, unit, digits, "zero" if "error" in key else "low")
    lower = any(word in key for word in ("error", "distance", "false"))
    return Metric(key, _as_title(key), better="low" if lower else "high")


def main_metrics(keys: Iterable[str]) -> list[Metric]:
    """Those that charts are made of, in the order of the page; the first of all where none is known."""
    keys = list(keys)
    wanted = [MAIN[0], MAIN[1], *_surface_dice(keys), MAIN[2]]
    return [metric_of(key) for key in wanted if key in keys] or [metric_of(k) for k in keys[:1]]


def table_metrics(metrics: Iterable[Metric]) -> list[Metric]:
    """Those that tables have columns for: all, or where they are many the usual ones, and those that are not known."""
    metrics = list(metrics)
    if len(metrics) <= MOST_COLUMNS:
        return metrics
    kept = {*_COLUMNS, *_surface_dice(m.key for m in metrics)}
    known = {*_BY_KEY, *_BESIDE}
    return [
        m
        for m in metrics
        if m.key in kept or not (m.key in known or _SURFACE_DICE.fullmatch(m.key))
    ]


def _surface_dice(keys: Iterable[str]) -> list[str]:
    """The one surface Dice that is shown where there are several tolerances; none where there is none."""
    found = [key for key in keys if _SURFACE_DICE.fullmatch(key)]
    return [PREFERRED_NSD] if PREFERRED_NSD in found else found[:1]


def _as_title(key: str) -> str:
    words = key.replace("_", " ").strip()
    return words[:1].upper() + words[1:]
