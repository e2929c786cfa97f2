"""`nnunet-prompt submit`, and `submit --check OUTPUT`: is a finished output folder what the inputs ask for?

`--form` chooses what the input folder is; CARE's is the default.
"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_prompt.cli.hints import count, next_command
from nnunet_prompt.cli.options import (
    above_0,
    given_convention,
    model,
    predict_options,
    required_unless,
)
from nnunet_prompt.common.errors import NNUNetPromptError

if TYPE_CHECKING:
    from nnunet_prompt.challenge.submit import SubmitOptions

CARE = "care"
FORMS = (CARE, "grand-challenge")
_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--form",
        choices=FORMS,
        default=CARE,
        help="form of the input folder: care (default), images/ and prompts.json; or grand-challenge, one job with"
        " inputs.json and images/<slug>/",
    )
    parser.add_argument(
        "-i",
        dest="input",
        type=Path,
        **required_unless("nnUNet_prompt_input"),
        help="input folder, such as one with images/ and prompts.json",
    )
    parser.add_argument(
        "-o",
        dest="output",
        type=Path,
        **required_unless("nnUNet_prompt_output"),
        help="output folder for the masks, <Case ID>_pred.nii.gz (or images/<slug>/output.mha)",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="exit code 1 if a case is degraded or the prompts.json is ambiguous",
    )
    again = "predict cases again that have a finished mask (default: existing masks are kept)"
    parser.add_argument("--overwrite", action="store_true", help=again)
    parser.add_argument(
        "--report",
        type=Path,
        metavar="JSON",
        help="write a report with the result of each case to this file, outside of the output folder",
    )
    by_then = "time limit: by then every case has a mask, if necessary from its prompts alone"
    parser.add_argument("--budget-minutes", type=above_0(100_000), metavar="M", help=by_then)
    given_convention(parser)
    parser.add_argument(
        "--sockets",
        type=Path,
        metavar="JSON",
        help="roles of a platform's sockets by slug (default: sockets.json beside the model, else those that come with"
        " the package)",
    )
    _add_check(parser)
    model(parser, variable="nnUNet_prompt_model")


class _OnlyCheck(argparse.Action):
    """Makes the options that only a run needs optional beside this one."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, *values: Any) -> None:
        for action in parser._actions:
            if action.dest in ("output", "model"):
                action.required = False
        setattr(namespace, self.dest, values[0])


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--check",
        action=_OnlyCheck,
        type=Path,
        metavar="OUTPUT",
        help="only validate the existing masks in OUTPUT: prints one line per problem, exit code 1 if there is any;"
        " needs -i, but neither -m nor -o",
    )


def run(args: argparse.Namespace) -> int:
    if args.sockets is not None and args.form == CARE:
        raise NNUNetPromptError("--sockets: is for the form grand-challenge: give --form, too")
    if args.check is not None:
        return _check(args)
    degraded = _run_care(args) if args.form == CARE else _run_form(args)
    hint = f"; {count(degraded, 'case')} degraded, see the warnings" if degraded else ""
    print(f"wrote the masks to {args.output}{hint}")
    if args.form == CARE and not os.environ.get(
        "nnUNet_prompt_input"
    ):  # in a container nobody types
        next_command("nnunet-prompt", "submit", "-i", args.input, "--check", args.output)
    return 0


def _run_care(args: argparse.Namespace) -> int:
    from nnunet_prompt.challenge.submit import submit as submit_folder

    return submit_folder(
        args.input,
        args.output,
        model=args.model,
        options=predict_options(args),
        submission=_submission(args),
    )


def _run_form(args: argparse.Namespace) -> int:
    from nnunet_prompt.challenge.forms import grand_challenge

    folders = grand_challenge.Folders(args.input, args.output, args.model, args.sockets)
    options, submission = predict_options(args), _submission(args)
    return grand_challenge.submit_grand_challenge(folders, options=options, submission=submission)


def _submission(args: argparse.Namespace) -> SubmitOptions:
    from nnunet_prompt.challenge.submit import SubmitOptions
    from nnunet_prompt.prompt_files.prompts_json_convention import given_convention

    return SubmitOptions(
        convention=given_convention(args.order, args.base, args.inclusive),
        strict=args.strict,
        overwrite=args.overwrite,
        report=args.report,
        budget_minutes=args.budget_minutes,
    )


def _check(args: argparse.Namespace) -> int:
    """Prints what is wrong with the folder; returns 1 if anything is."""
    from nnunet_prompt.challenge.check import check_output
    from nnunet_prompt.prompt_files.prompts_json_convention import given_convention

    if args.form != CARE:
        raise NNUNetPromptError(
            f"--check: validates masks of the form care, found --form {args.form}"
        )
    if args.report is not None:
        raise NNUNetPromptError(
            "--report: reports on a run, and --check runs nothing: give one of both"
        )
    given = given_convention(args.order, args.base, args.inclusive)
    checked = check_output(args.input, args.check, given=given)
    for line in checked.guessed:
        _log.warning(line)
    for line in checked.problems:
        print(line)
    problems = count(len(checked.problems), "problem") if checked.problems else "all in order"
    print(f"{args.check}: {count(checked.expected, 'mask')} expected, {problems}")
    return 1 if checked.problems else 0
