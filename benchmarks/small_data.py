"""Data sets of phantoms that benchmarks write, plan and preprocess themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
from rich.console import Console

Folds = list[dict[str, list[str]]]


@dataclass(frozen=True, slots=True)
class SmallData:
    """A data set, the features of its reduced plan, and what is changed in the plan's configuration."""

    dataset_id: int
    name: str
    plans: str
    features: str
    changes: Mapping[str, Any]

    def prepare(
        self,
        output: Path,
        write: Callable[[Path, int, str], object],
        folds: Callable[[Path, Sequence[str]], Folds],
        console: Console,
    ) -> None:
        """`write` makes the raw data set, `folds` its splits, from its folder and the cases; nothing is done twice."""
        variables = harness.folders(output) | harness.ONE_WORKER
        dataset = f"Dataset{self.dataset_id:03d}_{self.name}"
        raw, folder = (
            Path(variables[key]) / dataset for key in ("nnUNet_raw", "nnUNet_preprocessed")
        )
        done = folder / ".prepared"
        if done.is_file():
            return
        write(raw.parent, self.dataset_id, self.name)
        number = str(self.dataset_id)
        plan = ["nnunet-prompt", "plan", "-d", number, "-o", self.plans, "--features"]
        for command in ([*harness.PLAN_AND_PREPROCESS, number], [*plan, self.features]):
            harness.run(command, variables, console)
        plans = folder / f"{self.plans}.json"
        content = json.loads(plans.read_text())
        content["configurations"][harness.CONFIGURATION] |= self.changes
        plans.write_text(json.dumps(content, indent=4))
        cases = sorted(p.name.removesuffix(".nii.gz") for p in raw.glob("labelsTr/*.nii.gz"))
        (folder / "splits_final.json").write_text(json.dumps(folds(raw, cases)))
        done.touch()


def one_thread(output: Path, results: str, *, iterations: int, seed: int) -> dict[str, str]:
    """The environment of a training in one process and one thread; `results` is nnU-Net's folder of models."""
    return harness.folders(output, results) | {
        "nnUNet_def_n_proc": "1",
        "nnUNet_n_proc_DA": "0",
        "nnUNet_prompt_iterations": str(iterations),
        "nnUNet_prompt_seed": str(seed),
        "OMP_NUM_THREADS": "1",
    }
