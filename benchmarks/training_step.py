"""What training costs: our transform for one patch, and one iteration of ours beside one of stock nnU-Net.

    python benchmarks/training_step.py                   # or: make inference, which runs it last

The transform gets a patch of 128 x 128 x 128 voxels in which a structure has a box and points in 40 slices. The
trainers get the phantom data set of the demo and the same reduced plan; both load in this process and take turns, one
iteration each: a batch from the loader, forward, backward, update. Medians go to benchmarks/results/training_step.md
and .json. Prompts that need a forward pass of their own (the kind "refine") are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from nnunet_prompt.training.external_trainers import environment

RESULTS = Path(__file__).parent / "results"
SIDE, SLICES, SEED = 128, 40, 20250914
DATASET_ID, CASES = 821, 8
PLANS, CONFIGURATION = "nnUNetPromptCPUPlans", "3d_fullres"
TRANSFORM_BAR_MS, ITERATION_BAR = 10, 1.05


def main() -> int:
    """Measures both and writes the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("out/training_step"))
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--small", action="store_true", help="a few rounds; writes no results")
    args = parser.parse_args()
    rounds = 3 if args.small else args.rounds
    console = Console()
    os.environ.update(variables(args.output))
    prepare(args.output, console)
    found = {
        "machine": f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}",
        "transform": transform(rounds),
        "iteration": iterations(rounds),
    }
    text = report(found)
    print(text)
    if not args.small:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "training_step.md").write_text(text)
        (RESULTS / "training_step.json").write_text(json.dumps(found, indent=2) + "\n")
    return 0


def transform(rounds: int) -> dict[str, Any]:
    """Seconds of our transform by its kind of prompts, and of copying the patch, which nobody can avoid."""
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
    always = {
        "p_box_only": 0.0,
        "p_points_only": 0.0,
        "p_sparse": 0.0,
        "p_negative_area": 0.0,
        "p_component": 0.0,
        "p_union": 0.0,
    }
    mixtures = {
        "boxes and points in 40 slices": replace(
            PromptMixture(), **{**none, "slices": 1.0}, **always
        ),
        "the default mixture": without_refine(PromptMixture()),
    }
    steps = {}
    for name, mixture in mixtures.items():
        step = SimulatePrompts(Targets(table, style_for((1.0, 1.0, 1.0)), mixture), CaseNote())
        steps[name] = _call(step, image, torch.from_numpy(labels))
    np.random.seed(SEED)  # noqa: NPY002 - the transform draws from the global state
    seconds = taking_turns(steps, 10 * rounds)
    return {name: statistics.median(several) for name, several in seconds.items()}


KINDS = ("promptless", "few", "slices", "scribbles", "mask", "continued", "refine")


def without_refine(mixture: Any) -> Any:
    return replace(mixture, refine=0.0) if hasattr(mixture, "refine") else mixture


def _call(step: Any, image: Any, labels: Any) -> Callable[[], object]:
    return lambda: step(image=image, segmentation=labels)


def iterations(rounds: int) -> dict[str, Any]:
    """Seconds of one iteration of both trainers, and what of it is loading."""
    import torch

    from nnunet_prompt.trainers.nnUNetTrainerPlainCPU import nnUNetTrainerPlainCPU
    from nnunet_prompt.trainers.nnUNetTrainerPromptCPU import nnUNetTrainerPromptCPU

    class Ours(nnUNetTrainerPromptCPU):
        mixture = without_refine(nnUNetTrainerPromptCPU.mixture)

    os.environ["nnUNet_n_proc_DA"] = "0"  # no workers; nnU-Net's planner cannot do with 0
    folder = next(Path(os.environ["nnUNet_preprocessed"]).glob(f"Dataset{DATASET_ID}_*"))
    plans = json.loads((folder / f"{PLANS}.json").read_text())
    described = json.loads((folder / "dataset.json").read_text())
    loading: dict[str, list[float]] = {"stock nnU-Net": [], "ours": []}
    steps = {}
    for name, kind in (("stock nnU-Net", nnUNetTrainerPlainCPU), ("ours", Ours)):
        torch.manual_seed(SEED)
        trainer = kind(
            {**plans, "continue_training": False}, CONFIGURATION, 0, described, torch.device("cpu")
        )
        trainer.initialize()
        trainer.on_train_start()
        trainer.on_train_epoch_start()
        steps[name] = _iteration(trainer, loading[name])
    seconds = taking_turns(steps, rounds)
    found: dict[str, Any] = {
        name: {
            "total": statistics.median(several),
            "loading": statistics.median(loading[name][-rounds:]),
        }
        for name, several in seconds.items()
    }
    pairs = zip(seconds["ours"], seconds["stock nnU-Net"], strict=True)
    configuration = plans["configurations"][CONFIGURATION]
    return found | {
        "ratio": statistics.median(a / b for a, b in pairs),
        "patch": configuration["patch_size"],
        "batch": configuration["batch_size"],
        "features": configuration["architecture"]["arch_kwargs"]["features_per_stage"],
    }


def _iteration(trainer: Any, loading: list[float]) -> Callable[[], None]:
    def run() -> None:
        began = time.perf_counter()
        batch = next(trainer.dataloader_train)
        loading.append(time.perf_counter() - began)
        trainer.train_step(batch)

    return run


def taking_turns(steps: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """The seconds of each call, the first of each not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for call in steps.values():
        call()
    for _ in range(rounds):
        for name, call in steps.items():
            began = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - began)
    return seconds


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
        "| | ms | bar | |",
        "|---|---:|---:|---|",
    ]
    for name, value in milliseconds.items():
        bar = f"{TRANSFORM_BAR_MS}" if name == first else ""
        lines.append(
            f"| {name} | {value:.1f} | {bar} | {met(value, TRANSFORM_BAR_MS) if bar else ''} |"
        )
    lines += [
        "",
        f"## One iteration, {CONFIGURATION} of {PLANS}: patch {patch}, batch {iteration['batch']}, features"
        f" {', '.join(map(str, iteration['features']))}",
        "",
        "Loading and augmentation run in the same process and count; in a usual training they run beside the network."
        ' Without prompts of the kind "refine".',
        "",
        "| | s | of it loading |",
        "|---|---:|---:|",
    ]
    for name in ("stock nnU-Net", "ours"):
        lines.append(
            f"| {name} | {iteration[name]['total']:.3f} | {iteration[name]['loading']:.3f} |"
        )
    lines += [
        "",
        f"Ratio {iteration['ratio']:.3f}, bar {ITERATION_BAR}: {met(iteration['ratio'], ITERATION_BAR)}.",
    ]
    return "\n".join(lines) + "\n"


def met(value: float, bar: float) -> str:
    return "met" if value <= bar else "**missed**"


def prepare(output: Path, console: Console) -> None:
    """Draws, converts, plans and preprocesses the phantoms; done once."""
    plans = output / "nnUNet_preprocessed"
    if list(plans.glob(f"Dataset{DATASET_ID}_*/{PLANS}.json")):
        return
    train, number = str(output / "phantoms"), str(DATASET_ID)
    nnunet = [sys.executable, "-m", "nnunet_prompt"]
    for command in (
        [*nnunet, "phantom", "heart", "-o", train, "-n", str(CASES), "--seed", "0"],
        [*nnunet, "convert", "phantom", train, "-d", number],
        [*PREPROCESS, number],
        [*nnunet, "plan", "-d", number, "-o", PLANS],
    ):
        console.print("$ " + " ".join(command), style="bold", markup=False)
        done = subprocess.run(command, check=False)
        if done.returncode:
            raise SystemExit(
                f"it failed with exit code {done.returncode}; remove {output} and run it again"
            )


PREPROCESS = [
    sys.executable,
    "-c",
    "from nnunetv2.experiment_planning.plan_and_preprocess_entrypoints import plan_and_preprocess_entry as run; run()",
    *("-c", CONFIGURATION, "-np", "1", "-npfp", "1", "-d"),
]


def variables(output: Path) -> dict[str, str]:
    """nnU-Net's folders; loaders without workers, nothing compiled."""
    names = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    ours = {name: str((output / name).resolve()) for name in names}
    small = {"nnUNet_def_n_proc": "1", "nnUNet_compile": "f", "nnUNet_n_proc_DA": "1"}
    return ours | environment() | small


if __name__ == "__main__":
    raise SystemExit(main())
