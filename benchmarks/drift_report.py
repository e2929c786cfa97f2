"""The tables of `drift.py` as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from harness import header, machine, row

UNCHANGED = "unchanged"  # as in `drift`
DETECTED, FALSE = 0.9, 10  # what must hold: share of looks, and alarms in 100 batches
LEVELS = (
    0.0005,
    0.05,
)  # beside the default: that of --alpha 0.05, and the highest that `drift` takes


def report(results: Mapping[str, Any], words: Mapping[str, str]) -> str:
    """The page from what `drift.main` measured; `words` describe the conditions."""
    p, cases = results["p"], results["cases"]
    levels = (results["default level"], *LEVELS)
    splits, batches = len(p[UNCHANGED]), len(p[UNCHANGED][0])
    lines = [
        "# Drift without labels",
        "",
        f"`make drift`: hearts of centre A, predicted by the demo's model (CPU, no mirroring, tiles side by side)."
        f" {cases[UNCHANGED]} unchanged hearts are split into {results['reference']} for the reference and"
        f" {cases[UNCHANGED] - results['reference']} others, {splits} times at random. From each condition {batches}"
        f" batches of {results['batch']} are drawn with replacement and compared with the reference as"
        f" `nnunet-prompt drift` does; a case that is drawn twice counts once, as in a table that is read, which leaves"
        f" {results['distinct']:.1f} cases of a batch on average. No labels are used."
        " The hearts are others than those on which the test and its features were chosen.",
        "",
        machine() + ".",
        "",
        *header("condition", "change", "predictions", left=(0, 1)),
        *(row(name, words[name], cases[name]) for name in p),
        "",
        f"Share of looks with an alarm, mean over {splits} splits (smallest to largest of a split). At the default of"
        f" `drift` each look has the level {levels[0]:g}, one false alarm to expect in 100 looks; with `--alpha 0.05`"
        f" it has {levels[1]:g}, and {levels[2]:g} is the highest, where few looks are planned.",
        "",
        *header("condition", *(f"level {level:g}" for level in levels)),
        *(row(name, *(_share(looks, level) for level in levels)) for name, looks in p.items()),
        "",
        *header("what must hold", "asked", "found", "", left=(0, 3)),
        *_held(p, levels[0]),
    ]
    return "\n".join(lines) + "\n"


def _rates(looks: Sequence[Sequence[float]], level: float) -> list[float]:
    return [fmean(p <= level for p in one) for one in looks]


def _share(looks: Sequence[Sequence[float]], level: float) -> str:
    rates = _rates(looks, level)
    return f"{fmean(rates):.3f} ({min(rates):.2f} to {max(rates):.2f})"


def _held(p: Mapping[str, Sequence[Sequence[float]]], level: float) -> list[str]:
    found = []
    for name, looks in p.items():
        rates = _rates(looks, level)
        if name == UNCHANGED:
            worst = 100 * max(rates)
            what = "false alarms in 100 batches, default level, worst split"
            verdict = "met" if worst <= FALSE else f"**missed by {worst - FALSE:.0f}**"
            found.append(row(what, f"at most {FALSE}", f"{worst:.0f}", verdict))
        else:
            seen = fmean(rates)
            verdict = "met" if seen >= DETECTED else f"**missed by {DETECTED - seen:.3f}**"
            found.append(
                row(f"detection of {name}, default level", DETECTED, f"{seen:.3f}", verdict)
            )
    return found
