"""The cost of adapting a residual encoder U-Net of nnInteractive's size (102 M parameters).

    python benchmarks/weights_adapt.py                  # or: make weights

Makes a model of that form with nnU-Net's own class and random weights, saves it as nnInteractive publishes its own,
and adapts it in a process of its own, whose wall time and largest resident memory are measured (the pages of the mapped
source file count). Writes benchmarks/results/weights_adapt.md.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import harness
from harness import CONFIGURATION, RESULTS, header, machine, row

DATASET_ID = 501
LIMIT_S, LIMIT_FILES = 20, 3


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.make is not None:
        make_source(args.make)
    elif args.measure is not None:
        print(json.dumps(measure(args.measure)))
    else:
        with tempfile.TemporaryDirectory() as folder:
            run("--make", folder)
            write_results(json.loads(run("--measure", folder).splitlines()[-1]))


def run(step: str, folder: str) -> str:
    """Runs one step in a process of its own and returns its output."""
    environment = {**os.environ, "nnUNet_preprocessed": folder}
    command = [sys.executable, __file__, step, folder]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return done.stdout


def make_source(folder: Path) -> None:
    """A model of nnInteractive's form, and a planned data set with the same network."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans, described = plans_of(), dataset_json()
    manager = PlansManager(plans)
    network = nnUNetTrainer.build_network_architecture(
        manager, manager.get_configuration(CONFIGURATION), 8, 2, True
    )
    model = folder / "model"
    (model / "fold_0").mkdir(parents=True)
    torch.save(
        {
            "network_weights": network.state_dict(),
            "init_args": {"plans": plans, "configuration": CONFIGURATION, "fold": 0},
            "trainer_name": "nnInteractiveTrainer_stub",
        },
        model / "fold_0" / "checkpoint_final.pth",
    )
    planned = folder / f"Dataset{DATASET_ID}_Benchmark"
    planned.mkdir()
    for place, name in ((model, "plans.json"), (planned, "nnUNetPlans.json")):
        (place / name).write_text(json.dumps(plans))
        (place / "dataset.json").write_text(json.dumps(described))


def measure(folder: Path) -> dict[str, Any]:
    """Adapts the model of `make_source`; seconds and bytes, those of the imports apart."""
    import torch

    from nnunet_prompt.weights.adapt import adapt_checkpoint

    torch.set_num_threads(2)
    source = folder / "model" / "fold_0" / "checkpoint_final.pth"
    before = peak_bytes()
    start = time.perf_counter()
    report = adapt_checkpoint(source, DATASET_ID, folder / "start.pth")
    seconds = time.perf_counter() - start
    weights = torch.load(folder / "start.pth", mmap=True, weights_only=True)["network_weights"]
    return {
        "seconds": seconds,
        "before": before,
        "peak": peak_bytes(),
        "source": source.stat().st_size,
        "result": (folder / "start.pth").stat().st_size,
        "parameters": sum({v.data_ptr(): v.numel() for v in weights.values()}.values()),
        "counts": report.counts,
    }


def peak_bytes() -> int:
    return harness.max_rss_bytes(resource.getrusage(resource.RUSAGE_SELF))


def write_results(found: dict[str, Any]) -> None:
    size, counts = found["source"], found["counts"].values()
    lines = [
        "# Adapting a residual encoder U-Net of nnInteractive's size",
        "",
        "`make weights`: one run of `weights adapt` in a process of its own, on a source with random weights.",
        "",
        machine() + ".",
        "",
        *header("", "found", "limit"),
        row("parameters", f"{found['parameters'] / 1e6:.1f} M", ""),
        row("source file", f"{size / 1e6:.0f} MB", ""),
        row("start checkpoint", f"{found['result'] / 1e6:.0f} MB", ""),
        row("time", f"{found['seconds']:.1f} s", f"{LIMIT_S} s"),
        row("largest resident memory", f"{found['peak'] / 1e6:.0f} MB", ""),
        row("of that, Python with torch at the start", f"{found['before'] / 1e6:.0f} MB", ""),
        row("largest resident memory / source file", f"{found['peak'] / size:.2f}", LIMIT_FILES),
        row("tensors copied, widened, new, unused", ", ".join(map(str, counts)), ""),
    ]
    (RESULTS / "weights_adapt.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def plans_of() -> dict[str, Any]:
    """Plans of nnU-Net's residual encoder L with a patch of 192 voxels and without resampling."""
    from nnunet_prompt.weights.nnssl import RESENC_L

    return harness.network_plans(
        f"Dataset{DATASET_ID}_Benchmark",
        {"patch_size": [192, 192, 192], "spacing": [1.0, 1.0, 1.0]},
        network="ResidualEncoderUNet",
        arguments=RESENC_L,
    )


def dataset_json() -> dict[str, Any]:
    return {
        "channel_names": {"0": "image"},
        "labels": {"background": 0, "liver": 1, "lesion": 2},
        "file_ending": ".nii.gz",
    }


if __name__ == "__main__":
    main()
