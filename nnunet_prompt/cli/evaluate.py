"""The arguments of `nnunet-prompt evaluate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from nnunet_prompt.cli.options import whole_numbers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "labels", type=Path, metavar="LABELS", help="folder of reference label maps"
    )
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
    parser.add_argument(
        "--missing",
        choices=("error", "empty", "skip"),
        default="error",
        help="cases without a prediction: an error (default), scored as an empty mask, or skipped",
    )
    parser.add_argument(
        "--extra",
        choices=("error", "skip"),
        default="error",
        help="predictions without a label map: an error (default), or skipped",
    )
    parser.add_argument(
        "--names",
        metavar="500=LV,200=scar",
        help="names of label values, or a dataset.json (default: that of the label maps' data set)",
    )
    parser.add_argument(
        "--values",
        type=whole_numbers,
        metavar="500,200",
        help="label values to score (default: all that occur)",
    )
