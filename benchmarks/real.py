"""The comparison on real images: plain nnU-Net and ours on hippocampus and Sunnybrook, short and long trainings.

    python benchmarks/real.py ../shared/data            # or: make real DATA=../shared/data

DATA holds hippocampus.tar.gz and sunnybrook.tar.gz (nnU-Net raw layout). Both sides train on the same converted
data, the same reduced plan, the same fold and the same schedule, one after the other; neither mirrors at inference.
Plain nnU-Net is its stock loss and network (nnUNetTrainerPlainCPU). Every mask is scored by the same function,
against nnU-Net's ground truth, fold 0. A finished step is not repeated, a stopped one is resumed. Writes
benchmarks/results/real.md and .json, where what is not run this time keeps its last numbers.

`--trainer NAME` puts another trainer in the place of ours (an ablation, see benchmarks/trainers) and writes its rows to
benchmarks/results/ablations.md and .json beside those of ours.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import harness
from harness import CONFIGURATION, Record, run
from harness import CPU_PLANS as PLANS
from real_measure import measure
from real_report import report
from real_robust import robust_rows
from rich.console import Console

PLAIN, PROMPTED = "nnUNetTrainerPlainCPU", "nnUNetTrainerPromptCPU"
LENGTHS = ("short", "long")


@dataclass(frozen=True, slots=True)
class Task:
    """One data set: its archive, its nnU-Net id, iterations by length, and how to find the patient of a case."""

    archive: str
    dataset_id: int
    name: str
    iterations: dict[str, int] = field(hash=False)
    patient_regex: str | None = None
    jitter: int = 1  # voxels that prompts may be off without harm

    @property
    def folder(self) -> str:
        return f"Dataset{self.dataset_id:03d}_{self.name}"


TASKS = (
    Task("hippocampus", 801, "Hippocampus", {"short": 1200, "long": 4000}),
    Task("sunnybrook", 802, "SunnybrookLV", {"short": 700, "long": 3000}, r"^(.+)_e[ds]$", 2),
)


@dataclass(frozen=True, slots=True)
class Training:
    """One training of the comparison."""

    task: Task
    trainer: str
    length: str
    seed: int
    output: Path

    @property
    def fold(self) -> Path:
        """nnU-Net's folder of fold 0."""
        results = Path(folders(self.output, self.length, self.seed)["nnUNet_results"])
        model = f"{self.trainer}__{PLANS}__{CONFIGURATION}"
        return results / self.task.folder / model / "fold_0"

    def variables(self) -> dict[str, str]:
        """nnU-Net's folders, and what makes the training repeatable: its length, a seed, and one process."""
        return folders(self.output, self.length, self.seed) | {
            "nnUNet_prompt_iterations": str(self.task.iterations[self.length]),
            "nnUNet_prompt_seed": str(self.seed),
            "nnUNet_n_proc_DA": "0",
        }


def main() -> int:
    """Runs the comparison and writes its tables."""
    args = arguments()
    console = Console()
    ablation = args.trainer != PROMPTED
    record = Record("ablations" if ablation else "real")
    results = record.earlier()
    for task in (t for t in TASKS if t.archive in args.tasks):
        archive = args.data / f"{task.archive}.tar.gz"
        if not archive.is_file():
            console.print(f"{archive}: not found, {task.archive} is left out", style="yellow")
            continue
        prepare(task, archive, args.output, console)
        for length in args.lengths:
            key = f"{task.archive}, {length}" + (f", {args.trainer}" if ablation else "")
            results[key] = compare(task, length, args, console)
            record.publish(results, report(results, ablation=ablation))
    if not results:
        console.print(f"nothing to compare in {args.data}", style="red")
        return 1
    return 0


def compare(task: Task, length: str, args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Trains both sides with each seed; all their scores, and unless it is an ablation those of wrong prompts."""
    sides: dict[str, list[Training]] = {"plain": [], "ours": []}
    for seed in args.seeds:
        for side, trainer in (("ours", args.trainer), ("plain", PLAIN)):
            sides[side].append(Training(task, trainer, length, seed, args.output))
            train(sides[side][-1], console)
    places = folders(args.output, length, 0)
    truths = Path(places["nnUNet_preprocessed"]) / task.folder / "gt_segmentations"
    found: dict[str, Any] = {
        "iterations": task.iterations[length],
        "seeds": args.seeds,
        "trainer": args.trainer,
        "rows": measure(sides["plain"], sides["ours"], truths),
    }
    if args.trainer == PROMPTED:
        images = Path(places["nnUNet_raw"]) / task.folder / "imagesTr"
        found["robust"] = robust_rows(sides["ours"], images, truths, jitter=task.jitter)
    return found


def arguments() -> argparse.Namespace:
    data = "folder with hippocampus.tar.gz and sunnybrook.tar.gz"
    parser = harness.parser(__doc__, data=data, output="out/real")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    names = [t.archive for t in TASKS]
    parser.add_argument("--tasks", nargs="+", choices=names, default=names)
    parser.add_argument("--lengths", nargs="+", choices=LENGTHS, default=["short"])
    parser.add_argument("--trainer", default=PROMPTED, help="in the place of ours, for ablations")
    return parser.parse_args()


def prepare(task: Task, archive: Path, output: Path, console: Console) -> None:
    """Unpacks, converts, plans and preprocesses one data set."""
    source = harness.unpack(archive, output / "source", task.archive)
    variables = folders(output, "short", 0)
    plans = Path(variables["nnUNet_preprocessed"]) / task.folder / f"{PLANS}.json"
    if plans.is_file():
        return
    number, patients = str(task.dataset_id), task.patient_regex
    regex = f"--patient-regex {patients}".split() if patients else []
    convert = ["nnunet-prompt", "convert", "nnunet", str(source), "-d", number]
    for command in (
        [*convert, "--name", task.name, *regex],
        [*harness.PLAN_AND_PREPROCESS, number],
        ["nnunet-prompt", "plan", "-d", number, "-o", PLANS],
    ):
        run(command, variables, console)


def train(training: Training, console: Console) -> None:
    """Trains and validates fold 0, or resumes where it stopped."""
    options = f"{training.task.dataset_id} {CONFIGURATION} 0 -p {PLANS} -tr {training.trainer}"
    harness.train(training.fold, options, training.variables(), console)


def adapt_command(fold: Path, task: Task, start: Path) -> list[str]:
    """The command that makes of a finished training the checkpoint `start` for a training of `task`."""
    options = ["-d", str(task.dataset_id), "-p", PLANS, "-c", CONFIGURATION, "-o", str(start)]
    return ["nnunet-prompt", "weights", "adapt", str(fold / "checkpoint_final.pth"), *options]


def folders(output: Path, length: str, seed: int) -> dict[str, str]:
    """nnU-Net's folders; each length and seed has results of its own."""
    return harness.folders(output, f"nnUNet_results_{length}_seed{seed}") | harness.ONE_WORKER


if __name__ == "__main__":
    raise SystemExit(main())
