"""Prompt training from adapted weights beside training from scratch, both short, on hippocampus.

    python benchmarks/start.py ../shared/data           # or: make start DATA=../shared/data

DATA holds hippocampus.tar.gz. The source learns another organ, whole-heart phantoms, with the same trainer and with the
plans of the hippocampus, moved as nnU-Net's users move them before pre-training
(`nnUNetv2_move_plans_between_datasets`), but at a coarser spacing. `nnunet-prompt weights adapt` makes a start
checkpoint of it, and stock `nnUNetv2_train -pretrained_weights` trains from it, with the schedule, the data and the
seeds of the training from scratch. A finished step is not repeated. Writes benchmarks/results/start.md and .json.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import harness
import real
from harness import CONFIGURATION, CPU_PLANS, Record, machine, prompt_dices
from peft_report import dice_table
from rich.console import Console

from nnunet_prompt.training.validation_prompts import VALIDATION_KINDS

LENGTH = "short"
TARGET = real.Task("hippocampus", 801, "Hippocampus", {LENGTH: 300})
SOURCE = real.Task("whs", 805, "WholeHeartPhantom", {LENGTH: 600})
MOVED = "nnUNetPromptMovedPlans"
SCRATCH, ADAPTED = "from scratch", "from whole-heart phantoms"
PHANTOMS = 24
SPACING = 3.0  # mm, of the source: so its organs have the size of the hippocampus in voxels


def main() -> int:
    """Runs the comparison and writes its table."""
    args = harness.seed_arguments(__doc__, "hippocampus.tar.gz", "out/start", [0, 1])
    console = Console()
    real.prepare(TARGET, args.archive, args.output, console)
    starts = {SCRATCH: None, ADAPTED: pretrain(args.output, console)}
    for seed in args.seeds:
        for row, start in starts.items():
            train(row, start, seed, args.output, console)
    results = measure(list(starts), args.seeds, args.output)
    Record("start").publish(results, report(results))
    return 0


def pretrain(output: Path, console: Console) -> Path:
    """Trains the source with the plans of the target and adapts it; returns the start checkpoint."""
    task = SOURCE
    variables = real.Training(task, real.PROMPTED, LENGTH, 0, output).variables()
    start = output / f"start_{task.archive}.pth"
    if start.is_file():
        return start
    prepared = Path(variables["nnUNet_preprocessed"]) / task.folder / ".prepared"
    if not prepared.is_file():
        prepare_source(output, console)
        split_all_but_one(prepared.parent)
        prepared.touch()
    fold = Path(variables["nnUNet_results"]) / task.folder
    fold = fold / f"{real.PROMPTED}__{MOVED}__{CONFIGURATION}" / "fold_0"
    training = f"{task.dataset_id} {CONFIGURATION} 0 -tr {real.PROMPTED} -p {MOVED}"
    if not (fold / "checkpoint_final.pth").is_file():
        harness.train(fold, training, variables, console)
    harness.run(real.adapt_command(fold, TARGET, start), variables, console)
    return start


def prepare_source(output: Path, console: Console) -> None:
    """Makes, converts and preprocesses the data of the source with the plans of the target."""
    task, variables = SOURCE, real.folders(output, LENGTH, 0)
    folder = str(output / "source" / task.archive)
    number, target = str(task.dataset_id), str(TARGET.dataset_id)
    moves = ["-s", target, "-t", number, "-sp", CPU_PLANS, "-tp", MOVED]
    for command in (
        ["nnunet-prompt", "phantom", "whs", "-o", folder, "-n", str(PHANTOMS)],
        ["nnunet-prompt", "convert", "whs", f"{folder}/train", "-d", number, "--name", task.name],
        ["nnUNetv2_extract_fingerprint", "-d", number, "-np", "1"],
        ["nnUNetv2_plan_experiment", "-d", number],
        ["nnUNetv2_move_plans_between_datasets", *moves],
    ):
        harness.run(command, variables, console)
    plans = Path(variables["nnUNet_preprocessed"]) / task.folder / f"{MOVED}.json"
    moved = json.loads(plans.read_text())
    moved["configurations"][CONFIGURATION]["spacing"] = [SPACING] * 3
    plans.write_text(json.dumps(moved, indent=4))
    options = ["-plans_name", MOVED, "-c", CONFIGURATION, "-np", "1"]
    harness.run(["nnUNetv2_preprocess", "-d", number, *options], variables, console)


def split_all_but_one(preprocessed: Path) -> None:
    """nnU-Net validates after every training; nothing of it is wanted here, so one case must do."""
    cases = sorted(
        p.name.removesuffix(".nii.gz") for p in preprocessed.glob("gt_segmentations/*.gz")
    )
    split = [{"train": cases[1:], "val": cases[:1]}]
    (preprocessed / "splits_final.json").write_text(json.dumps(split))


def results_folder(row: str, seed: int, output: Path) -> Path:
    """nnU-Net's results of one row: nnU-Net's own folder does not tell the two starts apart."""
    return (output / f"nnUNet_results_{row.replace(' ', '_')}_seed{seed}").resolve()


def fold_of(row: str, seed: int, output: Path) -> Path:
    first = real.Training(TARGET, real.PROMPTED, LENGTH, seed, output).fold
    return results_folder(row, seed, output) / first.relative_to(first.parents[2])


def train(row: str, start: Path | None, seed: int, output: Path, console: Console) -> None:
    """Trains and validates one row, or resumes it."""
    options = f"{TARGET.dataset_id} {CONFIGURATION} 0 -tr {real.PROMPTED} -p {CPU_PLANS}"
    variables = real.Training(TARGET, real.PROMPTED, LENGTH, seed, output).variables()
    variables["nnUNet_results"] = str(results_folder(row, seed, output))
    harness.train(fold_of(row, seed, output), options, variables, console, start)


def measure(rows: Sequence[str], seeds: Sequence[int], output: Path) -> dict[str, Any]:
    """Per row and kind of prompt the Dice of each seed."""
    dice = {
        row: prompt_dices([fold_of(row, seed, output) for seed in seeds], VALIDATION_KINDS)
        for row in rows
    }
    return {
        "iterations": TARGET.iterations[LENGTH],
        "source iterations": SOURCE.iterations[LENGTH],
        "seeds": list(seeds),
        "dice": dice,
    }


def report(results: dict[str, Any]) -> str:
    """The table as Markdown: mean over the seeds, and half their range."""
    seeds = ", ".join(map(str, results["seeds"]))
    lines = [
        "# Prompt training from adapted weights and from scratch",
        "",
        f"`make start DATA=../shared/data`; hippocampus, fold 0, {results['iterations']} iterations for every row, the"
        f" same trainer (nnUNetTrainerPromptCPU), schedule, data and seeds ({seeds}); Dice, mean over both structures"
        " and the seeds ± half their range. The source was trained before for"
        f" {results['source iterations']} iterations on {PHANTOMS} whole-heart phantoms, another organ and no real"
        f" image, with the plans of the hippocampus at {SPACING:g} mm, and adapted with `nnunet-prompt weights adapt`."
        " Reduced plan (features 8, 16, 32, 64; batch 2), AdamW 3e-3, CPU, no mirroring at inference; prompts as in"
        " real.md, the same for every row.",
        "",
        machine() + ".",
        "",
        *dice_table(results["dice"]),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
