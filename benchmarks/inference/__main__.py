"""The cost of an answer: stock nnU-Net, a window per label, nnInteractive and ours on cases of the real sizes.

    python benchmarks/inference                          # or: make inference
    python benchmarks/inference --real out/real          # with accuracy on real images, after benchmarks/real.py
    python benchmarks/inference --small                  # a smoke test of some minutes; writes no results

Phantom cases of the tasks are generated with a fixed seed, with a box and points in every slice of every label. A
reduced network (the plan's default one where there is a GPU) is trained for a moment on other phantoms, so that masks
are sensible. Then every side answers the case in a process of its own, the sides taking turns where a task has several
rounds. A finished step is not repeated: remove OUTPUT to measure again. Writes benchmarks/results/inference.md and
.json (inference_gpu where there is a GPU), where a task that is not run this time keeps its last numbers. Times mean
something on a calm machine only.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import harness
from harness import Record, medians
from rich.console import Console

from inference.report import all_tiles, report
from inference.tasks import TASKS, Task, small
from nnunet_prompt.common.errors import did_you_mean

AUTOMATIC = ("automatic", "automatic_all_run", "automatic_bfloat16")
SIDES = (
    *("stock", *AUTOMATIC, "one_by_one", "full", "ours", "padded", "nninteractive", "ours_voxels"),
)
EXTRA = "left out: pip install nnunet-prompt[nninteractive]"
REAL = ("Dataset802_SunnybrookLV", "Dataset801_Hippocampus")
REAL_RESULTS = "nnUNet_results_short_seed0"
REAL_MODEL = "nnUNetTrainerPromptCPU__nnUNetPromptCPUPlans__3d_fullres"


def main() -> int:
    """Runs the unfinished steps and writes the tables."""
    args = arguments()
    if args.step:
        return step(args)
    console = Console()
    record = Record(args.results)
    results = {} if args.small else record.earlier()
    for task in (t for t in TASKS if t.name in args.tasks):
        results[task.name] = measure(small(task) if args.small else task, args, console)
    measured = set(args.tasks)
    if args.real is not None:
        found = real(args, console)
        if not found:
            console.print(f"{args.real}: holds no trained model, nothing is reported", style="red")
            return 1
        results["real"] = found
        measured.add("real")
    harness.report_earlier(results, measured)
    text = report(results)
    print(text)
    if not args.small:
        record.write(results, text)
    return 0


def arguments() -> argparse.Namespace:
    parser = harness.parser(__doc__)
    parser.add_argument("-o", "--output", type=Path, help="default: out/inference")
    parser.add_argument("--tasks", nargs="+", default=[t.name for t in TASKS])
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=SIDES)
    parser.add_argument("--iterations", type=int, default=300, help="of each short training")
    parser.add_argument("--real", type=Path, help="output folder of benchmarks/real.py")
    parser.add_argument("--small", action="store_true", help="a sixteenth of the voxels, or less")
    parser.add_argument(
        "--results",
        help="name below benchmarks/results (default: inference, on a GPU inference_gpu)",
    )
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--record", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    known = REAL if args.step == "real" else [t.name for t in TASKS]
    for name in args.tasks:
        if name not in known:
            parser.error(f"argument --tasks: no task {name!r}{did_you_mean(name, known)}")
    if args.results is None:
        args.results = "inference_gpu" if on_gpu() else "inference"
    if args.output is None:
        args.output = Path("out/inference_small" if args.small else "out/inference")
    return args


def on_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def measure(task: Task, args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Runs all steps of a task that are not finished."""
    found: dict[str, Any] = {
        "title": task.title,
        "machine": harness.machine(),
        "about": run("draw", task, args, console),
        "models": {"plain": run("plain", task, args, console)},
        "left_out": {},
    }
    wanted = [s for s in SIDES if s in args.sides and (s != "padded" or task.padded)]
    if task.automatic:
        wanted = [s for s in wanted if s == "stock" or s in AUTOMATIC]
    if task.voxel_patch is None:
        wanted = [s for s in wanted if s not in ("nninteractive", "ours_voxels")]
    elif importlib.util.find_spec("nnInteractive") is None:
        found["left_out"]["nninteractive"] = EXTRA
        wanted = [s for s in wanted if s not in ("nninteractive", "ours_voxels")]
    if {"nninteractive", "ours_voxels"} & set(wanted):
        found["models"]["voxels"] = run("voxels", task, args, console)
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in wanted}
    for number in range(task.rounds):
        for side in wanted:
            try:
                runs[side].append(run(side, task, args, console, suffix=f"_{number}"))
            except SystemExit as error:
                if not task.automatic or side != "stock":
                    raise
                found["left_out"][side] = str(error)  # its memory may not suffice
    sides = {side: together(several) for side, several in runs.items() if several}
    compared = "ours" in sides and "full" in sides
    found["all_tiles"] = all_tiles(sides["ours"], sides["full"]) if compared else None
    for side in sides.values():
        side.pop("windows", None)  # hundreds of them
    found["sides"] = sides
    record = args.output / task.name / "records" / "score.json"
    masks = (args.output / task.name / "masks").glob("*.nii.gz")
    if record.is_file() and any(m.stat().st_mtime > record.stat().st_mtime for m in masks):
        record.unlink()  # of other masks
    found["scores"] = run("score", task, args, console)
    return found


def together(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The medians of a side's rounds; of memory the largest."""
    return runs[-1] | {
        "parts": {p: statistics.median(r["parts"][p] for r in runs) for p in runs[0]["parts"]},
        **medians(runs, "total", "forward"),
        "peak": max(r["peak"] for r in runs),
        "rounds": len(runs),
    }


def run(
    name: str, task: Task, args: argparse.Namespace, console: Console, *, suffix: str = ""
) -> dict[str, Any]:
    """Runs one step in a process of its own and adds its peak memory; a finished step is not repeated."""
    folder = args.output / task.name
    return process(
        [name, "--tasks", task.name], folder / "records" / f"{name}{suffix}.json", args, console
    )


def process(
    step: list[str], record: Path, args: argparse.Namespace, console: Console
) -> dict[str, Any]:
    """Runs this script for a step that writes `record`."""
    if record.is_file():
        return dict(json.loads(record.read_text()))
    name = " ".join([step[0], *step[2:]])
    console.print(f"{name} ...", end=" ", highlight=False)
    record.parent.mkdir(parents=True, exist_ok=True)
    log = record.with_suffix(".log")
    partial = record.with_suffix(".part")
    command = [
        sys.executable,
        str(Path(__file__).parent),
        "--step",
        *step,
        "--record",
        str(partial),
    ]
    command += ["-o", str(args.output), "--iterations", str(args.iterations)]
    command += ["--small"] if args.small else []
    # ours asks for large pages where it loads a model, of which others would have the gain
    pages = {"THP_MEM_ALLOC_ENABLE": "0"} if step[0] in ("stock", "nninteractive") else {}
    began = time.perf_counter()
    with log.open("w") as output:
        child = subprocess.Popen(
            command, stdout=output, env=os.environ | harness.folders(args.output) | pages
        )
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            child.kill()
            raise
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{name} failed with exit code {child.returncode}; see {log}")
    took = time.perf_counter() - began
    found: dict[str, Any] = json.loads(partial.read_text())
    found |= {"peak": harness.max_rss_bytes(usage), "process": took}
    console.print(f"{took:.0f} s", highlight=False)
    partial.write_text(json.dumps(found, indent=2) + "\n")
    partial.replace(record)
    return found


def step(args: argparse.Namespace) -> int:
    """One step; this is the child process."""
    from inference import steps

    if args.step == "real":
        found = steps.real_step(
            args.real / REAL_RESULTS / args.tasks[0] / REAL_MODEL,
            args.real / "nnUNet_raw" / args.tasks[0],
        )
    else:
        task = next(t for t in TASKS if t.name == args.tasks[0])
        task = small(task) if args.small else task
        folder = args.output / task.name
        if args.step == "draw":
            found = steps.draw_step(task, folder)
        elif args.step in ("plain", "voxels"):
            voxels = args.step == "voxels"
            found = steps.model_step(task, folder, voxels=voxels, iterations=args.iterations)
        elif args.step == "score":
            found = steps.score_step(task, folder)
        else:
            found = steps.side_step(task, folder, args.step)
    args.record.write_text(json.dumps(found))
    return 0


def real(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """The accuracy of the models of benchmarks/real.py, by data set."""
    found = {}
    for dataset in REAL:
        model = args.real / REAL_RESULTS / dataset / REAL_MODEL
        if not (model / "fold_0" / "validation").is_dir():
            console.print(f"{model}: not trained, {dataset} is left out", style="yellow")
            continue
        record = args.output / "real" / f"{dataset}.json"
        command = ["real", "--tasks", dataset, "--real", str(args.real)]
        found[dataset] = process(command, record, args, console)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
