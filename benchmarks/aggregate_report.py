"""The tables of `aggregate.py` as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from statistics import fmean
from typing import Any

from aggregate_phantoms import (
    ABDOMEN_MM,
    HEART_MM,
    OWN,
    POOR,
    RICH,
    SHIFTED,
    SHIFTS,
    TASKS,
    TEST,
)
from harness import header, machine, mean_and_range, row

KINDS = ("none", "one click")
GAIN = 0.01  # of mean Dice out of distribution: what experts must bring to be on by default
BASE, EXPERTS = "one network for all", "experts"
Wanted = Callable[[Mapping[str, Any]], bool]


def report(results: Mapping[str, Any]) -> str:
    """The page from what `aggregate.main` measured."""
    rows = results["rows"]
    tasks = "; ".join(
        f"{t.name} ({t.group}, {t.site.modality}, {t.cases} training cases)" for t in TASKS
    )
    lines = [
        "# One network for all, one per group, one per task, or experts",
        "",
        f"`make aggregate`; four phantom tasks: {tasks}. Features 8, 16, 32, patch 24 x 32 x 32, batch 2, AdamW 3e-3,"
        f" one thread; {results['iterations']} iterations of each row in all, which several networks share evenly;"
        " cases are drawn as `convert unify` weighs them; the same heads, plan, schedule and seeds in every row."
        " Experts: four of rank 4 on each convolution, mixed by a router that sees statistics of the image alone.",
        "",
        f"Held out: {TEST} cases of each task of the training centre (own), {SHIFTED} of each shift: another contrast,"
        " 2.5 times the noise, or both with twice the receive field (shifted). A network is asked for the structure of"
        f" the case alone. Rich tasks have {RICH} training cases, poor ones {POOR}. Mean Dice over the cases of a"
        " task, then over tasks, then over seeds ± half their range.",
        "",
        f"{machine()}. Voxels are {HEART_MM} mm in the heart and {ABDOMEN_MM} mm in the abdomen; small phantoms, short"
        " trainings: the order of the rows is what this shows, not what a long training on patients reaches.",
    ]
    for kind in KINDS:
        lines += ["", f"## {'Without prompts' if kind == 'none' else 'With one click'}", ""]
        lines += header("", *(f"{where}, {who}" for where, who, _ in columns()))
        for name, seeds in rows.items():
            lines.append(row(name, *(_cell(seeds, kind, wanted) for *_, wanted in columns())))
    lines += ["", "## By shift, all tasks", ""]
    lines += header("", *(f"{kind}, {shift}" for kind in KINDS for shift in SHIFTS))
    for name, seeds in rows.items():
        cells = [_cell(seeds, kind, _of_centre(shift)) for kind in KINDS for shift in SHIFTS]
        lines.append(row(name, *cells))
    lines += [
        "",
        "## Cost",
        "",
        *header("", "seeds", "CPU s of training and validation, mean over seeds"),
    ]
    for name, seeds in rows.items():
        seconds = [sum(one["cpu seconds"].values()) for one in seeds.values()]
        lines.append(row(name, len(seeds), f"{fmean(seconds):.0f}"))
    return "\n".join([*lines, *verdict(rows), *_missing(results)]) + "\n"


def columns() -> Iterator[tuple[str, str, Wanted]]:
    """The columns of a table: where, of which tasks, and which cases count."""
    sizes = {"rich": {RICH}, "poor": {POOR}, "mean": {RICH, POOR}}
    for where in ("own", "shifted"):
        for who, numbers in sizes.items():
            names = {t.name for t in TASKS if t.cases in numbers}
            yield where, who, _of(names, own=where == "own")


def mean_dice(cases: Mapping[str, Mapping[str, Any]], kind: str, wanted: Wanted) -> float:
    """The mean over the tasks of the mean over their cases that count."""
    by_task: dict[str, list[float]] = {}
    for case in cases.values():
        if wanted(case):
            by_task.setdefault(case["task"], []).append(case[kind])
    return fmean(fmean(values) for values in by_task.values())


def verdict(rows: Mapping[str, Any]) -> list[str]:
    """What experts gain out of distribution over one network for all, in each seed that both have."""
    both = sorted(rows.get(BASE, {}).keys() & rows.get(EXPERTS, {}).keys())
    if not both:
        return []
    lines = ["", "## Experts or not", ""]
    lines += header("shifted, mean", "seed", BASE, EXPERTS, "gain", left=(0, 1))
    gains: dict[str, list[float]] = {seed: [] for seed in both}
    shifted = _of({t.name for t in TASKS}, own=False)
    for kind in KINDS:
        for seed in both:
            base, ours = (mean_dice(rows[n][seed]["dice"], kind, shifted) for n in (BASE, EXPERTS))
            gains[seed].append(ours - base)
            lines.append(row(kind, seed, f"{base:.4f}", f"{ours:.4f}", f"{ours - base:+.4f}"))
    of_seed = [fmean(values) for values in gains.values()]
    lines.append(row("mean of all", "", "", "", f"{fmean(of_seed):+.4f}"))
    enough = fmean(of_seed) >= GAIN and min(of_seed) > 0
    kept = "could be on by default" if enough else "stay off unless a trainer names them"
    asked = f"Asked for: a gain of {GAIN} mean Dice out of distribution over all seeds, and above 0 in each"
    return [*lines, "", f"{asked}; experts {kept}."]


def _of(names: set[str], *, own: bool) -> Wanted:
    return lambda case: case["task"] in names and (case["centre"] == OWN) == own


def _of_centre(centre: str) -> Wanted:
    return lambda case: bool(case["centre"] == centre)


def _cell(seeds: Mapping[str, Any], kind: str, wanted: Wanted) -> str:
    return mean_and_range([mean_dice(one["dice"], kind, wanted) for one in seeds.values()], 3)


def _missing(results: Mapping[str, Any]) -> list[str]:
    return ["", f"Not measured: {'; '.join(results['missing'])}."] if results["missing"] else []
