"""The tables of the comparison on real images, and the bars that they have to reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from harness import header, machine, mean_and_range, row
from real_measure import NONE, PLAIN, PLAIN_GATED, PLAIN_LARGEST, ROUGH, means
from real_robust import CLEAN, CLICKS, EXACT, click_row

METRICS = {"Dice": 4, "HD95 (mm)": 2}
DRAWS, SEED = 10_000, 0
BOTH = "ours, box + points in slices"
FEW_BARS = {
    "one click": 0.75,
    "three clicks": 0.80,
    "3D box": 0.83,
    "box in one slice": 0.81,
    "scribble in three slices": 0.80,
}
IN_README = (PLAIN, NONE, "ours, box in one slice", "ours, scribble in three slices", BOTH)


def report(results: Mapping[str, Any], *, ablation: bool = False) -> str:
    """Markdown: per data set and length every row with its difference to plain nnU-Net, and the bars."""
    lines = [
        "# Ablations on real images" if ablation else "# Plain nnU-Net and ours on real images",
        "",
        "`make real DATA=../shared/data LENGTHS='short long'`; fold 0, reduced plan (features 8, 16, 32, 64; batch 2),"
        " AdamW 3e-3, CPU, no mirroring at inference; mean over the seeds ± half their range. The difference to plain"
        " nnU-Net is that of Dice, paired over cases (mean of the seeds), with its 95 % interval (10,000 bootstrap"
        " draws of cases). Prompts are drawn from the reference as `training.validation_prompts` documents; rows"
        " *in slices* are gated: a label may only appear in the slices where it is prompted, and plain nnU-Net, gated"
        " the same way, stands beside them. `mask` is a corrupted copy of the reference. Our decoding keeps the largest"
        " component of a structure that is one in every training case (with prompts those that they touch); plain"
        " nnU-Net with the same postprocessing stands below it.",
        "",
        machine() + ".",
    ]
    for name, result in results.items():
        seeds = ", ".join(map(str, result["seeds"]))
        lines += ["", f"## {name}: {result['iterations']} iterations, seeds {seeds}", ""]
        lines += [result["note"], ""] if "note" in result else []
        lines += header("", *METRICS, "Dice, difference to plain")
        rows, robust = result["rows"], result.get("robust", {})
        lines += [row(r, *_cells(found), _difference(rows, r)) for r, found in rows.items()]
        lines += _robust_table(robust)
        if not ablation:
            lines += ["", *header("what must hold", "asked", "found", "", left=(0, 3))]
            for text, asked, value in [*bars(name, rows), *robust_bars(name, robust)]:
                kept = "met" if value >= asked - 1e-9 else f"**missed by {asked - value:.4f}**"
                lines.append(row(text, f"{asked:.4f}", f"{value:.4f}", kept))
    return "\n".join(lines) + "\n"


def bars(name: str, rows: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """The bars of these rows: words, the least Dice, and the Dice found."""
    if name not in (
        "sunnybrook, long",
        "sunnybrook, short",
        "hippocampus, long",
        "hippocampus, short",
    ):
        return []
    long, heart = name.endswith("long"), name.startswith("sunnybrook")
    plain, none, both = (dice(rows, row) for row in (PLAIN, NONE, BOTH))
    post = dice(rows, PLAIN_LARGEST) if PLAIN_LARGEST in rows else plain
    lost = {"sunnybrook, short": "0.10", "hippocampus, short": "0.015"}.get(name, "0.01")
    found = [
        (f"none: plain - {lost}", plain - float(lost), none),
        (f"none: plain's largest component - {lost}", post - float(lost), none),
    ]
    if long:
        more, points = "0.05" if heart else "0.01", dice(rows, "ours, points in slices")
        found.append((f"points in slices: plain + {more}", plain + float(more), points))
    if heart:
        least = "0.93" if long else "0.92"
        found.append((f"box + points: {least}", float(least), both))
    else:
        more = "0.03" if long else "0.025"
        found.append((f"box + points: plain + {more}", plain + float(more), both))
    if long and heart:
        gained = min(plain + 0.09, plain + (1 - plain) / 2)
        found.append(("box + points: plain + 0.09 or half of its error gone", gained, both))
    elif long:
        found += [(kind, least, dice(rows, f"ours, {kind}")) for kind, least in FEW_BARS.items()]
    if long:
        mask = dice(rows, "ours, mask")
        found.append(("mask: itself + 0.12", dice(rows, ROUGH) + 0.12, mask))
        found.append(("mask: not below none", none, mask))
    return found


def robust_bars(name: str, rows: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """The bars of wrong prompts and of corrective clicks; none where they were not measured."""
    if not rows or not name.endswith("long"):
        return []
    exact, clean = dice(rows, EXACT), dice(rows, CLEAN)
    asked = [(row, exact - 0.01) for row in rows if "off by" in row]
    asked += [(row, 0.95 * clean) for row in rows if row.startswith("mask, ") and row != CLEAN]
    found = [(row, least, dice(rows, row)) for row, least in asked]
    if name == "hippocampus, long":
        clicks = [dice(rows, click_row(k, feedback=True)) for k in range(1, CLICKS + 1)]
        for k in range(1, 4):
            found.append((f"corrective click {k}: above the mask before", clicks[k - 1], clicks[k]))
        found.append(("after five corrective clicks: 0.87", 0.87, clicks[5]))
    return found


def _robust_table(rows: Mapping[str, Any]) -> list[str]:
    """Rows that are compared among themselves: wrong prompts with right ones, each click with the one before."""
    if not rows:
        return []
    head = header("wrong prompts, and clicks on the largest error", *METRICS)
    return ["", *head, *(row(name, *_cells(seeds)) for name, seeds in rows.items())]


def dice(rows: Mapping[str, Any], row: str) -> float:
    """The mean Dice of a row over cases and seeds."""
    return float(np.mean([means(cases, "Dice") for cases in rows[row].values()]))


def paired(rows: Mapping[str, Any], row: str, other: str) -> tuple[float, float, float]:
    """Mean difference of Dice over cases, and its 95 % bootstrap interval."""
    cases = sorted(next(iter(rows[row].values())))
    sides = [
        np.array([[seed[case]["Dice"] for case in cases] for seed in rows[one].values()]).mean(0)
        for one in (row, other)
    ]
    apart = sides[0] - sides[1]
    rng = np.random.default_rng(SEED)
    draws = apart[rng.integers(0, len(apart), (DRAWS, len(apart)))].mean(1)
    low, high = np.percentile(draws, (2.5, 97.5))
    return float(apart.mean()), float(low), float(high)


def _difference(rows: Mapping[str, Any], row: str) -> str:
    if row in (PLAIN, ROUGH):
        return ""
    other = PLAIN_GATED if "in slices" in row and PLAIN_GATED in rows else PLAIN
    if any(list(a) != list(b) for a in rows[row].values() for b in rows[other].values()):
        return f"{dice(rows, row) - dice(rows, other):+.4f} (of means, not paired)"
    mean, low, high = paired(rows, row, other)
    gated = " (gated)" if other == PLAIN_GATED else ""
    return f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]{gated}"


def _cells(seeds: Mapping[str, Any]) -> list[str]:
    return [_cell(seeds, metric, digits) for metric, digits in METRICS.items()]


def _cell(seeds: Mapping[str, Any], metric: str, digits: int) -> str:
    return mean_and_range([means(cases, metric) for cases in seeds.values()], digits)


def readme_sentence(results: Mapping[str, Any]) -> str:
    """The sentence below the table of README and docs/gains.md: the long trainings against plain nnU-Net."""
    long = {name.split(",")[0]: r["rows"] for name, r in results.items() if name.endswith("long")}
    told = []
    for title, kind in (("without prompts", NONE), ("with box and points in every slice", BOTH)):
        gains = (
            f"{dice(rows, kind) - dice(rows, PLAIN):+.3f} ({name})" for name, rows in long.items()
        )
        told.append(f"{title} {' and '.join(gains)}")
    return f"After the long trainings our Dice minus that of plain nnU-Net is {', '.join(told)}.\n"


def readme_table(results: Mapping[str, Any]) -> str:
    """The table of README: the long trainings, and the rows that most people ask for."""
    long = {name: result for name, result in results.items() if name.endswith("long")}
    return gains_table(long, IN_README)


def gains_table(results: Mapping[str, Any], names: Sequence[str] = ()) -> str:
    """The table of docs/gains.md: Dice and HD95 of each row, a pair of columns per data set and length.

    `names` chooses rows; none takes all.
    """
    lines = header("", *(h for name in results for h in (f"{name}: Dice", "HD95 (mm)")))
    found_names = dict.fromkeys(name for result in results.values() for name in result["rows"])
    for name in (one for one in found_names if not names or one in names):
        cells: list[str] = []
        for result in results.values():
            found = result["rows"].get(name)
            digits = zip(METRICS, (3, 2), strict=True)
            cells += ["", ""] if found is None else [_cell(found, m, d) for m, d in digits]
        lines.append(row(name, *cells))
    return "\n".join(lines) + "\n"
