"""The scores of one or two folders of masks, as the tables and charts ask for them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from nnunet_prompt.evaluation.results import Evaluation
from nnunet_prompt.report.words import Metric, metric_of

UNION = "+"  # joins the label values in the key of a union of structures


@dataclass(frozen=True, slots=True)
class Arm:
    """A folder of masks, its name on the page, and what `evaluate_folders` finds of it."""

    name: str
    folder: Path
    results: Evaluation


@dataclass(frozen=True, slots=True)
class Study:
    """One or two arms over the same label maps."""

    labels: Path
    arms: tuple[Arm, ...]

    @property
    def cases(self) -> list[str]:
        """The cases that are scored in at least one arm, by name."""
        return sorted({case for arm in self.arms for case in arm.results["cases"]})

    @property
    def columns(self) -> dict[str, dict[str, str]]:
        """The groupings of the results by title; each gives cases their group."""
        found: dict[str, dict[str, str]] = {}
        for arm in self.arms:
            for title, column in arm.results.get("groups", {}).items():
                own = found.setdefault(title, {})
                for group, entry in column["groups"].items():
                    own.update(dict.fromkeys(entry["cases"], group))
        return found

    @property
    def structures(self) -> dict[str, str]:
        """The names of the structures by their key in the results."""
        found: dict[str, str] = {}
        for arm in self.arms:
            for key in arm.results["mean"]:
                named = arm.results["structures"].get(key)
                name = named["name"] if named else None
                found.setdefault(key, name or (f"label {key}" if key.isdecimal() else key))
        return found

    @property
    def metrics(self) -> list[Metric]:
        """The metrics of the results, in their order."""
        keys = dict.fromkeys(
            m for arm in self.arms for row in arm.results["mean"].values() for m in row
        )
        return [metric_of(key) for key in keys]

    def values(self, arm: int, structure: str, metric: str) -> dict[str, float]:
        """The defined values by case."""
        found = {}
        for case, rows in self.arms[arm].results["cases"].items():
            value = _number(rows.get(structure, {}).get(metric))
            if value is not None:
                found[case] = value
        return found

    def of_case(self, arm: int, case: str, metric: str) -> float | None:
        """The mean of the structures of a case, without unions of them; None where nothing is defined."""
        rows = self.arms[arm].results["cases"].get(case, {})
        found = [_number(row.get(metric)) for key, row in rows.items() if UNION not in key]
        defined = [v for v in found if v is not None]
        return fmean(defined) if defined else None

    def means(self, arm: int, metric: str) -> dict[str, float]:
        """The means of the cases where one is defined."""
        found = {case: self.of_case(arm, case, metric) for case in self.cases}
        return {case: value for case, value in found.items() if value is not None}

    def differences(self, structure: str | None, metric: str) -> dict[str, float]:
        """Second minus first arm, of the cases that both have; of the mean over structures where none is named."""
        if structure is None:
            first, second = (self.means(arm, metric) for arm in (0, 1))
        else:
            first, second = (self.values(arm, structure, metric) for arm in (0, 1))
        return {case: second[case] - first[case] for case in first if case in second}

    @property
    def worst_first(self) -> list[str]:
        """The cases by their mean Dice in the first arm, the lowest first; what has none comes last.

        Of exactly two arms by how far their mean Dice differs, the furthest first.
        """
        first = self.means(0, "dice")
        if len(self.arms) != 2:
            return sorted(self.cases, key=lambda case: (first.get(case, math.inf), case))
        apart = self.differences(None, "dice")
        return sorted(self.cases, key=lambda c: (-abs(apart.get(c, -0.0)), first.get(c, 2.0), c))

    @property
    def failed(self) -> dict[str, str]:
        """The reasons why cases are not scored."""
        return {
            case: why for arm in self.arms for case, why in arm.results.get("failed", {}).items()
        }


def _number(value: object) -> float | None:
    """A finite number; None for anything else that a plug-in may have left there."""
    if isinstance(value, (int, float)) and math.isfinite(value):
        return float(value)
    return None
