"""The tables of benchmarks/peft.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness import header, machine, mean_and_range, row

from nnunet_prompt.training.validation_prompts import VALIDATION_KINDS


def report(results: dict[str, Any]) -> str:
    """The tables as Markdown."""
    seeds = ", ".join(map(str, results["seeds"]))
    lines = [
        "# Tuning few parameters for a new structure",
        "",
        f"`make peft DATA=../shared/data`; hippocampus, the base trained for {results['base iterations']}"
        f" iterations on the anterior part, then {results['iterations']} iterations on the posterior part of 5 or 10"
        f" other cases; Dice of the posterior part over {results['held out']} cases that none has seen, seed {seeds}."
        " Reduced plan (features 8, 16, 32, 64; batch 2), AdamW, CPU, no mirroring at inference. Prompts are drawn from"
        " the reference, the same for every row: one click at the deepest point, three clicks, one tight box in the"
        " middle slice or in 3D, centre lines in three slices; in every slice the tight box, one to five points; `mask`"
        " is a corrupted copy of the reference; `none` is the structure head alone. `no tuning` is the base as"
        " `nnunet-prompt weights adapt` hands it over: it has seen no posterior part, and its structure head is newly"
        " initialised.",
        "",
        f"{machine()}. Seconds are those of a"
        " training step without data loading. Size is that of adapter.pth, or of all weights where there is none.",
        "",
        *header("", "trained parameters", "size (kB)", "s / iteration"),
    ]
    for name, costs in results["costs"].items():
        number = "all" if costs["parameters"] is None else f"{costs['parameters']:,}"
        lines.append(row(name, number, f"{costs['bytes'] / 1000:.0f}", f"{costs['seconds']:.3f}"))
    for shots, rows in results["dice"].items():
        lines += ["", f"## Dice, {shots} cases", "", *dice_table(rows)]
    return "\n".join(lines) + "\n"


def dice_table(rows: Mapping[str, Mapping[str, Sequence[float | None]]]) -> list[str]:
    """One line per row and one column per kind of prompt: the mean over the seeds, and half their range."""
    lines = header("", *VALIDATION_KINDS)
    for name, kinds in rows.items():
        lines.append(row(name, *(_cell(kinds[kind]) for kind in VALIDATION_KINDS)))
    return lines


def _cell(values: Sequence[float | None]) -> str:
    known = [v for v in values if v is not None]
    if not known:
        return "–"
    short = f" ({len(known)} of {len(values)})" if len(known) < len(values) else ""
    return mean_and_range(known) + short
