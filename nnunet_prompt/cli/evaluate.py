"""The arguments of `nnunet-prompt evaluate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from nnunet_prompt.cli.arguments import whole_numbers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("labels", type=Path, metavar="LABELS", help="folder of label maps")
    parser.add_argument(
        "predictions",
        type=Path,
        metavar="PREDICTIONS",
        help="folder of masks, named alike or *_pred",
    )
    parser.add_argument("-o", dest="output", type=Path, required=True, metavar="metrics.json")
    parser.add_argument(
        "--missing",
        choices=("error", "empty", "skip"),
        default="error",
        help="a case without a prediction: an error (default), scored as an empty mask, or left out",
    )
    parser.add_argument(
        "--extra",
        choices=("error", "skip"),
        default="error",
        help="a prediction without a label map: an error (default), or left out",
    )
    parser.add_argument(
        "--names",
        metavar="500=LV,200=scar",
        help="of label values, or a dataset.json (default: that of the label maps' data set)",
    )
    parser.add_argument(
        "--values",
        type=whole_numbers,
        metavar="500,200",
        help="label values to score (default: all that occur)",
    )
