"""Training on a GPU: images per second of ours beside stock nnU-Net, how busy the GPU is, and the wait for the loader.

    python benchmarks/training_gpu.py                    # on a machine with CUDA; writes results/training_gpu.md
    python benchmarks/training_gpu.py --small            # a few iterations on any device; writes no results

Both trainers get the phantom data set of the demo, nnU-Net's default plan and nnU-Net's own workers (as many as
nnUNet_n_proc_DA), one trainer after the other. A batch of ours has seven prompt channels more; the table has its size.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import harness
from harness import CONFIGURATION, Record, header, row
from rich.console import Console
from training_step import DATASET_ID, OURS, STOCK, prepare, started, without_refine

PLANS = "nnUNetPlans"
WARM_UP, PROFILED = 5, 10


def main() -> int:
    """Measures both trainers and writes the table."""
    import torch

    parser = harness.parser(__doc__, output="out/training_gpu")
    parser.add_argument("--rounds", type=int, default=50, help="iterations of each trainer")
    parser.add_argument("--small", action="store_true", help="a few iterations; writes no results")
    args = parser.parse_args()
    if not (torch.cuda.is_available() or args.small):
        parser.error("no CUDA device is there; --small runs a few iterations on the CPU")
    os.environ.update(harness.folders(args.output))
    prepare(args.output, Console())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = {
        "machine": harness.machine(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
        "sides": sides(2 if args.small else args.rounds, device),
    }
    if args.small:
        print(report(found))
    else:
        Record("training_gpu").publish(found, report(found))
    return 0


def sides(rounds: int, device: Any) -> dict[str, dict[str, Any]]:
    """What both trainers take, measured one after the other."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from nnunet_prompt.trainers.nnUNetTrainerPrompt import nnUNetTrainerPrompt

    class Ours(nnUNetTrainerPrompt):
        mixture = without_refine(nnUNetTrainerPrompt.mixture)

    folder = next(Path(os.environ["nnUNet_preprocessed"]).glob(f"Dataset{DATASET_ID}_*"))
    plans = json.loads((folder / f"{PLANS}.json").read_text())
    return {
        name: measured(started(kind, plans, folder, device), rounds, device)
        for name, kind in {STOCK: nnUNetTrainer, OURS: Ours}.items()
    }


def measured(trainer: Any, rounds: int, device: Any) -> dict[str, Any]:
    """Seconds of waiting and of the step, of `rounds` iterations; bytes of a batch; the share that the GPU is busy."""
    import torch

    loader, cuda = trainer.dataloader_train, device.type == "cuda"
    for _ in range(min(WARM_UP, rounds)):
        trainer.train_step(next(loader))
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    waits, steps, batch = 0.0, 0.0, None
    for _ in range(rounds):
        began = time.perf_counter()
        batch = next(loader)
        arrived = time.perf_counter()
        trainer.train_step(batch)  # its loss is read, so that it ends when the device is done
        waits, steps = waits + arrived - began, steps + time.perf_counter() - arrived
    images = trainer.batch_size * rounds
    found = {
        "images_per_second": images / (waits + steps),
        "wait": waits / rounds,
        "step": steps / rounds,
        "batch_bytes": batch_bytes(batch),
        "busy": busy_share(trainer) if cuda else None,
        "memory": torch.cuda.max_memory_allocated() if cuda else None,
        "batch": trainer.batch_size,
        "patch": list(trainer.configuration_manager.patch_size),
    }
    trainer.on_train_end()  # ends the workers
    return found


def batch_bytes(batch: Any) -> int:
    """The memory of the tensors of a batch, targets of all resolutions included."""
    import torch

    if isinstance(batch, torch.Tensor):
        return batch.numel() * batch.element_size()
    parts: Iterable[Any] = batch.values() if isinstance(batch, Mapping) else batch
    return sum(batch_bytes(p) for p in parts if isinstance(p, torch.Tensor | list | tuple | dict))


def busy_share(trainer: Any) -> float:
    """The time of the kernels of some iterations as a share of the time that they take."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    torch.cuda.synchronize()
    began = time.perf_counter()
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        for _ in range(PROFILED):
            trainer.train_step(next(trainer.dataloader_train))
        torch.cuda.synchronize()
        seconds = time.perf_counter() - began
    kernels = sum(e.self_device_time_total for e in seen.key_averages())
    return float(kernels / 1e6 / seconds)


def report(found: Mapping[str, Any]) -> str:
    """The table as Markdown."""
    first = found["sides"][STOCK]
    lines = [
        "# What training costs on a GPU",
        "",
        f"`python benchmarks/training_gpu.py`: {CONFIGURATION} of {PLANS}, patch"
        f" {' x '.join(map(str, first['patch']))}, batch {first['batch']}, on {found['device']}; nnU-Net's own workers."
        " Ours without rounds of correction.",
        "",
        found["machine"] + ".",
        "",
        *header(
            "",
            "images / s",
            "step (s)",
            "wait for the loader (s)",
            "GPU busy",
            "GPU memory (GB)",
            "batch (MB)",
        ),
    ]
    for name, side in found["sides"].items():
        busy = "" if side["busy"] is None else f"{side['busy']:.0%}"
        memory = "" if side["memory"] is None else f"{side['memory'] / 1e9:.1f}"
        numbers = f"{side['images_per_second']:.2f}", f"{side['step']:.3f}", f"{side['wait']:.3f}"
        lines.append(row(name, *numbers, busy, memory, f"{side['batch_bytes'] / 1e6:.0f}"))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
