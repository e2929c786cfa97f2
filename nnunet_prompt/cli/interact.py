"""The arguments of `nnunet-prompt interact`, and what it does."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from nnunet_prompt.cli.hints import note
from nnunet_prompt.cli.options import (
    at_least,
    label_values,
    model,
    predict_options,
    reference_labels,
)

# As in `interact.protocols`, which imports more than help needs; a test compares them.
PROTOCOLS = ("clicks", "cvpr", "autopet", "slices")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    reference_labels(parser)
    parser.add_argument(
        "-i", dest="images", type=Path, required=True, metavar="IMAGES", help="folder of the images"
    )
    parser.add_argument(
        "-o",
        dest="output",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="output folder for scores and curves",
    )
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="clicks",
        help="what the simulated user does: clicks (default): a click in the centre, then clicks on the largest error;"
        " cvpr: a 3D box, then clicks; autopet: nothing, then scribbles on the largest errors; slices: points, then"
        " boxes in every slice, then clicks",
    )
    parser.add_argument(
        "--interactions",
        type=at_least(1),
        metavar="N",
        help="number of interactions per label (default 6, with slices 5)",
    )
    parser.add_argument(
        "--start",
        choices=("nothing", "automatic"),
        default="nothing",
        help="start from an empty mask (nothing, default) or from the mask predicted without prompts (automatic)",
    )
    parser.add_argument(
        "--feedback",
        action="store_true",
        help="use the current mask as a mask prompt of the next step",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=2.0,
        metavar="MM",
        help="tolerance of the normalised surface Dice in mm (default 2)",
    )
    label_values(parser, "segment")
    summary = "seed of the simulated user (default 0)"
    parser.add_argument("--seed", type=at_least(0), default=0, help=summary)
    model(parser)


def run(args: argparse.Namespace) -> int:
    note(f"loading {args.model}")  # at once: importing torch alone may take many seconds
    from nnunet_prompt.evaluation.interact.play import Play
    from nnunet_prompt.evaluation.interact.protocols import INTERACTIONS
    from nnunet_prompt.evaluation.interact.run import CURVES, SUMMARY, interact_folder

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
