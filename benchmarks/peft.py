"""Tuning few parameters for a new structure: trained on the anterior hippocampus, tuned to the posterior.

    python benchmarks/peft.py ../shared/data

DATA holds hippocampus.tar.gz (nnU-Net raw layout). The base learns the anterior part on all cases but thirty. Of these,
five or ten are shown to each tuning trainer with their posterior part, and twenty measure it. All train with the same
plan, the same number of iterations and the same optimiser (AdamW, the learning rate of each trainer), one after the
other; a finished step is not repeated. Writes benchmarks/results/peft.md and .json.
"""

from __future__ import annotations

import json
import os
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import harness
import numpy as np
import real
from harness import CONFIGURATION, CPU_PLANS, Record, label_only, prompt_dices
from peft_report import report
from rich.console import Console

from nnunet_prompt.training.validation_prompts import VALIDATION_KINDS

ARCHIVE = "hippocampus.tar.gz"
LENGTH = "short"
BASE = real.Task("hippocampus-anterior", 803, "HippocampusAnterior", {LENGTH: 600})
NEW = real.Task("hippocampus-posterior", 804, "HippocampusPosterior", {LENGTH: 150})
STRUCTURES = {BASE: ("Anterior", 1), NEW: ("Posterior", 2)}
SHOTS = (5, 10)  # fold 0 and fold 1 of the new data set
HELD_OUT = 20
NOTHING = "no tuning"
# the row's name and its trainer
ROWS = {
    "from scratch": real.PROMPTED,
    "everything": "nnUNetTrainerPromptFinetune",
    "decoder": "nnUNetTrainerPromptDecoder",
    "LoRA, rank 4": "nnUNetTrainerPromptLoRA",
    "spatial adapter": "nnUNetTrainerPromptSpatialAdapter",
    "bias": "nnUNetTrainerPromptBias",
    "affine (normalisation)": "nnUNetTrainerPromptAffine",
    "linear probe": "nnUNetTrainerPromptLinearProbe",
}
TUNED = re.compile(r"tuning \w+: (\d+) of (\d+) parameters")


@dataclass(frozen=True, slots=True)
class Run:
    """One training of the comparison: a row, how many cases it sees, and where."""

    row: str
    shots: int
    seed: int
    output: Path

    @property
    def trainer(self) -> str:
        return ROWS[self.row]

    @property
    def fold(self) -> int:
        return SHOTS.index(self.shots)

    @property
    def folder(self) -> Path:
        return self.training.fold.with_name(f"fold_{self.fold}")

    @property
    def training(self) -> real.Training:
        """As `real` has it, but for its fold."""
        return real.Training(NEW, self.trainer, LENGTH, self.seed, self.output)


def main() -> int:
    """Runs the comparison and writes its tables."""
    args = harness.seed_arguments(__doc__, ARCHIVE, "out/peft", [0])
    console = Console()
    prepare(args.archive, args.output, console)
    for seed in args.seeds:
        train_base(seed, args.output, console)
        for shots in SHOTS:
            for row in ROWS:
                train(Run(row, shots, seed, args.output), console)
    results = measure(args.seeds, args.output)
    Record("peft").publish(results, report(results))
    return 0


def prepare(archive: Path, output: Path, console: Console) -> None:
    """Two data sets of the same images, one for each structure, planned and split."""
    sources = output / "source"
    both = harness.unpack(archive, sources, "hippocampus")
    for task, (name, value) in STRUCTURES.items():
        label_only(both, sources / task.archive, name=name, value=value)
        real.prepare(task, archive, output, console)
        images = (sources / task.archive / "imagesTr").glob("*.nii.gz")
        cases = sorted(p.name.removesuffix("_0000.nii.gz") for p in images)
        folder = Path(real.folders(output, LENGTH, 0)["nnUNet_preprocessed"]) / task.folder
        split = json.dumps(splits(cases)[task])
        (folder / "splits_final.json").write_text(split)


def splits(cases: Sequence[str]) -> dict[real.Task, list[dict[str, list[str]]]]:
    """nnU-Net's splits for both data sets: no training case of the base tunes or measures."""
    order = [cases[i] for i in np.random.default_rng(4).permutation(len(cases))]
    held_out, others = order[:HELD_OUT], order[HELD_OUT:]
    few, rest = others[: max(SHOTS)], others[max(SHOTS) :]
    tunings = [{"train": sorted(few[:n]), "val": sorted(held_out)} for n in SHOTS]
    return {BASE: [{"train": sorted(rest), "val": sorted(held_out)}], NEW: tunings}


def start_file(seed: int, output: Path) -> Path:
    """The checkpoint that every tuning starts from."""
    return output / f"start_seed{seed}.pth"


def train_base(seed: int, output: Path, console: Console) -> None:
    """Trains the base and adapts it to the new data set; its new head is newly initialised, by name."""
    base = real.Training(BASE, real.PROMPTED, LENGTH, seed, output)
    real.train(base, console)
    start = start_file(seed, output)
    if not start.is_file():
        harness.run(real.adapt_command(base.fold, NEW, start), base.variables(), console)


def train(run: Run, console: Console) -> None:
    """Trains and validates a run, or resumes it."""
    options = f"{NEW.dataset_id} {CONFIGURATION} {run.fold} -tr {run.trainer} -p {CPU_PLANS}"
    start = None if run.trainer == real.PROMPTED else start_file(run.seed, run.output)
    harness.train(run.folder, options, run.training.variables(), console, start)


def measure(seeds: Sequence[int], output: Path) -> dict[str, Any]:
    """Per row its costs, and per number of cases and kind of prompt the Dice of each seed."""
    costs = {row: cost(Run(row, SHOTS[0], seeds[0], output)) for row in ROWS}
    for row, seconds in step_seconds(output).items():
        costs[row]["seconds"] = seconds
    dice: dict[str, Any] = {}
    for shots in SHOTS:
        folds = {NOTHING: [untuned(seed, output) for seed in seeds]}
        folds |= {row: [Run(row, shots, seed, output).folder for seed in seeds] for row in ROWS}
        dice[str(shots)] = {row: prompt_dices(own, VALIDATION_KINDS) for row, own in folds.items()}
    return {
        "base iterations": BASE.iterations[LENGTH],
        "iterations": NEW.iterations[LENGTH],
        "held out": HELD_OUT,
        "seeds": list(seeds),
        "costs": costs,
        "dice": dice,
    }


def cost(run: Run) -> dict[str, Any]:
    """Trained parameters and the size of what has to be kept, in bytes: the adapter, or else all weights."""
    adapter = run.folder / "adapter.pth"
    logs = sorted(run.folder.glob("training_log_*.txt"))
    found = [TUNED.search(log.read_text()) for log in logs]
    numbers = next(([int(n) for n in m.groups()] for m in found if m), None)
    size = adapter if adapter.is_file() else start_file(run.seed, run.output)
    return {"parameters": numbers and numbers[0], "bytes": size.stat().st_size}


def trainer_of(name: str, output: Path, results: str) -> Any:
    """An initialised trainer of fold 0 of the new data set, whose files go to a folder of its own."""
    import torch
    from nnunetv2.run.run_training import get_trainer_from_args

    os.environ.update(
        real.folders(output, LENGTH, 0) | {"nnUNet_results": str((output / results).resolve())}
    )
    data = (str(NEW.dataset_id), CONFIGURATION, 0)
    trainer = get_trainer_from_args(*data, name, CPU_PLANS, device=torch.device("cpu"))
    trainer.initialize()
    return trainer


def untuned(seed: int, output: Path) -> Path:
    """The start checkpoint, validated as it is: structure head newly initialised, object head following prompts."""
    from nnunetv2.run.load_pretrained_weights import load_pretrained_weights

    trainer = trainer_of(real.PROMPTED, output, f"nnUNet_results_untuned{seed}")
    folder = Path(trainer.output_folder)
    if not (folder / "validation" / "summary.json").is_file():
        load_pretrained_weights(trainer.network, str(start_file(seed, output)))
        trainer.perform_actual_validation()
    return folder


def step_seconds(output: Path, *, rounds: int = 11) -> dict[str, float]:
    """The median time of a training step on random numbers; the rows take turns, so that all meet the same load."""
    import torch

    trainers = {
        row: trainer_of(name, output, "nnUNet_results_timing") for row, name in ROWS.items()
    }
    settings = next(iter(trainers.values())).configuration_manager
    data = torch.rand(settings.batch_size, 8, *settings.patch_size)
    batches = {}
    for row, trainer in trainers.items():
        trainer.network.train()
        with torch.no_grad():
            target = [(o > 0).to(torch.int8) for o in trainer.network(data)]
        batches[row] = {"data": data, "target": target}
    calls = {row: partial(t.train_step, batches[row]) for row, t in trainers.items()}
    times = harness.turns(calls, rounds)
    return {row: statistics.median(seconds[1:]) for row, seconds in times.items()}


if __name__ == "__main__":
    raise SystemExit(main())
