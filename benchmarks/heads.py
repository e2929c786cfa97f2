"""What the structure heads say under prompts: one tile around each structure, prompted and not.

    python benchmarks/heads.py MODEL IMAGES LABELS -n 16 --name sunnybrook

No verb reads them so; it is reported because heads that copy the prompt were never taught by prompted patches. Boxes
and points in every slice lie on the structure, or on a copy of it that is moved aside (60 mm, or as far as the image
reaches). Writes benchmarks/results/heads.md and .json, where other names keep their last numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import Any

import harness
import numpy as np
import numpy.typing as npt
import torch
from harness import HeldOut, Record, header, held_out_lines, row

from nnunet_prompt.evaluation.metrics import dice
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.prompts.channels import N_PROMPT_CHANNELS
from nnunet_prompt.prompts.encode import Window
from nnunet_prompt.prompts.types import PromptSet
from nnunet_prompt.sliding_window.forward import mean_logits
from nnunet_prompt.sliding_window.grid_prompts import GridPrompts
from nnunet_prompt.training.validation_prompts import simulated_prompts

KIND, ASIDE_MM = "box + points in slices", 60.0
ROWS = {
    "no prompt": "with the structure",
    "prompts on the structure": "with the structure",
    "prompts moved aside": "with the structure",
    "prompts moved aside, copied": "with the moved copy",
}


def main() -> int:
    """Measures and writes the table."""
    return harness.on_held_out(__doc__, Record("heads"), measure, report, cases=16)


def measure(model: Path, cases: Iterable[HeldOut]) -> dict[str, Any]:
    """The mean Dice over structures and cases, by row."""
    predictor = harness.predictor(model)
    found: dict[str, list[float]] = {name: [] for name in ROWS}
    for case in cases:
        for name, score in measure_case(predictor, case):
            found[name].append(score)
    return {"dice": {name: round(fmean(scores), 4) for name, scores in found.items()}}


def measure_case(predictor: PromptPredictor, case: HeldOut) -> list[tuple[str, float]]:
    """The Dice of each structure's own head in its tile, by row."""
    placed = predictor.place([case.image], whole=True)
    to_grid = placed.file_to_reader.then(placed.grid.to_grid)
    spans = [(0, n) for n in to_grid.target_shape]
    patch, found = predictor.engine.patch_size, []
    for label, mask in case.masks.items():
        truth = to_grid.nearest(mask, spans)
        where = np.argwhere(truth)
        if not len(where):
            continue
        centre = (where.min(0) + where.max(0) + 1) // 2
        window = Window(tuple(int(c - n // 2) for c, n in zip(centre, patch, strict=True)), patch)
        moved = aside(mask, case.spacing_mm)
        prompted = {
            "prompts on the structure": prompts(mask, case),
            "prompts moved aside": prompts(moved, case),
        }
        inside = tile_of(truth, window)
        said = heads(predictor, placed.image.tile(window), None, window, label)
        found.append(("no prompt", dice(inside, said)))
        for name, one in prompted.items():
            sent = GridPrompts.of(one, to_grid)
            said = heads(predictor, placed.image.tile(window), sent, window, label)
            found.append((name, dice(inside, said)))
        found.append(
            (f"{name}, copied", dice(tile_of(to_grid.nearest(moved, spans), window), said))
        )
    return found


def prompts(mask: npt.NDArray[np.bool_], case: HeldOut) -> PromptSet:
    sets = simulated_prompts({1: mask}, KIND, case.name, slice_axis=2, spacing=case.spacing_mm)
    return sets[1]


def aside(mask: npt.NDArray[np.bool_], spacing_mm: tuple[float, ...]) -> npt.NDArray[np.bool_]:
    """The mask 60 mm further along its first axis, or as far as the image reaches, on the roomier side."""
    where = np.argwhere(mask)
    below, above = int(where[:, 0].min()), int(mask.shape[0] - 1 - where[:, 0].max())
    step = min(round(ASIDE_MM / spacing_mm[0]), max(below, above))
    return np.roll(mask, step if above >= below else -step, axis=0)


def tile_of(mask: npt.NDArray[np.bool_], window: Window) -> npt.NDArray[np.bool_]:
    """The part of a mask in a window, empty outside the image."""
    padded = np.zeros(window.shape, bool)
    low = np.array(window.origin)
    start, stop = np.maximum(low, 0), np.minimum(low + window.shape, mask.shape)
    here = tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    there = tuple(slice(int(a), int(b)) for a, b in zip(start - low, stop - low, strict=True))
    padded[there] = mask[here]
    return padded


@torch.no_grad()
def heads(
    predictor: PromptPredictor,
    image: torch.Tensor,
    sent: GridPrompts | None,
    window: Window,
    label: int,
) -> npt.NDArray[np.bool_]:
    """The mask of one structure head in a tile; without prompts where `sent` is None."""
    channels = np.zeros((N_PROMPT_CHANNELS, *window.shape), np.float32)
    if sent is not None:
        sent.encode(window, predictor.engine.style, channels)
    batch = torch.cat([image, torch.from_numpy(channels)])[None]
    structure = next(s for s in predictor.table.structures if s.official == label)
    logits = mean_logits([predictor.engine.network], batch)[0, structure.label]
    return np.asarray(logits.numpy() > 0)


def report(results: dict[str, Any]) -> str:
    """The table as Markdown."""
    lines = [
        "# Structure heads under prompts",
        "",
        "`python benchmarks/heads.py MODEL IMAGES LABELS`; one tile around each structure, its own head, Dice within"
        " the tile. Automatic masks never come from such passes; this is what they would say. Boxes and points in"
        f" every slice lie on the structure, or on a copy of it moved aside by {ASIDE_MM:g} mm, or as far as the image"
        " reaches.",
    ]
    for name, result in results.items():
        lines += held_out_lines(name, result)
        lines += header("prompts", "Dice of the structure's head", "", left=(0, 2))
        for kind, what in ROWS.items():
            shown = kind.removesuffix(", copied")
            lines.append(row(shown, f"{result['dice'][kind]:.4f}", what))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
