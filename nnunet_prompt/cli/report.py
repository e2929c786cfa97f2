"""The arguments of `nnunet-prompt report`, and what it does."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_prompt.cli.hints import count
from nnunet_prompt.cli.options import at_least, label_names, unpaired_cases
from nnunet_prompt.common.errors import NNUNetPromptError

if TYPE_CHECKING:
    from nnunet_prompt.report.options import ReportOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folders",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="LABELS PREDICTIONS, or LABELS PREDICTIONS PREDICTIONS2 to compare two folders of masks, or one folder of"
        " a training (fold_0, or the model folder that holds it)",
    )
    parser.add_argument(
        "-o",
        dest="output",
        type=Path,
        required=True,
        metavar="report.html",
        help="file to write: one page that opens offline",
    )
    images = "folder of the images, shown behind the outlines (of a training: default nnUNet_raw)"
    parser.add_argument("-i", dest="images", type=Path, metavar="IMAGES", help=images)
    prompts = "prompts to show: a file or a folder, as for predict -p"
    parser.add_argument("-p", dest="prompts", type=Path, metavar="PROMPTS", help=prompts)
    model = (
        "model that made the masks, for its hash and licence: a folder, or hf://owner/name@revision (default: found"
        " around the masks)"
    )
    parser.add_argument("-m", dest="model", type=Path, metavar="MODEL", help=model)
    label_names(parser)
    parser.add_argument(
        "--groups",
        type=Path,
        metavar="CSV",
        help="table with a column case and others that group the cases, such as centre (default: what the converter of"
        " the data set noted)",
    )
    unpaired_cases(parser)
    processes = "processes to score and show cases with (default: one per processor, up to 8)"
    parser.add_argument("-np", dest="processes", type=at_least(1), metavar="N", help=processes)


def run(args: argparse.Namespace) -> int:
    if len(args.folders) > 3:
        raise NNUNetPromptError(
            f"FOLDER: expected one folder of a training, or LABELS and one or two folders of masks, found"
            f" {len(args.folders)} folders"
        )
    labels, *predictions = args.folders
    if not predictions:
        return _training(args)
    from nnunet_prompt.report.masks import write_report

    written = write_report(labels, predictions, args.output, options=_options(args))
    failed = len(written.failed)
    left = f"; {count(failed, 'case')} not scored" if failed else ""
    print(f"wrote {args.output} ({count(written.cases, 'case')}){left}")
    return 1 if failed else 0


def _training(args: argparse.Namespace) -> int:
    _check_masks_only(args)
    from nnunet_prompt.report.training import write_training_report

    written = write_training_report(args.folders[0], args.output, options=_options(args))
    print(f"wrote {args.output} ({count(written.cases, 'validation case')})")
    return 0


def _check_masks_only(args: argparse.Namespace) -> None:
    """Raises `NNUNetPromptError` for options that a report of a training does not have."""
    named = {"-p": args.prompts, "-m": args.model, "--names": args.names, "--groups": args.groups}
    unused = next((flag for flag, value in named.items() if value is not None), None)
    if unused is not None:
        raise NNUNetPromptError(
            f"{unused}: is of a report of masks, which takes LABELS and PREDICTIONS; found one folder,"
            f" {args.folders[0]}"
        )


def _options(args: argparse.Namespace) -> ReportOptions:
    from nnunet_prompt.report.options import ReportOptions

    return ReportOptions(
        images=args.images,
        prompts=args.prompts,
        names=args.names,
        groups=args.groups,
        model=args.model,
        missing=args.missing,
        extra=args.extra,
        num_processes=args.processes,
        command=command(args),
    )


def command(args: argparse.Namespace) -> str:
    """The command as it can be typed again."""
    words = ["nnunet-prompt", "report", *map(str, args.folders), "-o", str(args.output)]
    for flag, name in (
        ("-i", "images"),
        ("-p", "prompts"),
        ("-m", "model"),
        ("--names", "names"),
        ("--groups", "groups"),
        ("-np", "processes"),
    ):
        if getattr(args, name) is not None:
            words += [flag, str(getattr(args, name))]
    for name in ("missing", "extra"):
        if getattr(args, name) != "error":
            words += [f"--{name}", getattr(args, name)]
    return shlex.join(words)
