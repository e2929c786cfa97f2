"""The command line of the converters of the CARE downloads, as scripts and as `nnunet-prompt convert`.

Nothing here imports a heavy library, because the command line builds its help from it.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_prompt.common.errors import DatasetError, NNUNetPromptError
from nnunet_prompt.common.log import log_on_stderr
from nnunet_prompt.io.guard import check_output_file

_log = logging.getLogger(__name__)


if TYPE_CHECKING:
    from .download import CareOptions
    from .inspect import Examined

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


def care_parser(summary: str, layout: str) -> argparse.ArgumentParser:
    """The options of the converter of a CARE download, for its script; see `care_options`."""
    parser = argparse.ArgumentParser(description=summary)
    add_care_arguments(parser, layout)
    return parser


def care_options(args: argparse.Namespace) -> CareOptions:
    """The options of a converter; those that its parser does not have keep their defaults."""
    from .download import CareOptions

    return CareOptions(
        getattr(args, "version_root", None),
        args.leave_out,
        args.unknown_to_background,
        getattr(args, "stack_sequences", False),
        getattr(args, "fix_spacing", False),
        getattr(args, "unaligned", False),
    )


def run_care(
    args: argparse.Namespace, examine: Callable[[], Iterable[Examined]], convert: Callable[[], Path]
) -> int:
    """Inspects or converts, as the arguments of a `care_parser` state; returns the exit code."""
    from nnunet_prompt.data.conversion import run_converter

    if args.inspect is None:
        return run_converter(lambda: _convert(args, convert))
    with log_on_stderr(script=True):
        try:
            return run_inspection(args, examine)
        except NNUNetPromptError as error:
            _log.error(error)
            return 1


def _convert(args: argparse.Namespace, convert: Callable[[], Path]) -> Path:
    from nnunet_prompt.data.raw import keep_out_of

    keep_out_of(_sources(args))
    return convert()


def _sources(args: argparse.Namespace) -> list[Path]:
    return list(args.sources) if hasattr(args, "sources") else [args.source]


def run_inspection(args: argparse.Namespace, examine: Callable[[], Iterable[Examined]]) -> int:
    """Prints what a download holds, and writes it to the CSV if one is named; 1 for anything unexpected.

    Raises `DatasetError` when the CSV is a folder, such as a download that was typed behind the option.
    """
    if args.inspect != Path() and args.inspect.is_dir():
        raise DatasetError(
            f"--inspect {args.inspect}: is a folder, expected a CSV file to write: give downloads before the option"
        )
    if args.inspect != Path():
        check_output_file(args.inspect, _sources(args), option="--inspect")
    from .inspect import inspect_download

    return inspect_download(examine(), None if args.inspect == Path() else args.inspect)
