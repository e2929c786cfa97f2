"""What the converters of the CARE downloads share on the command line."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_prompt.data.conversion import run_converter
from nnunet_prompt.errors import DatasetError, NNUNetPromptError
from nnunet_prompt.io.guard import check_output_file
from nnunet_prompt.log import log_on_stderr

from .arguments import add_care_arguments
from .download import CareOptions

if TYPE_CHECKING:
    from .inspect import Examined

_log = logging.getLogger(__name__)


def care_parser(summary: str, layout: str) -> argparse.ArgumentParser:
    """The options of the converter of a CARE download, for its script; see `care_options`."""
    parser = argparse.ArgumentParser(description=summary)
    add_care_arguments(parser, layout)
    return parser


def care_options(args: argparse.Namespace) -> CareOptions:
    """The options of a converter; those that its parser does not have keep their defaults."""
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
    """Inspects or converts, as the arguments of a `care_parser` say; returns the exit code."""
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
