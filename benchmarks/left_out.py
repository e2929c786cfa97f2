"""What pointing alone does on what was never named: a structure, or a whole data set, left out of the training.

    python benchmarks/left_out.py ../shared/data

A structure: hippocampus with the posterior part taken out of the label maps (it is background) trains a network that
knows the anterior part alone; both are then pointed at in held-out cases. A data set: the networks of
benchmarks/real.py (short, seed 0), each on the other's held-out cases. Writes benchmarks/results/left_out.md and .json.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import nibabel as nib
import numpy as np
from real import PROMPTED, TASKS, Task, Training, folders, prepare, train
from rich.console import Console
from tqdm import tqdm

from nnunet_prompt.evaluation.metrics import dice
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.io.nifti import read_label_volume, read_stored
from nnunet_prompt.prompts.types import CasePrompts
from nnunet_prompt.training.validation_prompts import FEW_KINDS, SLICE_KINDS, simulated_prompts

RESULTS = Path(__file__).parent / "results"
KINDS = (*FEW_KINDS, *SLICE_KINDS, "mask")
HIPPOCAMPUS, SUNNYBROOK = TASKS
ANTERIOR = replace(HIPPOCAMPUS, archive="hippocampus_anterior", dataset_id=803, name="Anterior")
STRUCTURES = {"anterior": 1, "posterior": 2}


def main() -> int:
    """Trains what is missing, measures, and writes the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("out/real"))
    parser.add_argument("-n", "--cases", type=int, default=16, help="held-out cases, at most")
    args = parser.parse_args()
    console = Console()
    for task in TASKS:
        prepare(task, args.data / f"{task.archive}.tar.gz", args.output, console)
    without_posterior(args.output)
    prepare(ANTERIOR, args.data / "unpacked above", args.output, console)
    models = {
        task.archive: Training(task, PROMPTED, "short", 0, args.output)
        for task in (*TASKS, ANTERIOR)
    }
    for training in models.values():
        train(training, console)
    results: dict[str, dict[str, float]] = {}
    for name, label in STRUCTURES.items():
        for trained in (ANTERIOR, HIPPOCAMPUS):
            kind = "never named" if (trained, name) == (ANTERIOR, "posterior") else "named"
            fold = models[trained.archive].fold
            results[f"{name}, {kind}; trained on {trained.archive}"] = measure(
                fold, HIPPOCAMPUS, args, label
            )
    for trained, asked in ((SUNNYBROOK, HIPPOCAMPUS), (HIPPOCAMPUS, SUNNYBROOK)):
        fold = models[trained.archive].fold
        results[f"{asked.archive}, never seen; trained on {trained.archive}"] = measure(
            fold, asked, args
        )
    (RESULTS / "left_out.json").write_text(json.dumps(results, indent=1) + "\n")
    (RESULTS / "left_out.md").write_text(report(results, args.cases))
    console.print(report(results, args.cases), markup=False)
    return 0


def without_posterior(output: Path) -> None:
    """The hippocampus data with the anterior part alone in the label maps."""
    source, target = (output / "source" / t.archive for t in (HIPPOCAMPUS, ANTERIOR))
    if (target / "dataset.json").is_file():
        return
    shutil.copytree(source, target, dirs_exist_ok=True)
    for path in sorted((target / "labelsTr").glob("*.nii.gz")):
        label = nib.load(path)
        kept = np.asarray(label.dataobj) == STRUCTURES["anterior"]
        nib.save(nib.Nifti1Image(kept.astype(np.uint8), label.affine, label.header), path)
    content = json.loads((source / "dataset.json").read_text())
    content["labels"] = {"background": 0, "anterior": 1}
    (target / "dataset.json").write_text(json.dumps(content, indent=1))


def measure(
    fold: Path, asked: Task, args: argparse.Namespace, label: int | None = None
) -> dict[str, float]:
    """Mean Dice over held-out cases of one label, or of all, by kind of prompt."""
    predictor = PromptPredictor.from_folder(
        fold.parent, PredictOptions(folds=(0,), device="cpu", use_mirroring=False)
    )
    variables = folders(args.output, "short", 0)
    base = Path(variables["nnUNet_preprocessed"]) / asked.folder
    images = Path(variables["nnUNet_raw"]) / asked.folder / "imagesTr"
    held_out = json.loads((base / "splits_final.json").read_text())[0]["val"][: args.cases]
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for case in tqdm(held_out, unit="case", disable=None):
        image = read_stored(images / f"{case}_0000.nii.gz")
        truth = read_label_volume(base / "gt_segmentations" / f"{case}.nii.gz").array
        labels = [int(v) for v in np.unique(truth) if v] if label is None else [label]
        masks = {v: truth == v for v in labels if (truth == v).any()}
        for kind in KINDS:
            sets = simulated_prompts(masks, kind, case, slice_axis=2, spacing=image.spacing_mm)
            mask = predictor.predict_prompts([image], CasePrompts(sets))
            found[kind] += [dice(reference, mask == v) for v, reference in masks.items()]
    return {kind: round(float(np.mean(values)), 4) for kind, values in found.items()}


def report(results: dict[str, Any], cases: int) -> str:
    """The tables as Markdown."""
    lines = [
        "# Pointing at what was never named",
        "",
        f"`python benchmarks/left_out.py ../shared/data`; up to {cases} held-out cases, reduced plans, short trainings,"
        " seed 0; mean Dice, not gated to slices.",
        "",
        "| pointed at | " + " | ".join(KINDS) + " |",
        "|---|" + "---:|" * len(KINDS),
    ]
    for name, one in results.items():
        lines.append(f"| {name} | " + " | ".join(f"{one[k]:.3f}" for k in KINDS) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
