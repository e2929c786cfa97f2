"""What prompt-consistent decoding brings: the same model and prompts, decoded with and without it.

    python benchmarks/decoding.py MODEL IMAGES LABELS -n 12 --name hippocampus

IMAGES (CASE_0000.nii.gz) and LABELS (CASE.nii.gz) are a held-out set of the model, values of LABELS are labels. Prompts
are those of the validation at the end of a training. Writes benchmarks/results/decoding.md and .json, where other names
keep their last numbers.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
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


def main() -> int:
    """Measures and writes the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("model", "images", "labels"):
        parser.add_argument(name, type=Path)
    parser.add_argument("-n", "--cases", type=int, default=12)
    parser.add_argument("--name", required=True)
    args = parser.parse_args()
    record = RESULTS / "decoding.json"
    results: dict[str, Any] = json.loads(record.read_text()) if record.is_file() else {}
    paths = sorted(args.labels.glob("*.nii.gz"))[: args.cases]
    results[args.name] = {"cases": len(paths), "kinds": measure(args.model, args.images, paths)}
    record.write_text(json.dumps(results, indent=1) + "\n")
    text = report(results)
    record.with_suffix(".md").write_text(text)
    Console().print(text, markup=False)
    return 0


def measure(model: Path, images: Path, labels: list[Path]) -> dict[str, dict[str, float]]:
    """Mean Dice over cases and labels of each kind of prompt, with and without consistent decoding."""
    predictors = {
        arm: PromptPredictor.from_folder(
            model, PredictOptions(device="cpu", use_mirroring=False, consistent=arm == "with")
        )
        for arm in ("with", "without")
    }
    found: dict[str, dict[str, list[float]]] = {k: {arm: [] for arm in predictors} for k in KINDS}
    for path in tqdm(labels, unit="case", disable=None):
        case = path.name.removesuffix(".nii.gz")
        image = read_stored(images / f"{case}_0000.nii.gz")
        truth = read_label_volume(path).array
        masks = {int(v): truth == v for v in np.unique(truth) if v}
        for kind in KINDS:
            sets = simulated_prompts(masks, kind, case, slice_axis=2, spacing=image.spacing_mm)
            for arm, predictor in predictors.items():
                mask = predictor.predict_prompts([image], CasePrompts(sets))
                scores = [dice(truth == v, mask == v) for v in masks]
                found[kind][arm].append(float(np.mean(scores)))
    return {
        kind: {arm: round(float(np.mean(v)), 4) for arm, v in arms.items()}
        for kind, arms in found.items()
    }


def report(results: dict[str, Any]) -> str:
    """The table as Markdown."""
    lines = [
        "# Prompt-consistent decoding, on and off",
        "",
        "`python benchmarks/decoding.py MODEL IMAGES LABELS`; mean Dice over cases and labels, not gated to slices, one"
        " model, the same prompts. `predict --no-prompt-consistency` switches it off.",
    ]
    for name, result in results.items():
        lines += ["", f"## {name}, {result['cases']} held-out cases", ""]
        lines += ["| prompts | with | without | difference |", "|---|---:|---:|---:|"]
        for kind, arms in result["kinds"].items():
            apart = arms["with"] - arms["without"]
            lines.append(f"| {kind} | {arms['with']:.4f} | {arms['without']:.4f} | {apart:+.4f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
