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
JOBS = ("grand-challenge", "autopet")
FORMS = (CARE, *JOBS, "cvpr")
_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
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
    _add_platform(parser)
    _add_check(parser)
    model(parser, variable="nnUNet_prompt_model")


def _add_platform(parser: argparse.ArgumentParser) -> None:
    """The form of the input folder, and what platforms other than CARE's need."""
    parser.add_argument(
        "--form",
        choices=FORMS,
        default=os.environ.get("nnUNet_prompt_form") or CARE,
        help="form of the input folder: care (default), images/ and prompts.json; grand-challenge, a job with"
        " inputs.json and images/<slug>/; autopet, one interaction with images/ct/, images/pet/ and lesion-clicks.json;"
        " or cvpr, *.npz",
    )
    parser.add_argument(
        "--sockets",
        type=Path,
        metavar="JSON",
        help="roles of a platform's sockets by slug (default: sockets.json beside the model, else those that come with"
        " the package)",
    )
    parser.add_argument(
        "--state",
        type=Path,
        default=os.environ.get("nnUNet_prompt_state") or None,
        metavar="FOLDER",
        help="folder that outlives the run, such as /cache: the mask of a case is kept there, and its next prompts"
        " correct it",
    )


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
    if args.form not in FORMS:  # argparse checks what is typed, not the environment
        raise NNUNetPromptError(
            f"nnUNet_prompt_form: expected one of {', '.join(FORMS)}, found {args.form!r}"
        )
    for option in ("sockets", "state"):
        if getattr(args, option) is not None and args.form not in JOBS:
            forms = " and ".join(JOBS)
            raise NNUNetPromptError(
                f"--{option}: is for the forms {forms}, found --form {args.form}"
            )
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
    from nnunet_prompt.challenge.forms.autopet import submit_autopet
    from nnunet_prompt.challenge.forms.cvpr import submit_cvpr
    from nnunet_prompt.challenge.forms.grand_challenge import Folders, submit_grand_challenge

    runs = {
        "grand-challenge": submit_grand_challenge,
        "autopet": submit_autopet,
        "cvpr": submit_cvpr,
    }
    folders = Folders(args.input, args.output, args.model, args.sockets, args.state)
    return runs[args.form](folders, options=predict_options(args), submission=_submission(args))


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
