"""Prompts on structures that were never named: a structure, or a whole data set, left out of the training.

    python benchmarks/left_out.py ../shared/data

A structure: hippocampus with the posterior part taken out of the label maps (it is background) trains a network that
knows the anterior part alone; both are then pointed at in held-out cases. A data set: the networks of
benchmarks/real.py (short, seed 0), each on the other's held-out cases. Writes benchmarks/results/left_out.md and .json.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import harness
from harness import HeldOut, Record, header, label_only, row
from real import PROMPTED, TASKS, Task, Training, folders, prepare, train
from real_measure import KINDS
from rich.console import Console

HIPPOCAMPUS, SUNNYBROOK = TASKS
ANTERIOR = replace(HIPPOCAMPUS, archive="hippocampus_anterior", dataset_id=803, name="Anterior")
STRUCTURES = {"anterior": 1, "posterior": 2}


def main() -> int:
    """Trains the missing networks, measures, and writes the tables."""
    parser = harness.parser(__doc__, data="folder of the archives of real.py", output="out/real")
    parser.add_argument("-n", "--cases", type=int, default=16, help="held-out cases, at most")
    args = parser.parse_args()
    console = Console()
    for task in TASKS:
        prepare(task, args.data / f"{task.archive}.tar.gz", args.output, console)
    source, target = (args.output / "source" / t.archive for t in (HIPPOCAMPUS, ANTERIOR))
    label_only(source, target, name="anterior", value=STRUCTURES["anterior"])
    prepare(ANTERIOR, target.with_suffix(".tar.gz"), args.output, console)
    models = {
        task.archive: Training(task, PROMPTED, "short", 0, args.output)
        for task in (*TASKS, ANTERIOR)
    }
    for training in models.values():
        train(training, console)
    results: dict[str, dict[str, float]] = {}
    for name, label in STRUCTURES.items():
        for trained in (ANTERIOR, HIPPOCAMPUS):
            kind = "never named" if (trained, name) == (ANTERIOR, "posterior") else "named"
            fold = models[trained.archive].fold
            results[f"{name}, {kind}; trained on {trained.archive}"] = measure(
                fold, HIPPOCAMPUS, args, label
            )
    for trained, asked in ((SUNNYBROOK, HIPPOCAMPUS), (HIPPOCAMPUS, SUNNYBROOK)):
        fold = models[trained.archive].fold
        results[f"{asked.archive}, never seen; trained on {trained.archive}"] = measure(
            fold, asked, args
        )
    Record("left_out").publish(results, report(results, args.cases))
    return 0


def measure(
    fold: Path, asked: Task, args: argparse.Namespace, label: int | None = None
) -> dict[str, float]:
    """Mean Dice over held-out cases of one label, or of all, by kind of prompt."""
    predictors = {"": harness.predictor(fold.parent, folds=(0,))}
    variables = folders(args.output, "short", 0)
    base = Path(variables["nnUNet_preprocessed"]) / asked.folder
    images = Path(variables["nnUNet_raw"]) / asked.folder / "imagesTr"
    held_out = json.loads((base / "splits_final.json").read_text())[0]["val"][: args.cases]
    cases = HeldOut.each(held_out, images, base / "gt_segmentations")
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for kind, _, scores in harness.answers(predictors, cases, KINDS, label):
        found[kind] += scores
    return {kind: round(fmean(values), 4) for kind, values in found.items()}


def report(results: dict[str, Any], cases: int) -> str:
    """The tables as Markdown."""
    lines = [
        "# Pointing at what was never named",
        "",
        f"`python benchmarks/left_out.py ../shared/data`; up to {cases} held-out cases, reduced plans, short trainings,"
        " seed 0; mean Dice, not gated to slices.",
        "",
        *header("pointed at", *KINDS),
        *(row(name, *(f"{one[k]:.3f}" for k in KINDS)) for name, one in results.items()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
