"""The tables of `task_vector.py` as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from harness import header, machine, mean_and_range, row

GAIN = 0.05  # what must hold: with three supports, over the atlas and over no support
SHOTS = (1, 3, 8)
ASKED = 3


def report(results: Mapping[str, Any]) -> str:
    """The page from what `task_vector.main` measured."""
    rows, tasks = results["rows"], results["tasks"]
    kinds = list(next(iter(next(iter(rows.values())).values()))["dice"])
    left_out = [kind for kind in kinds if not kind.startswith("known structure")]
    lines = [
        "# Task vectors: structures that a network was never taught",
        "",
        f"`python benchmarks/task_vector.py`; four phantom tasks, one network with supports, {results['iterations']}"
        " iterations (features 8, 16, 32; patch 24 x 32 x 32; batch 4), CPU, no mirroring. Of each task one structure"
        " is left out; it is background in training. Mean Dice of it in"
        f" {results['test']} held-out cases without any prompt. *Task vector*: `nnunet-prompt learn --kind vector`, no"
        " training. *Atlas*: the nearest of the same cases, rigidly aligned; *as prompt*: its mask as the network's"
        " mask prompt. *Random place*: each mask rolled to a random place; *wrong structure*: the masks of a known"
        f" one; both with {ASKED} cases. Rows with one and three cases are means of two draws.",
        "",
        machine(),
        "",
        *header("", *(f"{name} ({tasks[name]['task']})" for name in rows), "mean"),
        *(_row(kind, rows) for kind in left_out),
        "",
        "For comparison, a structure that was taught, by three supports and by its own head:",
        "",
        *header("", *(f"{_first(rows[name])['known']}" for name in rows), "mean"),
        *(_row(kind, rows) for kind in kinds if kind not in left_out),
        "",
        *header("what must hold", "asked", "found", "", left=(0, 3)),
        *_held(rows),
    ]
    return "\n".join(lines) + "\n"


def _first(seeds: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(iter(seeds.values()))
    return found


def _row(kind: str, rows: Mapping[str, Any]) -> str:
    values = [[one["dice"][kind] for one in seeds.values()] for seeds in rows.values()]
    means = [fmean(by_task) for by_task in zip(*values, strict=True)]
    return row(kind, *(mean_and_range(v, 3) for v in values), mean_and_range(means, 3))


def _held(rows: Mapping[str, Any]) -> list[str]:
    """The bars, on the mean over the structures and then over the seeds; and each structure."""

    def mean(kind: str, names: Any = rows) -> float:
        return fmean(one["dice"][kind] for name in names for one in rows[name].values())

    found = []
    for name, names in [("mean", list(rows)), *((name, [name]) for name in rows)]:
        vector = mean(f"task vector, k = {ASKED}", names)
        for other in (f"atlas, k = {ASKED}", "no support"):
            found.append(_line(f"{name}: {other} + {GAIN}", mean(other, names) + GAIN, vector))
    for control in ("random place", "wrong structure"):
        limit = mean("no support") + GAIN
        told = "met" if mean(control) <= limit else f"**missed by {mean(control) - limit:.3f}**"
        found.append(
            row(f"mean: {control} does not help", f"<= {limit:.3f}", f"{mean(control):.3f}", told)
        )
    return found


def _line(title: str, asked: float, value: float) -> str:
    told = "met" if value >= asked else f"**missed by {asked - value:.3f}**"
    return row(title, f"{asked:.3f}", f"{value:.3f}", told)
