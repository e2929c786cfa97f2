"""Mixtures of prompts that were tried: each one short training at half resolution, all on the same data and seed.

    python benchmarks/mixtures.py ../shared/data --only "as shipped" "no refinement"

Sunnybrook at half the resolution within its slices, features 8, 16, 32, batch 2, fold 0, one thread. Writes
benchmarks/results/mixtures.md and .json, where settings that are not run this time keep their last numbers. DATA holds
sunnybrook.tar.gz, or OUTPUT what benchmarks/real.py prepared.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import harness
from harness import CONFIGURATION, CPU_PLANS, Record, header, prompt_dice, row, run
from real import TASKS, folders, prepare
from rich.console import Console

from nnunet_prompt.training.trainer import PromptTrainer

TASK = next(task for task in TASKS if task.archive == "sunnybrook")
TRAINER, HALF_PLANS, HALF_DATA = "nnUNetTrainerPromptTried", "nnUNetPromptHalfPlans", "half"
KINDS = (
    *("none", "one click", "three clicks", "box in one slice", "3D box", "points in slices"),
    *("box in slices", "box + points in slices", "mask"),
)
CLEAN = {"p_jitter": 0.0, "p_displaced": 0.0, "p_sparse": 0.0, "p_wrong": 0.0}
SLICES_ONLY = {"few": 0.0, "scribbles": 0.0, "mask": 0.0, "continued": 0.0, "slices": 1.0}
EARLIER = {"few": 0.4, "slices": 0.4, "scribbles": 0.06, "mask": 0.1, "continued": 0.04}
EARLIER |= {"p_points_only": 0.3, "p_jitter": 0.25, "p_sparse": 0.1, "p_wrong": 0.05}
SETTINGS: dict[str, dict[str, float]] = {
    "as shipped": {},
    "slices 0.4, few 0.4, refine 0.25": {**EARLIER, "refine": 0.25},
    "the same without refinement": {**EARLIER, "refine": 0.0},
    "as shipped, without refinement": {"refine": 0.0},
    "as shipped, no prompts in the first 150 iterations": {"prompts_after": 150},
    "as shipped, promptless 0.4": {"promptless": 0.4},
    "prompts in slices alone, clean, no refinement": {**SLICES_ONLY, **CLEAN, "refine": 0.0},
}


def main() -> int:
    """Trains the chosen settings and writes the table."""
    parser = harness.parser(__doc__, data="folder with sunnybrook.tar.gz", output="out/real")
    parser.add_argument("--only", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--iterations", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    console = Console()
    prepare(TASK, args.data / f"{TASK.archive}.tar.gz", args.output, console)
    make_half(args.output, console)
    record = Record("mixtures")
    results = record.earlier()
    for name in args.only:
        key = f"{name}, seed {args.seed}"
        results[key] = {
            "iterations": args.iterations,
            "mixture": asdict(PromptTrainer.mixture) | SETTINGS[name],
            "Dice": tried(SETTINGS[name], args, console),
        }
        record.write(results, report(results))
    print(report(results))
    return 0


def make_half(output: Path, console: Console) -> None:
    """Plans with half the resolution within the slices and one stage less, and the data preprocessed for them."""
    variables = folders(output, "short", 0)
    folder = Path(variables["nnUNet_preprocessed"]) / TASK.folder
    target = folder / f"{HALF_PLANS}.json"
    if target.is_file():
        return
    plans = json.loads((folder / f"{CPU_PLANS}.json").read_text())
    own = plans["configurations"][CONFIGURATION]
    plans["plans_name"], own["data_identifier"] = HALF_PLANS, f"{HALF_DATA}_{CONFIGURATION}"
    for key, factor in (("spacing", 2.0), ("patch_size", 0.5)):
        depth, *plane = own[key]
        own[key] = [depth, *(type(n)(n * factor) for n in plane)]
    layout = own["architecture"]["arch_kwargs"]
    stages = layout["n_stages"] = layout["n_stages"] - 1
    for key in ("features_per_stage", "kernel_sizes", "strides", "n_conv_per_stage"):
        layout[key] = layout[key][:stages]
    layout["n_conv_per_stage_decoder"] = layout["n_conv_per_stage_decoder"][: stages - 1]
    target.write_text(json.dumps(plans, indent=1))
    command = f"nnUNetv2_preprocess -d {TASK.dataset_id} -plans_name {HALF_PLANS} -c {CONFIGURATION} -np 1"
    run(command.split(), variables, console)


def tried(
    setting: dict[str, float], args: argparse.Namespace, console: Console
) -> dict[str, float]:
    """Mean Dice of the validation by kind of prompt."""
    shared = folders(args.output, "short", args.seed)
    results = Path(shared["nnUNet_results"]).with_name("nnUNet_results_tried")
    variables = shared | {
        "nnUNet_results": str(results),
        "nnUNet_prompt_tried": json.dumps(setting),
        "nnUNet_prompt_iterations": str(args.iterations),
        "nnUNet_prompt_seed": str(args.seed),
        "nnUNet_n_proc_DA": "0",
        "OMP_NUM_THREADS": "1",
    }
    command = f"nnUNetv2_train {TASK.dataset_id} {CONFIGURATION} 0 -p {HALF_PLANS} -tr {TRAINER}"
    run([*command.split(), "-device", "cpu"], variables, console)
    model = results / TASK.folder / f"{TRAINER}__{HALF_PLANS}__{CONFIGURATION}"
    return {k: round(dice, 4) for k, dice in prompt_dice(model / "fold_0", KINDS).items()}


def report(results: dict[str, Any]) -> str:
    """The table as Markdown, with what each setting changes."""
    shipped = asdict(PromptTrainer.mixture)
    lines = [
        "# Mixtures of prompts that were tried",
        "",
        "`python benchmarks/mixtures.py ../shared/data`; Sunnybrook at half the resolution within its slices, features"
        " 8, 16, 32, batch 2, AdamW 3e-3, fold 0 (16 held-out cases), one thread. Mean Dice by kind of prompt.",
        "",
        *header("setting", "iterations", *KINDS),
        *(
            row(name, one["iterations"], *(f"{one['Dice'][kind]:.3f}" for kind in KINDS))
            for name, one in results.items()
        ),
    ]
    lines += ["", "What differs from what is shipped:", ""]
    for name, one in results.items():
        changed = {k: v for k, v in one["mixture"].items() if shipped.get(k) != v}
        lines.append(f"- {name}: {', '.join(f'{k} {v}' for k, v in changed.items()) or 'nothing'}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
