"""`nnunet-prompt submit --check OUTPUT`: is a finished output folder what the inputs ask for?"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from nnunet_prompt.errors import NNUNetPromptError

_log = logging.getLogger(__name__)


class _Check(argparse.Action):
    """What only a run needs is not required beside this option."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, *said: Any) -> None:
        for action in parser._actions:
            if action.dest in ("output", "model"):
                action.required = False
        setattr(namespace, self.dest, said[0])


def add_check(parser: argparse.ArgumentParser) -> None:
    """Adds the option to the parser of `submit`."""
    parser.add_argument(
        "--check",
        action=_Check,
        type=Path,
        metavar="OUTPUT",
        help="only validate the existing masks in OUTPUT: prints one line per problem, exit code 1 if there is any;"
        " needs -i, but neither -m nor -o",
    )


def run_check(args: argparse.Namespace) -> int:
    """Prints what is wrong with the folder; returns 1 if anything is."""
    from nnunet_prompt.challenge.check import check_output
    from nnunet_prompt.prompt_files.prompts_json_convention import given_convention

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
    masks = "1 mask" if checked.expected == 1 else f"{checked.expected} masks"
    problems = "1 problem" if len(checked.problems) == 1 else f"{len(checked.problems)} problems"
    print(f"{args.check}: {masks} expected, {problems if checked.problems else 'all in order'}")
    return 1 if checked.problems else 0
