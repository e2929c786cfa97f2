"""The arguments of `nnunet-prompt interact`, and what it does."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from nnunet_prompt.cli.arguments import at_least, model, whole_numbers
from nnunet_prompt.cli.hints import note

# As in `interact.protocols`, which imports more than help needs; a test compares them.
PROTOCOLS = ("clicks", "cvpr", "autopet", "slices")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "labels", type=Path, metavar="LABELS", help="folder of reference label maps"
    )
    parser.add_argument(
        "-i", dest="images", type=Path, required=True, metavar="IMAGES", help="folder of images"
    )
    parser.add_argument(
        "-o", dest="output", type=Path, required=True, metavar="FOLDER", help="scores and curves"
    )
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="clicks",
        help="clicks (default): a centre click, then clicks on the largest error; cvpr: a 3D box, then clicks;"
        " autopet: nothing, then strokes on the largest errors; slices: points, then boxes in every slice, then clicks",
    )
    parser.add_argument(
        "--interactions", type=at_least(1), metavar="N", help="default 6, of slices 5"
    )
    parser.add_argument(
        "--start",
        choices=("nothing", "automatic"),
        default="nothing",
        help="automatic: refine the mask that the model gives without prompts",
    )
    parser.add_argument(
        "--feedback", action="store_true", help="give the mask so far back as a mask prompt"
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=2.0,
        metavar="MM",
        help="of the normalised surface Dice, default 2",
    )
    parser.add_argument(
        "--values", type=whole_numbers, metavar="500,200", help="label values to play (default all)"
    )
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the simulated user")
    model(parser)


def run(args: argparse.Namespace) -> int:
    note(f"loading {args.model}")  # at once: importing torch alone may take many seconds
    from nnunet_prompt.cli.verbs import predict_options
    from nnunet_prompt.interact.play import Play
    from nnunet_prompt.interact.protocols import INTERACTIONS
    from nnunet_prompt.interact.run import CURVES, SUMMARY, interact_folder

    play = Play(
        protocol=args.protocol,
        interactions=args.interactions or INTERACTIONS[args.protocol],
        tolerance_mm=args.tolerance,
        feedback=args.feedback,
        seed=args.seed,
    )
    summary = interact_folder(
        args.labels,
        args.images,
        args.output,
        model=args.model,
        play=play,
        options=predict_options(args),
        start=args.start,
        values=args.values,
    )
    print(format_table(summary))
    print(f"wrote {args.output / SUMMARY} and {args.output / CURVES}")
    return 0


def format_table(summary: dict[str, Any]) -> str:
    """One line per label: the mean Dice after each interaction, its area, and the interactions to a Dice."""
    lines = []
    labels = {f"label {k}": one for k, one in summary["labels"].items()}
    for name, one in {**labels, "all": summary["all"]}.items():
        dice = " ".join(_number(point["dice"]) for point in one["curve"])
        area = one["auc_normalised"]["dice"]
        reached = ", ".join(
            f"to {goal}: {_number(one['interactions_to'][goal], 1)} ({missed} of {one['n']} never)"
            for goal, missed in one["failures"].items()
        )
        lines.append(f"{name}: Dice {dice}; area {_number(area)}; {reached}")
    return "\n".join(lines)


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
