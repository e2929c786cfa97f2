"""What can be typed for the converters of the CARE downloads, as scripts and as `nnunet-prompt convert`.

Nothing here imports a heavy library, because the command line builds its help from it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

# The options of one converter alone.
OWN_OPTIONS = {
    "myops": (
        ("--stack-sequences", "C0, LGE, T2 as three channels of one case"),
        ("--unaligned", "resample C0 and T2 by their affines in any case"),
    ),
    "lascarqs": (
        (
            "--fix-spacing",
            "replace spacings that are off by 0.625 x 0.625 x 2.5 mm (1.25 mm where there are 88 slices)",
        ),
    ),
}
OWN_OPTIONS["unify"] = (OWN_OPTIONS["myops"][1], *OWN_OPTIONS["lascarqs"])
WHAT = "folder of the unpacked download"
WHICH = (
    "one folder of an unpacked download per task, or of the one version of it to use; in any order"
)


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
            help="search this folder of the source only",
        )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "-d",
        "--dataset-id",
        dest="dataset_id",
        type=int,
        metavar="ID",
        help="nnU-Net id, 1 to 999",
    )
    what.add_argument(
        "--inspect",
        nargs="?",
        type=Path,
        const=Path(),
        metavar="CSV",
        help="write no data set: print (and write to CSV) what is there; exit code 1 if any of it is unexpected",
    )
    parser.add_argument(
        "--name", metavar="N", help="of the new data set (default: its task's, or CARE)"
    )
    flags = (
        ("--leave-out", "leave out unexpected cases instead of stopping"),
        ("--unknown-to-background", "take label values that nobody documented as background"),
    )
    for flag, text in (*flags, *OWN_OPTIONS.get(layout, ())):
        parser.add_argument(flag, action="store_true", help=text)
