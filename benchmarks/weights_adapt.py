"""What it costs to adapt a residual encoder U-Net of nnInteractive's size (102 M parameters).

    python benchmarks/weights_adapt.py                  # or: make weights

Makes a model of that form with nnU-Net's own class and random weights, saves it as nnInteractive publishes its own,
and adapts it in a process of its own, whose wall time and largest resident memory are measured (the pages of the mapped
source file count). Writes benchmarks/results/weights_adapt.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "weights_adapt.md"
DATASET_ID = 501
CONFIGURATION = "3d_fullres"
LIMIT_S, LIMIT_FILES = 20, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
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
    """One step in a process of its own; what it printed."""
    environment = {**os.environ, "nnUNet_preprocessed": folder}
    return subprocess.run(
        [sys.executable, __file__, step, folder],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ).stdout


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
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def write_results(found: dict[str, Any]) -> None:
    size = found["source"]
    lines = [
        "# Adapting a residual encoder U-Net of nnInteractive's size",
        "",
        "`make weights`: one run of `weights adapt` in a process of its own, on a source with random weights.",
        "",
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}.",
        "",
        "| | found | limit |",
        "|---|---:|---:|",
        f"| parameters | {found['parameters'] / 1e6:.1f} M | |",
        f"| source file | {size / 1e6:.0f} MB | |",
        f"| start checkpoint | {found['result'] / 1e6:.0f} MB | |",
        f"| time | {found['seconds']:.1f} s | {LIMIT_S} s |",
        f"| largest resident memory | {found['peak'] / 1e6:.0f} MB | |",
        f"| of that, Python with torch before it begins | {found['before'] / 1e6:.0f} MB | |",
        f"| largest resident memory / source file | {found['peak'] / size:.2f} | {LIMIT_FILES} |",
        f"| tensors copied, widened, new, unused | {', '.join(map(str, found['counts'].values()))} | |",
    ]
    RESULTS.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def plans_of() -> dict[str, Any]:
    """Plans of nnU-Net's residual encoder L with a patch of 192 voxels and without resampling."""
    from nnunet_prompt.weights.nnssl import RESENC_L

    return {
        "dataset_name": f"Dataset{DATASET_ID}_Benchmark",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": {}},
        "configurations": {
            CONFIGURATION: {
                "data_identifier": "nnUNetPlans_3d_fullres",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": 2,
                "patch_size": [192, 192, 192],
                "spacing": [1.0, 1.0, 1.0],
                "normalization_schemes": ["ZScoreNormalization"],
                "use_mask_for_norm": [False],
                "batch_dice": False,
                "architecture": {
                    "network_class_name": (
                        "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"
                    ),
                    "arch_kwargs": RESENC_L,
                    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
                },
            }
        },
    }


def dataset_json() -> dict[str, Any]:
    return {
        "channel_names": {"0": "image"},
        "labels": {"background": 0, "liver": 1, "lesion": 2},
        "file_ending": ".nii.gz",
    }


if __name__ == "__main__":
    main()
