"""The tables of `learn.py` as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from harness import header, machine, row

SHARE, SLACK = 0.85, 0.01  # what must hold
DRAWN, LONGER = 5, 3  # as in `learn`


def report(results: Mapping[str, Any]) -> str:
    """The page from what `learn.main` measured."""
    number, full, rows = results["iterations"], results["full"], results["rows"]
    lines = [
        "# Learning a structure from a few cases",
        "",
        "`python benchmarks/learn.py ../shared/data`; hippocampus, reduced plan (features 8, 16, 32, 64; batch 2),"
        " CPU, no mirroring; the base has seen the anterior part alone (1200 iterations, 176 cases);"
        f" {results['test']} test cases and the pool of supports are held out of it. Dice of the posterior part"
        " without a prompt.",
        "",
        "The budget is in iterations, because the machine was shared: `learn` trains at least 150 iterations in all"
        f" with cases left out, and the best of the chosen kind {number} iterations more on all cases; a single kind of"
        f" adapter trains {2 * number}. *x {LONGER}*: that many times as long. Ten minutes on two cores are up to 1200"
        " CPU seconds. Draws are supports drawn at random from the pool of 14.",
        "",
        machine(),
        "",
        *header("full training, 176 cases", "Dice"),
        *(row(name, f"{value:.4f}") for name, value in full.items()),
        "",
        *header("", "kind", "Dice", "left-out Dice", "iterations", "CPU s", "s", "kB", left=(0, 1)),
        *(_learned(key, one) for key, one in rows.items() if "kind" in one),
        "",
        *header("atlas: nearest of k, rigidly aligned", "its mask", "mask as prompt to the base"),
        *(_atlas(key, one) for key, one in rows.items() if "prompted dice" in one),
        "",
        "No support: the base has no output for the posterior part, and answers nothing (Dice 0 by construction, not"
        " run). *Random place*: the right masks, each rolled to a random place. *Wrong structure*:"
        " the anterior part's masks under the name.",
        "",
        *header("what must hold", "asked", "found", "", left=(0, 3)),
        *_held(full, rows),
        *_missing(results.get("missing", ())),
    ]
    return "\n".join(lines) + "\n"


def _mean(one: Mapping[str, Any]) -> float:
    return fmean(one["dice"].values())


def _learned(key: str, one: Mapping[str, Any]) -> str:
    left = one["left out"].get(one["kind"])
    return row(
        key,
        one["kind"],
        f"{_mean(one):.4f}",
        "" if left is None else f"{left:.3f}",
        one["iterations"],
        f"{one['cpu seconds']:.0f}",
        f"{one['seconds']:.0f}",
        f"{one['bytes'] / 1000:.0f}",
    )


def _atlas(key: str, one: Mapping[str, Any]) -> str:
    return row(key, f"{_mean(one):.4f}", f"{fmean(one['prompted dice'].values()):.4f}")


def _held(full: Mapping[str, float], rows: Mapping[str, Any]) -> list[str]:
    right = f", k = {DRAWN}, draw "
    dice = {tuple(key.split(right)): _mean(one) for key, one in rows.items() if right in key}
    learned = {key: d for key, d in dice.items() if key[0] in ("learn", f"learn x {LONGER}")}
    found = []
    for (title, draw), value in learned.items():
        if full:
            best = max(full, key=lambda name: full[name])
            asked = f"{title}, draw {draw}: {SHARE} of {best}"
            found.append(_line(asked, SHARE * full[best], value))
        fixed = [d for (other, n), d in dice.items() if n == draw and _alone(other, title)]
        if fixed:
            asked = f"{title}, draw {draw}: best single kind of as many iterations - {SLACK}"
            found.append(_line(asked, max(fixed) - SLACK, value))
    return found


def _alone(title: str, learned: str) -> bool:
    """Whether a row is that of a single kind with as many iterations."""
    return any(title == learned.replace("learn", kind) for kind in ("decoder", "lora", "affine"))


def _missing(keys: Sequence[str]) -> list[str]:
    return ["", f"Not measured: {'; '.join(keys)}."] if keys else []


def _line(what: str, asked: float, found: float) -> str:
    verdict = "met" if found >= asked else f"**missed by {asked - found:.4f}**"
    return row(what, f"{asked:.4f}", f"{found:.4f}", verdict)
