"""What `nnunet-prompt predict` takes."""

from __future__ import annotations

import argparse
from pathlib import Path

from nnunet_prompt.cli.arguments import UPLOADS, at_least, given_convention, model, names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-i",
        dest="images",
        type=Path,
        required=True,
        help="folder of images, one image file, or a folder with one DICOM series",
    )
    parser.add_argument(
        "-o",
        dest="output",
        type=Path,
        required=True,
        help="folder for the masks, another than that of the images",
    )
    parser.add_argument(
        "-p",
        dest="prompts",
        type=Path,
        metavar="PROMPTS",
        help="prompts.json, files of 3D Slicer, napari or ITK-SNAP, our own form, or a folder with files for each case"
        " (docs/prompts.md); without it: every structure",
    )
    parser.add_argument(
        "--refine",
        type=Path,
        metavar="MASKS",
        help="with -p: correct the automatic masks of this folder (predicted without -p) instead of beginning anew",
    )
    given_convention(parser)
    parser.add_argument(
        "--axes",
        choices=("zyx", "xyz"),
        help="of napari files: what axis-0, axis-1, axis-2 are (default zyx, which is then reported)",
    )
    parser.add_argument(
        "--structures",
        type=names,
        default=(),
        metavar="LV,scar",
        help="only these, by name or official id",
    )
    parser.add_argument(
        "--upload",
        choices=UPLOADS,
        help="-i is a validation or test download of CARE-Cardiac; -o gets its masks and their zip",
    )
    parser.add_argument("--team", metavar="NAME", help="of the zip, with --upload")
    model(parser)
    _many_cases(parser)


def _many_cases(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--continue_prediction",
        "--c",
        action="store_true",
        help="resume a run that was stopped: finished masks are kept",
    )
    parser.add_argument(
        "--whole-names",
        action="store_true",
        help="file names are names of cases: _0000 at their end is no channel (models of one channel)",
    )
    parser.add_argument(
        "--num-parts",
        "-num_parts",
        type=at_least(1),
        default=1,
        metavar="N",
        help="this is one of N such runs, on as many machines or GPUs (default 1)",
    )
    parser.add_argument(
        "--part-id",
        "-part_id",
        type=at_least(0),
        default=0,
        metavar="I",
        help="which one, from 0 to N - 1 (default 0)",
    )
    parser.add_argument(
        "--dask",
        metavar="SCHEDULER",
        help="spread the cases over the workers of this Dask scheduler (tcp://host:8786, or its file), and"
        " keep masks that are there; workers see all folders under the same paths",
    )
    parser.add_argument(
        "--verbose", action="store_true", help="tell how many tiles each label of a case took"
    )
