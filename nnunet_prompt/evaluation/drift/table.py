"""The table of `predict --monitor` as numbers: a row per case, a column per feature."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.io.names import entry_of

FloatArray = npt.NDArray[np.float64]
OF_STRUCTURE = ("volume_ml", "thickness_mm", "entropy", "added_tiles", "agreement")
NOT_COMPARED = ("seconds",)  # depends on the machine more than on the cases
_P = ("intensity_p25", "intensity_p50", "intensity_p75")


@dataclass(frozen=True, slots=True, eq=False)
class Monitored:
    """Cases in the order of their first rows, their features (cases, features), NaN where unknown, and their groups."""

    cases: tuple[str, ...]
    features: tuple[str, ...]
    values: FloatArray
    groups: Mapping[str, tuple[str, ...]]  # column -> the group of each case, "" where unknown

    def rows(self, index: Sequence[int], features: Sequence[str]) -> FloatArray:
        """The values of some cases in the order of these features; NaN for a feature that this table lacks."""
        known = {name: k for k, name in enumerate(self.features)}
        out = np.full((len(index), len(features)), np.nan)
        for k, name in enumerate(features):
            if name in known:
                out[:, k] = self.values[list(index), known[name]]
        return out


def read_monitored(path: Path, groups: Mapping[str, Mapping[str, str]] | None = None) -> Monitored:
    """Reads a table; `groups` has more columns of text for each case. Of a case that occurs twice, the last rows count.

    A last line that was cut off is left out. Raises `NNUNetPromptError` for anything but such a table.
    """
    try:
        lines = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NNUNetPromptError(
            f"{path}: cannot be read as a table of predict --monitor ({error})"
        ) from None
    lines = [line for line in lines if None not in line and None not in line.values()]
    if not lines or not {"case", "structure", "volume_ml"} <= set(lines[0]):
        raise NNUNetPromptError(
            f"{path}: expected rows with case, structure, volume_ml, ..., as predict --monitor writes them"
        )
    found: dict[str, dict[str, float]] = {}
    text: dict[str, dict[str, str]] = {}
    for line in lines:
        case = line["case"]
        text.setdefault(case, {}).update(entry_of(groups or {}, case) or {})
        for key, cell in line.items():
            if key in ("case", "structure") or not cell:
                continue
            number = _number(cell)
            if number is None:
                text[case][key] = cell
            else:
                name = f"{line['structure']}: {key}" if key in OF_STRUCTURE else key
                found.setdefault(case, {})[name] = number
    return _to_arrays(found, text)


def _to_arrays(
    found: Mapping[str, dict[str, float]], text: Mapping[str, Mapping[str, str]]
) -> Monitored:
    for row in found.values():
        row.update(_shape_of_histogram(row) | _shares(row) | _relative_thickness(row))
    names = tuple(dict.fromkeys(n for row in found.values() for n in row if n not in NOT_COMPARED))
    cases = tuple(found)
    values = np.array([[row.get(n, math.nan) for n in names] for row in found.values()])
    columns = dict.fromkeys(c for row in text.values() for c in row)
    groups = {c: tuple(text[case].get(c, "") for case in cases) for c in columns}
    return Monitored(cases, names, values, groups)


def _shape_of_histogram(row: Mapping[str, float]) -> dict[str, float]:
    """The quantiles between the outer ones, blind to gain and offset of the scanner."""
    low, high = row.get("intensity_p05"), row.get("intensity_p95")
    if low is None or high is None or high <= low:
        return {}
    return {f"{p}, relative": (row[p] - low) / (high - low) for p in _P if p in row}


def _shares(row: Mapping[str, float]) -> dict[str, float]:
    """The share of each structure in the volume of all, blind to the size of the patient and of the image."""
    volumes = {k: v for k, v in row.items() if k.endswith(": volume_ml")}
    total = sum(volumes.values())
    if len(volumes) < 2 or total <= 0:
        return {}
    return {k.replace("volume_ml", "share of volume"): v / total for k, v in volumes.items()}


def _relative_thickness(row: Mapping[str, float]) -> dict[str, float]:
    """The thickness of each structure in edges of a cube with the volume of all, blind to the size of the patient."""
    total = sum(v for k, v in row.items() if k.endswith(": volume_ml"))
    if total <= 0:
        return {}
    edge_mm = 10 * total ** (1 / 3)
    ends = [(k, v) for k, v in row.items() if k.endswith(": thickness_mm")]
    return {k.replace("thickness_mm", "relative thickness"): v / edge_mm for k, v in ends}


def _number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
