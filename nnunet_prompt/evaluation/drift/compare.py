"""`nnunet-prompt drift`: batch after batch of each site against a reference.

{"rules": {...}, "sites": {"B": {"cases": 60, "looks": [{"first": "case_021", "last": "case_040", "p": 0.0005,
  "alarm": true, "severity": "moderate", "features": [{"name": "LV: entropy", "statistic": 5.1, "reference": 0.2,
  "new": 0.31, "shift_in_sd": 1.2}]}]}}, "without": {"C": "3 case(s), expected ..."}}
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nnunet_prompt.common.arguments import one_of
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.evaluation.drift.looks import FEWEST, SPREAD, Look, look, permutations_for
from nnunet_prompt.evaluation.drift.table import FloatArray, Monitored
from nnunet_prompt.io.json_file import write_json

Reference = Literal["site", "global", "adaptive"]
EVERY = "all"  # the site of all cases, where there is no grouping
NAMED = 5  # features that a look names
HIGHEST = 0.05  # level of a look


@dataclass(frozen=True, slots=True)
class DriftOptions:
    """How tables are compared. Raises `NNUNetPromptError` for values out of range.

    by          column with the site of a case; None: one site
    reference   site: cases of the same site; global: all; adaptive: of the site, and later batches without an alarm
    batch       cases of a look
    looks       looks that are planned over all sites, now and later: alpha is divided by it
    alpha       false alarms to expect in all of them; below 1 it bounds the chance of any
    seed        of the permutations
    """

    by: str | None = None
    reference: Reference = "global"
    batch: int = 20
    looks: int = 100
    alpha: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("reference", self.reference, ("site", "global", "adaptive"))
        if self.batch < FEWEST or self.looks < 1 or not 0 < self.alpha <= 1:
            raise NNUNetPromptError(
                f"batch, looks and alpha: expected at least {FEWEST}, at least 1, and above 0 and up to 1, found"
                f" {self.batch}, {self.looks} and {self.alpha}"
            )

    @property
    def level(self) -> float:
        """The chance of a false alarm in a look; however few are planned, at most 0.05."""
        return min(self.alpha / self.looks, HIGHEST)


def compare(
    reference: Monitored,
    new: Monitored,
    options: DriftOptions = DriftOptions(),
) -> dict[str, Any]:
    """Compares each site, in the form above; a site with too few cases is named and costs no other.

    Raises `NNUNetPromptError` for an unknown column, for tables without a common feature, and for more looks than
    were planned.
    """
    features = tuple(n for n in reference.features if n in new.features)
    if not features:
        raise NNUNetPromptError(
            "the tables have no feature in common; were they made by one model?"
        )
    sites = _sites(new, options.by)
    batches = {site: _batches(index, options.batch) for site, index in sites.items()}
    total = sum(map(len, batches.values()))
    if total > options.looks:
        raise NNUNetPromptError(
            f"{total} looks in this table, planned were {options.looks}: plan more with --looks, before the first one"
        )
    rng = np.random.default_rng(options.seed)
    found: dict[str, Any] = {}
    without: dict[str, str] = {}
    for site, parts in batches.items():
        try:
            own = _reference_rows(reference, site, features, options)
            rows = [(part, new.rows(part, features)) for part in parts]
            looks = _looks(own, rows, features, options, rng)
        except NNUNetPromptError as error:
            without[site] = str(error)
            continue
        for entry, part in zip(looks, parts, strict=True):
            entry["first"], entry["last"] = new.cases[part[0]], new.cases[part[-1]]
        found[site] = {"cases": len(sites[site]), "looks": looks}
    return {"rules": _rules(options), "sites": found, "without": without}


def write_drift(result: dict[str, Any], path: Path) -> None:
    """Writes the result as JSON, where null is a median of no value. Raises `OutputError`."""
    write_json(path, _defined(result), allow_nan=False)


def _defined(value: Any) -> Any:
    """The same with None for NaN, which JSON has not."""
    if isinstance(value, dict):
        return {key: _defined(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_defined(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def format_drift(result: dict[str, Any]) -> str:
    """A line per look, and what it names where it is an alarm."""
    lines = []
    for site, entry in result["sites"].items():
        for number, one in enumerate(entry["looks"], 1):
            state = f"ALARM, {one['severity']}" if one["alarm"] else "no drift seen"
            lines.append(
                f"{site}, look {number} ({one['first']} to {one['last']}): p = {one['p']:.2g}, {state}"
            )
            if one["alarm"]:
                lines += [
                    f"    {f['name']}: {f['reference']:.4g} in the reference, {f['new']:.4g} now"
                    for f in one["features"]
                ]
    lines += [f"{site}: not compared: {why}" for site, why in result["without"].items()]
    return "\n".join(lines)


def _sites(table: Monitored, by: str | None) -> dict[str, list[int]]:
    if by is None:
        return {EVERY: list(range(len(table.cases)))}
    if by not in table.groups:
        known = ", ".join(table.groups) or "none"
        raise NNUNetPromptError(
            f"--by {by}: no such column, found {known}; give a file with --groups"
        )
    found: dict[str, list[int]] = {}
    for k, site in enumerate(table.groups[by]):
        found.setdefault(site or "unknown", []).append(k)
    return dict(sorted(found.items()))


def _batches(index: Sequence[int], size: int) -> list[list[int]]:
    """Whole batches in order; what is left over joins the last one, or is one alone."""
    parts = [list(index[k : k + size]) for k in range(0, len(index), size)]
    if len(parts) > 1 and len(parts[-1]) < size:
        parts[-2:] = [[*parts[-2], *parts[-1]]]
    return parts


def _reference_rows(
    table: Monitored, site: str, features: Sequence[str], options: DriftOptions
) -> FloatArray:
    if options.by is None or options.reference == "global":
        return table.rows(range(len(table.cases)), features)
    return table.rows(_sites(table, options.by).get(site, []), features)


def _looks(
    reference: FloatArray,
    batches: Sequence[tuple[list[int], FloatArray]],
    features: Sequence[str],
    options: DriftOptions,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    level = options.level
    found = []
    for _, batch in batches:
        seen = look(reference, batch, rng, permutations=permutations_for(level))
        entry = _entry(seen, reference, batch, features, level)
        found.append(entry)
        if options.reference == "adaptive" and not entry["alarm"]:
            reference = np.concatenate([reference, batch])
    return found


def _entry(
    seen: Look, reference: FloatArray, batch: FloatArray, features: Sequence[str], level: float
) -> dict[str, Any]:
    order = np.argsort(seen.statistics)[::-1][:NAMED]
    named = [_feature(int(k), seen, reference, batch, features) for k in order]
    alarm = seen.p <= level
    largest = max((abs(f["shift_in_sd"] or 0.0) for f in named), default=0.0)
    severity = "slight" if largest < 0.5 else "moderate" if largest < 1 else "severe"
    return {
        "cases": len(batch),
        "p": seen.p,
        "alarm": alarm,
        "severity": severity if alarm else "none",
        "features": named,
    }


def _feature(
    k: int, seen: Look, reference: FloatArray, batch: FloatArray, features: Sequence[str]
) -> dict[str, Any]:
    known = [rows[:, k][~np.isnan(rows[:, k])] for rows in (reference, batch)]
    middle = [float(np.median(one)) if one.size else float("nan") for one in known]
    spread = float(1.4826 * np.median(np.abs(known[0] - middle[0]))) if known[0].size else 0.0
    return {
        "name": features[k],
        "statistic": seen.statistics[k],
        "reference": middle[0],
        "new": middle[1],
        "shift_in_sd": (middle[1] - middle[0]) / spread if spread > 0 else None,
    }


def _rules(options: DriftOptions) -> dict[str, Any]:
    return {
        "test": f"max-T over features of shift (normal scores) and {SPREAD} spread (ranks), by permutation",
        "reference": options.reference,
        "by": options.by,
        "alpha": options.alpha,
        "looks": options.looks,
        "level of a look": options.level,
        "severity": "largest shift of a median, in robust standard deviations: below 0.5 slight, below 1 moderate",
    }
