"""The cost of training: our transform for one patch, and one iteration of ours beside one of stock nnU-Net.

    python benchmarks/training_step.py                   # or: make inference, which runs it last

The transform gets a patch of 128 x 128 x 128 voxels in which a structure has a box and points in 40 slices. The
trainers get the phantom data set of the demo and the same reduced plan; both load in this process and take turns, one
iteration each: a batch from the loader, forward, backward, update. Medians go to benchmarks/results/training_step.md
and .json. An iteration with rounds of correction, which need forward passes of their own, is measured by itself, and
counted with the share that training gives it.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import harness
import numpy as np
from harness import CONFIGURATION, Record, header, row
from harness import CPU_PLANS as PLANS
from rich.console import Console

SIDE, SLICES, SEED = 128, 40, 20250914
DATASET_ID, CASES = 821, 8
TRANSFORM_BAR_MS, ITERATION_BAR, REFINE_BAR = 10, 1.05, 1.3
STOCK, OURS, REFINED = "stock nnU-Net", "ours", "ours, with rounds of correction"


def main() -> int:
    """Measures both and writes the table."""
    parser = harness.parser(__doc__, output="out/training_step")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--small", action="store_true", help="a few rounds; writes no results")
    args = parser.parse_args()
    rounds = 3 if args.small else args.rounds
    console = Console()
    os.environ.update(harness.folders(args.output) | harness.ONE_WORKER)
    prepare(args.output, console)
    found = {
        "machine": harness.machine(),
        "transform": transform(rounds),
        "iteration": iterations(rounds),
    }
    if args.small:
        print(report(found))
    else:
        Record("training_step").publish(found, report(found))
    return 0


def transform(rounds: int) -> dict[str, Any]:
    """Seconds of our transform by its kind of prompts, and of the default mixture."""
    import torch

    from nnunet_prompt.data.structures import Structure, StructureTable
    from nnunet_prompt.prompts.encode import style_for
    from nnunet_prompt.training.mixture import PromptMixture
    from nnunet_prompt.training.transform import CaseNote, SimulatePrompts, Targets

    table = StructureTable((Structure("heart", 1, (1,), 1), Structure("vessel", 2, (2,), 2)))
    labels = np.zeros((1, SIDE, SIDE, SIDE), np.int16)
    z, y, x = np.ogrid[:SIDE, :SIDE, :SIDE]
    middle, half = SIDE // 2, SLICES // 2
    inside = (z >= middle - half) & (z < middle + half)
    labels[0][inside & ((y - middle) ** 2 + (x - middle) ** 2 < 30**2)] = 1
    labels[0][inside & ((y - 20) ** 2 + (x - 20) ** 2 < 10**2)] = 2
    image = torch.zeros((1, SIDE, SIDE, SIDE))
    none = {f.name: 0.0 for f in fields(PromptMixture) if f.name in KINDS}
    names = "box_only points_only sparse negative_area component union".split()
    always = dict.fromkeys((f"p_{name}" for name in names), 0.0)
    mixtures = {
        "boxes and points in 40 slices": replace(
            PromptMixture(), **{**none, "slices": 1.0}, **always
        ),
        "the default mixture": without_refine(PromptMixture()),
    }
    steps = {}
    for name, mixture in mixtures.items():
        step = SimulatePrompts(Targets(table, style_for((1.0, 1.0, 1.0)), mixture), CaseNote())
        steps[name] = partial(step, image=image, segmentation=torch.from_numpy(labels))
    np.random.seed(SEED)  # noqa: NPY002 - the transform draws from the global state
    seconds = harness.turns(steps, 10 * rounds)
    return _medians(seconds)


KINDS = ("promptless", "few", "slices", "scribbles", "mask", "continued", "refine")


def without_refine(mixture: Any) -> Any:
    return replace(mixture, refine=0.0) if hasattr(mixture, "refine") else mixture


def iterations(rounds: int) -> dict[str, Any]:
    """Seconds of one iteration of both trainers, and the part of it that is loading."""
    import torch

    from nnunet_prompt.trainers.nnUNetTrainerPlainCPU import nnUNetTrainerPlainCPU
    from nnunet_prompt.trainers.nnUNetTrainerPromptCPU import nnUNetTrainerPromptCPU

    class Ours(nnUNetTrainerPromptCPU):
        mixture = without_refine(nnUNetTrainerPromptCPU.mixture)

    class Refined(nnUNetTrainerPromptCPU):
        mixture = replace(nnUNetTrainerPromptCPU.mixture, refine=1.0, refine_after=0)

    os.environ["nnUNet_n_proc_DA"] = "0"  # no workers; nnU-Net's planner cannot do with 0
    folder = next(Path(os.environ["nnUNet_preprocessed"]).glob(f"Dataset{DATASET_ID}_*"))
    plans = json.loads((folder / f"{PLANS}.json").read_text())
    kinds = {STOCK: nnUNetTrainerPlainCPU, OURS: Ours, REFINED: Refined}
    loading: dict[str, list[float]] = {name: [] for name in kinds}
    steps = {
        name: _iteration(started(kind, plans, folder, torch.device("cpu")), loading[name])
        for name, kind in kinds.items()
    }
    seconds = harness.turns(steps, rounds)
    loads = _medians({name: several[-rounds:] for name, several in loading.items()})
    found: dict[str, Any] = {
        name: {"total": total, "loading": loads[name]} for name, total in _medians(seconds).items()
    }
    share = nnUNetTrainerPromptCPU.mixture.refine
    configuration = plans["configurations"][CONFIGURATION]
    return found | {
        "ratio": ratio(seconds[OURS], seconds[STOCK]),
        "refine_share": share,
        "refine_ratio": 1 + share * (ratio(seconds[REFINED], seconds[OURS]) - 1),
        "patch": configuration["patch_size"],
        "batch": configuration["batch_size"],
        "features": configuration["architecture"]["arch_kwargs"]["features_per_stage"],
    }


def ratio(ours: list[float], others: list[float]) -> float:
    """The median over turns."""
    return statistics.median(a / b for a, b in zip(ours, others, strict=True))


def _medians(seconds: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(several) for name, several in seconds.items()}


def started(kind: Any, plans: Mapping[str, Any], folder: Path, device: Any) -> Any:
    """A trainer of this class at the start of its first epoch."""
    import torch

    torch.manual_seed(SEED)
    described = json.loads((folder / "dataset.json").read_text())
    given = {**plans, "continue_training": False}
    trainer = kind(given, CONFIGURATION, 0, described, device)
    trainer.initialize()
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    return trainer


def _iteration(trainer: Any, loading: list[float]) -> Callable[[], None]:
    def run() -> None:
        began = time.perf_counter()
        batch = next(trainer.dataloader_train)
        loading.append(time.perf_counter() - began)
        trainer.train_step(batch)

    return run


def report(found: dict[str, Any]) -> str:
    """Both tables as Markdown."""
    milliseconds = {name: 1e3 * s for name, s in found["transform"].items()}
    first, iteration = next(iter(milliseconds)), found["iteration"]
    patch = " x ".join(map(str, iteration["patch"]))
    lines = [
        "# What training costs",
        "",
        "`python benchmarks/training_step.py`: medians of calls that take turns in one process.",
        "",
        found["machine"] + ".",
        "",
        f"## The transform, one patch of {SIDE} x {SIDE} x {SIDE} voxels",
        "",
        *header("", "ms", "bar", "", left=(0, 3)),
    ]
    for name, value in milliseconds.items():
        bar = (TRANSFORM_BAR_MS, met(value, TRANSFORM_BAR_MS)) if name == first else ("", "")
        lines.append(row(name, f"{value:.1f}", *bar))
    lines += [
        "",
        f"## One iteration, {CONFIGURATION} of {PLANS}: patch {patch}, batch {iteration['batch']}, features"
        f" {', '.join(map(str, iteration['features']))}",
        "",
        "Loading and augmentation run in the same process and count; in a usual training they run beside the network.",
        "",
        *header("", "s", "of it loading"),
    ]
    for name in (STOCK, OURS, REFINED):
        seconds = iteration[name]
        lines.append(row(name, f"{seconds['total']:.3f}", f"{seconds['loading']:.3f}"))
    lines += [
        "",
        f"Ours without rounds of correction, as a share of stock nnU-Net: {bar_of(iteration['ratio'], ITERATION_BAR)}."
        f" On average, with rounds in {iteration['refine_share']:.0%} of the iterations, as a share of ours without:"
        f" {bar_of(iteration['refine_ratio'], REFINE_BAR)}.",
    ]
    return "\n".join(lines) + "\n"


def bar_of(value: float, bar: float) -> str:
    return f"{value:.3f}, bar {bar}: {met(value, bar)}"


def met(value: float, bar: float) -> str:
    return "met" if value <= bar else "**missed**"


def prepare(output: Path, console: Console) -> None:
    """Makes, converts, plans and preprocesses the phantoms; done once."""
    variables = harness.folders(output) | harness.ONE_WORKER
    if list((output / "nnUNet_preprocessed").glob(f"Dataset{DATASET_ID}_*/{PLANS}.json")):
        return
    phantoms, number = str(output / "phantoms"), str(DATASET_ID)
    for command in (
        ["nnunet-prompt", "phantom", "heart", "-o", phantoms, "-n", str(CASES), "--seed", "0"],
        ["nnunet-prompt", "convert", "phantom", phantoms, "-d", number],
        [*harness.PLAN_AND_PREPROCESS, number],
        ["nnunet-prompt", "plan", "-d", number, "-o", PLANS],
    ):
        harness.run(command, variables, console)


if __name__ == "__main__":
    raise SystemExit(main())
