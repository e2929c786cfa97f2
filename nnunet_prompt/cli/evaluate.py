"""The arguments of `nnunet-prompt evaluate`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_prompt.cli.options import (
    above_0,
    at_least,
    label_names,
    label_values,
    reference_labels,
    unpaired_cases,
)

if TYPE_CHECKING:
    from nnunet_prompt.evaluation.options import EvaluateOptions

_LONGEST_MM = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    reference_labels(parser)
    parser.add_argument(
        "predictions",
        type=Path,
        metavar="PREDICTIONS",
        help="folder of predicted masks, named as the label maps or <case>_pred",
    )
    parser.add_argument(
        "-o",
        dest="output",
        type=Path,
        required=True,
        metavar="metrics.json",
        help="file to write the metrics to",
    )
    unpaired_cases(parser)
    label_names(parser)
    label_values(parser)
    _measures(parser)
    _outputs(parser)


def _outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--groups",
        type=Path,
        metavar="FILE",
        help="CSV with a column case and others that group the cases, such as centre (default: what the converted"
        " data set knows of its cases)",
    )
    parser.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help="table to write, a row per case and structure, for pandas and R",
    )
    parser.add_argument(
        "--probabilities",
        type=Path,
        metavar="FOLDER",
        help="folder of probability maps (`predict --probabilities`) of which to add the calibration: expected"
        " calibration error, Brier score, reliability table",
    )
    parser.add_argument(
        "--reliability",
        type=Path,
        metavar="FILE.svg",
        help="reliability diagram to write, .svg or .png (with --probabilities)",
    )
    parser.add_argument(
        "--readers",
        type=Path,
        nargs="+",
        default=(),
        metavar="FOLDER",
        help="label maps of the same cases by further readers: their agreement beside the model's with each, and the"
        " CRPS of volumes",
    )
    parser.add_argument(
        "--processes",
        type=at_least(1),
        default=1,
        metavar="N",
        help="number of cases to score at a time (default 1)",
    )


def _measures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tolerances",
        type=_distances,
        default=(1.0, 2.0, 3.0),
        metavar="1,2,3",
        help="tolerances of the normalised surface Dice in mm (default 1,2,3)",
    )
    parser.add_argument(
        "--unions",
        metavar="scar+edema=2221+1220",
        help="unions to score as one structure, by value or name, commas between several (those of dataset.json are"
        " scored in any case)",
    )
    parser.add_argument(
        "--lesions",
        metavar="2221,scar",
        help="structures or unions to score lesion by lesion, too: F1 and counts of connected components",
    )
    parser.add_argument(
        "--lesion-iou",
        type=above_0(1),
        default=0.1,
        metavar="X",
        help="intersection over union from which two lesions match (default 0.1)",
    )


def evaluate_options(args: argparse.Namespace) -> EvaluateOptions:
    from nnunet_prompt.evaluation.options import EvaluateOptions

    return EvaluateOptions(
        tolerances_mm=args.tolerances,
        unions=args.unions,
        lesions=args.lesions or (),
        lesion_iou=args.lesion_iou,
        groups=args.groups,
        csv=args.csv,
        probabilities=args.probabilities,
        reliability=args.reliability,
        readers=args.readers,
    )


def _distances(text: str) -> tuple[float, ...]:
    return tuple(above_0(_LONGEST_MM)(part) for part in text.split(","))
