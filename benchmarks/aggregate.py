"""Aggregation: one network for all tasks, one per clinical group, one per task, and experts, at equal total cost.

    python benchmarks/aggregate.py

Four phantom tasks (aggregate_phantoms.py) in one data set: two with many cases, two with few. All rows have the same
heads, plan, schedule, seeds and iterations in all; a row of several networks shares these out evenly. The cases of a
task are found by the marks of the raw data set (nnunet_prompt_cases.json). Held-out cases are of the training centre,
or shifted in contrast, noise or both, and are answered without prompts and with one click. A finished step is not
repeated. Writes benchmarks/results/aggregate.md and .json.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import harness
from aggregate_phantoms import TABLE, TASKS, write
from aggregate_report import report
from harness import CONFIGURATION, HeldOut, Record
from rich.console import Console
from small_data import SmallData, one_thread

from nnunet_prompt.data.side_file import read_side_file

DATASET, NAME = 811, "Aggregate"
FOLDER = f"Dataset{DATASET:03d}_{NAME}"
PLANS = "nnUNetPromptAggregatePlans"
FEATURES, PATCH = "8,16,32", (24, 32, 32)
SHARED, EXPERTS = "nnUNetTrainerPromptAggregate", "nnUNetTrainerPromptAggregateExperts"
ONE, CLICK = "none", "one click"
TASK_NAMES = tuple(task.name for task in TASKS)
GROUPS = {
    group: tuple(task.name for task in TASKS if task.group == group)
    for group in dict.fromkeys(task.group for task in TASKS)
}
# the tasks of each network that is trained, in the order of its fold
PARTS = (TASK_NAMES, *GROUPS.values(), *((name,) for name in TASK_NAMES))
ROWS: Mapping[str, tuple[str, tuple[int, ...]]] = {  # trainer and folds
    "one network for all": (SHARED, (0,)),
    "one per clinical group": (SHARED, tuple(range(1, 1 + len(GROUPS)))),
    "one per task": (SHARED, tuple(range(1 + len(GROUPS), len(PARTS)))),
    "experts": (EXPERTS, (0,)),
}


@dataclass(frozen=True, slots=True)
class Network:
    """One training: of a row, a fold and a seed."""

    row: str
    fold: int
    seed: int
    iterations: int
    output: Path

    @property
    def folder(self) -> Path:
        results = Path(self.variables()["nnUNet_results"])
        trainer = ROWS[self.row][0]
        return results / FOLDER / f"{trainer}__{PLANS}__{CONFIGURATION}" / f"fold_{self.fold}"

    def variables(self) -> dict[str, str]:
        results = f"nnUNet_results_{self.row.replace(' ', '_')}_seed{self.seed}"
        return one_thread(self.output, results, iterations=self.iterations, seed=self.seed)


def main() -> int:
    """Trains and measures what is missing, and writes the tables after each row."""
    parser = harness.parser(__doc__, output="out/aggregate")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--iterations", type=int, default=480, help="of each row in all")
    parser.add_argument("--finished", action="store_true", help="only rows of earlier runs")
    args = parser.parse_args()
    console = Console()
    prepare(args.output, console)
    measured: dict[str, dict[str, Any]] = {}
    missing: list[str] = []
    for seed in args.seeds:
        for row in ROWS:
            path = args.output / "rows" / f"{row.replace(' ', '_')}_seed{seed}.json"
            if not path.is_file() and not args.finished:
                found = one_row(row, seed, args, console)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(found))
            if path.is_file():
                measured.setdefault(row, {})[str(seed)] = json.loads(path.read_text())
                publish(measured, missing, args)
            else:
                missing.append(f"{row}, seed {seed}")
    publish(measured, missing, args)
    return 0


def publish(measured: Mapping[str, Any], missing: Sequence[str], args: argparse.Namespace) -> None:
    """Writes the tables of what is measured so far."""
    results = {
        "iterations": args.iterations,
        "tasks": {
            t.name: {"group": t.group, "cases": t.cases, "modality": t.site.modality} for t in TASKS
        },
        "rows": measured,
        "missing": list(missing),
    }
    Record("aggregate").write(results, report(results))


def prepare(output: Path, console: Console) -> None:
    """Writes, plans and preprocesses the data set, and one split for each network that is trained."""

    def folds(raw: Path, cases: Sequence[str]) -> list[dict[str, list[str]]]:
        marks = read_side_file(raw)
        return splits({case: marks[case]["task"] for case in cases})

    small = SmallData(DATASET, NAME, PLANS, FEATURES, {"patch_size": list(PATCH)})
    small.prepare(output, write, folds, console)


def splits(tasks: Mapping[str, str]) -> list[dict[str, list[str]]]:
    """A fold for each of `PARTS` from the task of each case; the last case of a task is for nnU-Net's validation."""
    last = {name: max(case for case, own in tasks.items() if own == name) for name in TASK_NAMES}
    return [
        {
            "train": sorted(c for c, own in tasks.items() if own in part and c != last[own]),
            "val": [last[part[0]]],
        }
        for part in PARTS
    ]


def one_row(row: str, seed: int, args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Trains the networks of a row and measures each on the tasks that it was trained on."""
    trainer, folds = ROWS[row]
    found: dict[str, Any] = {"dice": {}, "cpu seconds": {}}
    for fold in folds:
        network = Network(row, fold, seed, args.iterations // len(folds), args.output)
        command = f"{DATASET} {CONFIGURATION} {fold} -p {PLANS} -tr {trainer}"
        began = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        harness.train(network.folder, command, network.variables(), console)
        seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - began
        found["cpu seconds"][", ".join(PARTS[fold])] = round(seconds, 1)
        found["dice"] |= measure(network)
    return found


def measure(network: Network) -> dict[str, dict[str, Any]]:
    """Of each held-out case its task, centre, and Dice without prompts and with one click."""
    from nnunet_prompt.evaluation.metrics import dice
    from nnunet_prompt.prompts.types import CasePrompts
    from nnunet_prompt.training.validation_prompts import simulated_prompts

    raw = Path(network.variables()["nnUNet_raw"]) / FOLDER
    marks = read_side_file(raw)
    names = sorted(p.name.removesuffix(".nii.gz") for p in raw.glob("labelsTs/*.nii.gz"))
    wanted = [n for n in names if marks[n]["task"] in PARTS[network.fold]]
    predictor = harness.predictor(network.folder.parent, folds=(network.fold,))
    found = {}
    for case in HeldOut.each(wanted, raw / "imagesTs", raw / "labelsTs"):
        task, centre = marks[case.name]["task"], marks[case.name]["centre"]
        label = TABLE.find(task).label
        truth = {label: case.masks[label]}
        plain = predictor.predict_structures([case.image], [task]) == label
        sets = simulated_prompts(
            truth, CLICK, case.name, slice_axis=2, spacing=case.image.spacing_mm
        )
        clicked = predictor.answer(predictor.place([case.image]), CasePrompts(sets)).labels
        scores = {ONE: dice(plain, truth[label]), CLICK: dice(clicked == label, truth[label])}
        found[case.name] = {"task": task, "centre": centre, **scores}
    return found


if __name__ == "__main__":
    raise SystemExit(main())
