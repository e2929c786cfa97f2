"""The comparison on real images: plain nnU-Net and ours on hippocampus and Sunnybrook.

    python benchmarks/real.py ../shared/data            # or: make real DATA=../shared/data

DATA holds hippocampus.tar.gz and sunnybrook.tar.gz (nnU-Net raw layout). Both sides train on the same converted
data, the same reduced plan, the same fold and the same schedule, one after the other; neither mirrors at inference.
Plain nnU-Net is its stock loss and network (nnUNetTrainerPlainCPU). Every mask is scored by the same function,
against nnU-Net's ground truth, fold 0. A finished step is not repeated. Writes benchmarks/results/real.md and
.json, where a data set that is not run this time keeps its last numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from nnunet_prompt.data.nifti import read_label_volume
from nnunet_prompt.evaluation.folders import evaluate_folders
from nnunet_prompt.evaluation.metrics import Scores, score_masks
from nnunet_prompt.extension import environment
from nnunet_prompt.training.validation import simulated_prompts

RESULTS = Path(__file__).parent / "results"
CONFIGURATION, PLANS = "3d_fullres", "nnUNetPromptCPUPlans"
PLAIN, PROMPTED = "nnUNetTrainerPlainCPU", "nnUNetTrainerPromptCPU"
METRICS = {"Dice": "dice", "HD (mm)": "hd_mm", "HD95 (mm)": "hd95_mm"}
# the row's name, the trainer, and where nnU-Net's fold folder has its masks
ROWS = (
    ("plain nnU-Net", PLAIN, "validation"),
    ("ours, no prompt", PROMPTED, "validation"),
    ("ours, points", PROMPTED, "validation/points"),
    ("ours, box", PROMPTED, "validation/box"),
    ("ours, box + points", PROMPTED, "validation/box+points"),
    ("ours, mask", PROMPTED, "validation/mask"),
)
ROUGH = "the rough mask itself"


@dataclass(frozen=True, slots=True)
class Task:
    """One data set: its archive, its nnU-Net id, how long to train and how to find the patient of a case."""

    archive: str
    dataset_id: int
    name: str
    iterations: int
    patient_regex: str | None = None

    @property
    def folder(self) -> str:
        return f"Dataset{self.dataset_id:03d}_{self.name}"


TASKS = (
    Task("hippocampus", 801, "Hippocampus", 1200),
    Task("sunnybrook", 802, "SunnybrookLV", 700, r"^(.+)_e[ds]$"),
)


def main() -> int:
    """Runs the comparison and writes its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "data", type=Path, help="folder with hippocampus.tar.gz and sunnybrook.tar.gz"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("out/real"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--tasks", nargs="+", default=[t.archive for t in TASKS])
    args = parser.parse_args()
    console = Console()
    record = RESULTS / "real.json"
    results: dict[str, Any] = json.loads(record.read_text()) if record.is_file() else {}
    for task in (t for t in TASKS if t.archive in args.tasks):
        archive = args.data / f"{task.archive}.tar.gz"
        if not archive.is_file():
            console.print(f"{archive}: not found, {task.archive} is left out", style="yellow")
            continue
        prepare(task, archive, args.output, console)
        for seed in args.seeds:
            for trainer in (PROMPTED, PLAIN):
                train(task, trainer, seed, args.output, console)
        results[task.archive] = measure(task, args.seeds, args.output)
    if not results:
        console.print(f"nothing to compare in {args.data}", style="red")
        return 1
    text = report(results)
    console.print(text, markup=False)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "real.md").write_text(text)
    record.write_text(json.dumps(results, indent=2) + "\n")
    return 0


def prepare(task: Task, archive: Path, output: Path, console: Console) -> None:
    """Unpacks, converts, plans and preprocesses one data set."""
    source = output / "source" / task.archive
    if not (source / "dataset.json").is_file():
        with tarfile.open(archive) as tar:
            tar.extractall(output / "source", filter="data")
    variables = folders(output, 0)
    plans = Path(variables["nnUNet_preprocessed"]) / task.folder / f"{PLANS}.json"
    if plans.is_file():
        return
    regex = ["--patient-regex", task.patient_regex] if task.patient_regex else []
    number = str(task.dataset_id)
    for command in (
        [
            "nnunet-prompt",
            "convert",
            "nnunet",
            str(source),
            "-d",
            number,
            "--name",
            task.name,
            *regex,
        ],
        [
            "nnUNetv2_plan_and_preprocess",
            "-d",
            number,
            "-c",
            CONFIGURATION,
            "-np",
            "1",
            "-npfp",
            "1",
        ],
        ["nnunet-prompt", "plan", "-d", number, "-o", PLANS],
    ):
        run(command, variables, console)


def train(task: Task, trainer: str, seed: int, output: Path, console: Console) -> None:
    """Trains and validates fold 0, or goes on where it stopped."""
    fold = fold_folder(task, trainer, seed, output)
    if (fold / "validation" / "summary.json").is_file():
        return
    command = [
        "nnUNetv2_train",
        str(task.dataset_id),
        CONFIGURATION,
        "0",
        "-tr",
        trainer,
        "-p",
        PLANS,
    ]
    if (fold / "checkpoint_final.pth").is_file():
        command.append("--val")
    elif (fold / "checkpoint_latest.pth").is_file():
        command.append("--c")
    run([*command, "-device", "cpu"], folders(output, seed) | schedule(task, seed), console)


def schedule(task: Task, seed: int) -> dict[str, str]:
    """What makes a training of the task's length repeatable: a seed, and one process."""
    return {
        "nnUNet_prompt_iterations": str(task.iterations),
        "nnUNet_prompt_seed": str(seed),
        "nnUNet_n_proc_DA": "0",
    }


def measure(task: Task, seeds: list[int], output: Path) -> dict[str, Any]:
    """Per row and metric the mean over structures, for each seed."""
    truth = Path(folders(output, 0)["nnUNet_preprocessed"]) / task.folder / "gt_segmentations"
    rows: dict[str, Any] = {}
    for name, trainer, masks in ROWS:
        rows[name] = {metric: [] for metric in METRICS}
        for seed in seeds:
            predictions = fold_folder(task, trainer, seed, output) / masks
            scores = evaluate_folders(held_out(truth, predictions, output), predictions)
            for metric, key in METRICS.items():
                values = [label[key] for label in scores["mean"].values() if label[key] is not None]
                rows[name][metric].append(float(np.mean(values)))
    rows[ROUGH] = rough_masks(task, output)
    return {"iterations": task.iterations, "seeds": seeds, "rows": rows}


def rough_masks(task: Task, output: Path) -> dict[str, list[float]]:
    """The scores of the corrupted masks that the row "ours, mask" starts from; they are the same for every seed."""
    scores: dict[int, list[Scores]] = {}
    for path in sorted((output / "truth" / task.folder).glob("*.nii.gz")):
        volume = read_label_volume(path)
        truth = volume.array.transpose(2, 1, 0)  # as nnU-Net's reader hands it to the validation
        masks = {int(v): truth == v for v in np.unique(truth) if v}
        spacing = volume.spacing_mm[::-1]
        case = path.name.removesuffix(".nii.gz")
        for label, prompts in simulated_prompts(masks, "mask", case).items():
            rough = prompts.mask
            assert rough is not None  # that is what "mask" means
            scores.setdefault(label, []).append(
                score_masks(masks[label], rough, spacing_mm=spacing)
            )
    return {
        metric: [
            float(np.mean([np.nanmean([getattr(s, key) for s in v]) for v in scores.values()]))
        ]
        for metric, key in METRICS.items()
    }


def held_out(truth: Path, predictions: Path, output: Path) -> Path:
    """A folder with the truth of just the predicted cases: the others were trained on."""
    names = sorted(p.name for p in predictions.glob("*.nii.gz"))
    folder = output / "truth" / truth.parent.name
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        link = folder / name
        if not link.exists():
            link.symlink_to((truth / name).resolve())
    return folder


def report(results: dict[str, Any]) -> str:
    """The tables as Markdown: mean over the seeds, and half their range where there are several."""
    lines = [
        "# Plain nnU-Net and ours on real images",
        "",
        "`make real DATA=../shared/data`; fold 0, reduced plan (features 8, 16, 32, 64; batch 2), AdamW 3e-3, CPU, no"
        " mirroring at inference; mean over the seeds ± half their range. Prompts are drawn"
        " from the truth: in every slice the tight box, one to five points per structure, points of the other"
        " structures as negatives; `mask` is a corrupted copy of the truth.",
        "",
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}.",
    ]
    for task, result in results.items():
        seeds = ", ".join(map(str, result["seeds"]))
        lines += ["", f"## {task}, {result['iterations']} iterations, seed {seeds}", ""]
        lines += ["| | " + " | ".join(METRICS) + " |", "|---|" + "---:|" * len(METRICS)]
        for name, metrics in result["rows"].items():
            cells = [_cell(metrics[m], 4 if m == "Dice" else 2) for m in METRICS]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(values: list[float], digits: int) -> str:
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{np.mean(values):.{digits}f} ± {(max(values) - min(values)) / 2:.{digits}f}"


def folders(output: Path, seed: int) -> dict[str, str]:
    """nnU-Net's folders; each seed has results of its own."""
    return {
        "nnUNet_raw": str((output / "nnUNet_raw").resolve()),
        "nnUNet_preprocessed": str((output / "nnUNet_preprocessed").resolve()),
        "nnUNet_results": str((output / f"nnUNet_results_seed{seed}").resolve()),
        "nnUNet_def_n_proc": "1",
        "nnUNet_n_proc_DA": "1",  # nnU-Net's planner cannot do with 0, training in one process wants it
        "nnUNet_compile": "f",
        **environment(),
    }


def fold_folder(task: Task, trainer: str, seed: int, output: Path) -> Path:
    """nnU-Net's folder of fold 0."""
    results = Path(folders(output, seed)["nnUNet_results"])
    return results / task.folder / f"{trainer}__{PLANS}__{CONFIGURATION}" / "fold_0"


def run(command: list[str], variables: dict[str, str], console: Console) -> None:
    """Runs a command of this environment, shown first; ends the comparison where it fails."""
    console.print("$ " + " ".join(command), style="bold", markup=False)
    program = Path(sys.executable).parent / command[0]
    done = subprocess.run([str(program), *command[1:]], env=os.environ | variables, check=False)
    if done.returncode:
        raise SystemExit(
            f"{command[0]} failed with exit code {done.returncode}; run it again to go on"
        )


if __name__ == "__main__":
    raise SystemExit(main())
