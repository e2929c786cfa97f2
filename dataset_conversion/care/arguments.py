"""What can be typed for the converters of the CARE downloads, as scripts and as `nnunet-prompt convert`.

Nothing here imports a heavy library, because the command line builds its help from it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

# The options of one converter alone.
OWN_OPTIONS = {
    "myops": (
        (
            "--stack-sequences",
            "write C0, LGE and T2 as three channels of one case, not as three cases",
        ),
        ("--unaligned", "always resample C0 and T2 by their affines, even where shapes agree"),
    ),
    "lascarqs": (
        (
            "--fix-spacing",
            "replace wrong spacings by 0.625 x 0.625 x 2.5 mm (1.25 mm where there are 88 slices)",
        ),
    ),
}
OWN_OPTIONS["unify"] = (OWN_OPTIONS["myops"][1], *OWN_OPTIONS["lascarqs"])
WHAT = "folder of the unpacked download"
WHICH = "folder of an unpacked download, one per task, in any order; of a download with two versions, the one to use"


def add_care_arguments(parser: argparse.ArgumentParser, layout: str) -> None:
    """The options that the CARE converters share, and those of `layout` alone.

    `layout` is a task ("myops", "whs", "lascarqs", "liqa"), or "unify", which takes several downloads as `sources`.
    """
    if layout == "unify":
        parser.add_argument("sources", type=Path, nargs="+", metavar="SOURCE", help=WHICH)
    else:
        parser.add_argument("source", type=Path, metavar="SOURCE", help=WHAT)
        parser.add_argument(
            "--version-root",
            type=Path,
            metavar="FOLDER",
            help="use only this folder of the source, where a download holds two versions of the same files",
        )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "-d",
        "--dataset-id",
        dest="dataset_id",
        type=int,
        metavar="ID",
        help="nnU-Net id of the new data set, 1 to 999",
    )
    what.add_argument(
        "--inspect",
        nargs="?",
        type=Path,
        const=Path(),
        metavar="CSV",
        help="do not convert: list the cases of the download (and write them to CSV); exit code 1 if any is unexpected",
    )
    parser.add_argument(
        "--name", metavar="N", help="name of the new data set (default: its task's, or CARE)"
    )
    flags = (
        ("--leave-out", "leave out unexpected cases instead of stopping"),
        (
            "--unknown-to-background",
            "convert undocumented label values to background instead of stopping",
        ),
    )
    for flag, text in (*flags, *OWN_OPTIONS.get(layout, ())):
        parser.add_argument(flag, action="store_true", help=text)
