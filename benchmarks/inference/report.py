"""The tables of the inference benchmark, each ratio with its bar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness import header, row

PARTS = ("read", "preprocess", "network", "export")
NAMES = {
    "stock": "(a) stock nnU-Net, automatic",
    "one_by_one": "(b) full window once per label",
    "full": "ours, full window",
    "ours": "(d) **ours**",
    "padded": "ours, in 8 times the volume",
    "nninteractive": "(c) nnInteractive",
    "ours_voxels": "(d) **ours**, same model as (c)",
    "automatic": "(e) **ours**, automatic",
    "automatic_all_run": "(e) ours, automatic, no tile skipped",
    "automatic_bfloat16": "(e) **ours**, automatic, bfloat16",
}
LARGE = 1000
# of each task: numerator, denominator, measure, and the bar
RATIOS = {
    "WholeHeart": (
        ("ours", "stock", "total", 0.3),
        ("ours", "one_by_one", "total", 0.08),
        ("ours_voxels", "nninteractive", "total", 0.5),
        ("ours", "stock", "peak", 0.5),
        ("padded", "ours", "total", 1.3),
        ("automatic", "stock", "total", 0.65),
        ("automatic_bfloat16", "stock", "total", 0.5),
        ("automatic", "stock", "peak", 0.35),
    ),
    "Thorax": (("automatic", "stock", "peak", 0.2),),
    "ShortAxis": (("ours", "one_by_one", "total", 1.05),),
    "Liver": (("ours", "stock", "total", 0.4),),
    "LeftAtrium": (("ours", "stock", "total", 0.4),),
}
DRAWING, DICE_LOSS, AGREEMENT = 0.02, 0.005, 0.98
PARITY = 0.999  # mean Dice of our automatic masks with stock nnU-Net's
INTRO = (
    "`make inference`: phantom cases of the real sizes with a fixed seed; in every slice of every label a box, one to"
    " five points, and the points of the other labels as negatives. One network per task with nnU-Net's plan,"
    " {network}, trained for {iterations} iterations on other phantoms so that masks are sensible. Without mirroring."
    " Every side is a process of its own; libraries and model are loaded before its clock starts, memory is the most"
    " that the whole process had."
)
SIDES = """
* (a) `nnUNetPredictor` on the export of `weights export --format nnunet`: structure heads, no prompts, one pass for all
  labels; read, preprocess, sliding window and export are nnU-Net's own functions.
* (b) without our sliding window: one read and one preprocessing of the volume; then, for each label, its prompts
  as channels of the whole volume and nnU-Net's sliding window over all of its tiles, object head only; its logits
  resampled to the file's grid, and per voxel the largest of them above zero.
* ours, full window: our engine and every tile of the full window that sees a prompt of a label. Its masks are what ours
  are compared with.
* (c) nnInteractive's session from PyPI on the export of `weights export --format nninteractive`: a second model,
  without resampling and with its own patch, which (d) then answers with, too. Auto-zoom is on. One object after the
  other; it gets all prompts of an object and predicts once, the largest box last, because it looks where the
  last prompt is. Of the whole heart only: it takes one channel, and with the liver's flat patch its refinement raises
  an error (`random_sampling_fallback` of nnInteractive 2.6.0).
* (d) `PromptPredictor`, all labels in one call, as `nnunet-prompt predict` runs it.
* (e) the same without prompts, on the weights of (a): labels slab by slab, never all logits. Air carries noise as in CT
  and MR, so that tiles of one value, which are run once, are rare; with skipping and without.

Ours run a label's tiles of the full window where they are hardly more than tiles around its prompts ("all lattice
tiles"); else fewer: those of them that make up most of its average, or tiles centred on the prompts.
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """A number with its bar; `most` tells whether the bar is above it or below."""

    what: str
    value: float
    bar: float
    most: bool = True
    note: str = ""

    @property
    def met(self) -> bool:
        return self.value <= self.bar if self.most else self.value >= self.bar

    def row(self) -> str:
        sign = "at most" if self.most else "at least"
        kept = "met" if self.met else "**missed**"
        return row(self.what, f"{self.value:.3f}", f"{sign} {self.bar:g}", kept, self.note)


def report(results: Mapping[str, Any]) -> str:
    """All tables as Markdown."""
    tasks = {name: r for name, r in results.items() if name != "real"}
    real = results.get("real", {})
    every = [bar for name, r in tasks.items() for bar in bars(name, r)]
    # a network that was trained for a moment is no measure of accuracy where there is a better one
    every += real_bars(real) if real else [b for r in tasks.values() for b in recentred_bars(r)]
    lines = ["# The cost of an answer", "", intro(tasks), SIDES]
    lines += dict.fromkeys(machine(r) for r in tasks.values())
    lines += ["", "## The bars", ""]
    lines += header("", "found", "bar", "", "where the time goes", left=(0, 3, 4))
    lines += [bar.row() for bar in every]
    for r in tasks.values():
        lines += ["", f"## {r['title']}", "", *task_lines(r)]
    lines += real_lines(results.get("real", {}))
    return "\n".join(lines) + "\n"


def intro(tasks: Mapping[str, Any]) -> str:
    models = [r["models"]["plain"] for r in tasks.values()]
    if not models:
        return ""
    parameters = sorted(m["parameters"] / 1e6 for m in models)
    network = f"{parameters[0]:.2f} to {parameters[-1]:.2f} M parameters" + (
        ", reduced by `nnunet-prompt plan` (features 8, 16, 32, 64)"
        if models[0]["device"] == "CPU"
        else ""
    )
    return INTRO.format(network=network, iterations=models[0]["iterations"])


def machine(result: Mapping[str, Any]) -> str:
    model = result["models"]["plain"]
    return f"{result['machine']}, network on {model['device']}, {model['threads']} threads."


def bars(name: str, result: Mapping[str, Any]) -> Iterator[Bar]:
    """The bars of a task of which both numbers are there."""
    sides, title = result["sides"], result["title"].split(",")[0]
    for ours, other, measure, bar in RATIOS.get(name, ()):
        if ours in sides and other in sides:
            value = sides[ours][measure] / sides[other][measure]
            what = "peak memory" if measure == "peak" else "time"
            label = f"{title}: {what}, {plain(ours)} / {plain(other)}"
            note = where(sides[ours]) if measure == "total" else ""
            if f"{ours}_{other}" in result["scores"]:
                alike = [v["dice"] for v in result["scores"][f"{ours}_{other}"].values()]
                note += f"; lowest Dice between both {min(alike):.4f}"
            yield Bar(label, value, bar, note=note)
    for side in ("automatic", "automatic_bfloat16"):
        alike = [v["dice"] for v in result["scores"].get(f"{side}_stock", {}).values()]
        if alike and side in sides:
            share = f"lowest {min(alike):.4f}; {sides[side]['skipped']} of {sides[side]['lattice']} tiles skipped"
            what = f"{title}: mean Dice, {plain(side)}, with {plain('stock')}"
            yield Bar(what, sum(alike) / len(alike), PARITY, False, share)
    if "ours" in sides:
        side = sides["ours"]
        share = side["drawing"] / max(side["forward"], 1e-9)
        yield Bar(f"{title}: rasterising / forward passes", share, DRAWING)
    found = compared(result)
    lattice = [k for k in found if k in result["all_tiles"]]
    if lattice:
        same = sum(found[k]["same"] for k in lattice) / len(lattice)
        note = f"{len(lattice)} of {len(found)} labels"
        yield Bar(f"{title}: all lattice tiles, same mask as the full window", same, 1, False, note)


def recentred_bars(result: Mapping[str, Any]) -> Iterator[Bar]:
    """How the masks of fewer tiles compare with those of the full window."""
    scores, title = result["scores"], result["title"].split(",")[0]
    found = compared(result)
    moved = [k for k in found if k not in result["all_tiles"]]
    if moved:
        loss = mean(scores["dice"]["full"], moved) - mean(scores["dice"]["ours"], moved)
        note = f"{mean(scores['dice']['ours'], moved):.4f} with {len(moved)} of {len(found)} labels"
        yield Bar(f"{title}: fewer tiles, Dice to the reference lost", loss, DICE_LOSS, True, note)
    large = [found[k]["dice"] for k in moved if found[k]["voxels"] > LARGE]
    if large:
        note = f"labels above {LARGE} voxels"
        yield Bar(f"{title}: lowest Dice with the full window", min(large), AGREEMENT, False, note)


def compared(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """How the masks of ours agree with the full window's, by label; nothing if it is not known which tiles they had."""
    return {} if result["all_tiles"] is None else result["scores"].get("ours_full", {})


def all_tiles(ours: Mapping[str, Any], full: Mapping[str, Any]) -> list[str]:
    """The labels that got just the tiles that the full window runs for them: then their masks are the same."""
    return [
        label
        for label, windows in ours["windows"].items()
        if sorted(windows) == sorted(full["windows"][label]) and not ours["grown"][label]
    ]


def task_lines(result: Mapping[str, Any]) -> Iterator[str]:
    about, model = result["about"], result["models"]["plain"]
    size = " x ".join(map(str, about["shape"]))
    yield (
        f"{size} voxels, {about['prompts']} positive prompts. Labels are {about['labelled']:.1%} of the volume, the box"
        f" around all of them {about['box']:.1%}, that of one {about['boxes']:.1%}. Patch"
        f" {by(model['patch'])}, {model['parameters'] / 1e6:.2f} M parameters"
        + (
            f"; without resampling {by(result['models']['voxels']['patch'])}"
            if "voxels" in result["models"]
            else ""
        )
        + "."
    )
    yield ""
    yield from header(
        *("", "time (s)", *PARTS, "forward passes", "tiles", "memory (GB)", "Dice"),
    )
    for side, r in result["sides"].items():
        seconds = (r["total"], *(r["parts"][p] for p in PARTS), r["forward"])
        dice = result["scores"]["dice"].get(side)
        score = f"{mean(dice, list(dice)):.3f}" if dice else ""
        times = [f"{s:.2f}" for s in seconds]
        yield row(NAMES[side], *times, r["tiles"], f"{r['peak'] / 1e9:.2f}", score)
    for side, why in result.get("left_out", {}).items():
        yield f"| {NAMES[side]} | {why} |" + " |" * 8
    for side in ("ours", "ours_voxels", "nninteractive"):
        if side in result["sides"]:
            yield from ["", tiles(side, result["sides"][side])]
    for bar in recentred_bars(result):
        what = bar.what.split(": ")[1]
        yield from [
            "",
            f"With {model['iterations']} iterations of training: {what} {bar.value:.4f} ({bar.note}).",
        ]


def tiles(side: str, found: Mapping[str, Any]) -> str:
    """How many tiles each label got."""
    grown = found.get("grown", {})
    counts = ", ".join(
        f"{k}: {n}" + (f" ({grown[k]} added at borders)" if grown.get(k) else "")
        for k, n in found["by_label"].items()
    )
    return f"Tiles by label, {plain(side)}: {counts}."


def real_bars(real: Mapping[str, Any]) -> Iterator[Bar]:
    for dataset, found in real.items():
        title = dataset.split("_")[-1]
        lattice = [r for r in found["rows"] if r["all_tiles"]]
        moved = [r for r in found["rows"] if not r["all_tiles"]]
        if lattice:
            same = sum(r["same"] for r in lattice) / len(lattice)
            note = f"{len(lattice)} masks"
            yield Bar(
                f"{title}: all lattice tiles, same mask as the full window", same, 1, False, note
            )
        if moved:
            ours, full = (sum(r["dice"][i] for r in moved) / len(moved) for i in (0, 1))
            note = f"{len(moved)} masks, {ours:.4f} and {full:.4f}"
            yield Bar(
                f"{title}: fewer tiles, Dice to the reference lost",
                full - ours,
                DICE_LOSS,
                True,
                note,
            )
        large = [r["agreement"] for r in moved if r["voxels"] > LARGE]
        if large:
            note = f"{len(large)} masks above {LARGE} voxels"
            yield Bar(
                f"{title}: lowest Dice with the full window", min(large), AGREEMENT, False, note
            )


def real_lines(real: Mapping[str, Any]) -> Iterator[str]:
    """The real images: the models of benchmarks/real.py on their validation cases."""
    if not real:
        return
    yield from ["", "## Real images", ""]
    yield "The models of `benchmarks/real.py` (seed 0) on their validation cases; boxes and points in every slice."
    columns = ("masks", "tiles, ours", "full window with prompts", "all of it", "Dice, ours")
    yield from ["", *header("", "patch", *columns, "full window", left=(0, 1))]
    for dataset, found in real.items():
        rows = found["rows"]
        counts = [sum(r["tiles"][i] for r in rows) for i in range(3)]
        scores = [sum(r["dice"][i] for r in rows) / len(rows) for i in (0, 1)]
        numbers = [*counts, *(f"{s:.4f}" for s in scores)]
        yield row(dataset.split("_")[-1], by(found["patch"]), len(rows), *numbers)


def where(side: Mapping[str, Any]) -> str:
    """The parts of a side's time, the largest first."""
    parts = sorted(side["parts"].items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {seconds / side['total']:.0%}" for name, seconds in parts)


def mean(scores: Mapping[str, float], keys: list[str]) -> float:
    return sum(scores[k] for k in keys) / len(keys)


def plain(side: str) -> str:
    return NAMES[side].replace("**", "")


def by(numbers: list[int]) -> str:
    return " x ".join(map(str, numbers))
