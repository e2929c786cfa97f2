"""The benefit of decoding: the same model and prompts, decoded as shipped, and with each of its rules switched off.

    python benchmarks/decoding.py MODEL IMAGES LABELS -n 12 --name hippocampus

IMAGES (CASE_0000.nii.gz) and LABELS (CASE.nii.gz) are a held-out set of the model, values of LABELS are labels. Prompts
are those of the validation at the end of a training. Writes benchmarks/results/decoding.md and .json, where other names
keep their last numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import Any

import harness
from harness import HeldOut, Record, header, held_out_lines, row
from real_measure import KINDS

ARMS = {
    "as shipped": {},
    "--no-prompt-consistency": {"consistent": False},
    "--all-components": {"one_component": False},
    "both": {"consistent": False, "one_component": False},
}


def main() -> int:
    """Measures and writes the table."""
    return harness.on_held_out(__doc__, Record("decoding"), measure, report, cases=12)


def measure(model: Path, cases: Iterable[HeldOut]) -> dict[str, Any]:
    """Mean Dice over cases and labels without prompts and for each kind of them, by rule that is switched off."""
    predictors = {arm: harness.predictor(model, **off) for arm, off in ARMS.items()}
    kinds = ("none", *KINDS)
    found: dict[str, dict[str, list[float]]] = {k: {arm: [] for arm in predictors} for k in kinds}
    for kind, arm, scores in harness.answers(predictors, cases, kinds, None):
        found[kind][arm] += [fmean(scores)] if scores else []
    dice = {k: {arm: round(fmean(v), 4) for arm, v in arms.items()} for k, arms in found.items()}
    return {"kinds": dice}


def report(results: dict[str, Any]) -> str:
    """The table as Markdown."""
    lines = [
        "# Decoding, and its rules switched off",
        "",
        "`python benchmarks/decoding.py MODEL IMAGES LABELS`; mean Dice over cases and labels, not gated to slices, one"
        " model, the same prompts. `--no-prompt-consistency`: masks may contradict their points and scribbles, or be"
        " empty. `--all-components`: structures that are one component in every training case keep all of them.",
    ]
    for name, result in results.items():
        lines += [*held_out_lines(name, result), *header("prompts", *ARMS)]
        for kind, arms in result["kinds"].items():
            lines.append(row(kind, *(f"{arms[arm]:.4f}" for arm in ARMS)))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
