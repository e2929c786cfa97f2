"""The CARE downloads as one data set: any of MyoPS, WHS, LAScarQS and LiQA, one folder each, in any order.

    python -m nnunet_prompt.dataset_conversion.unify MYOPS WHS LASCARQS LIQA -d 510

What each folder holds is inferred from the names of its files. Everything else is in
`nnunet_prompt.dataset_conversion.care.unify`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .care.command_line import care_options, care_parser, run_care
from .care.detect import tasks_of
from .care.unify import examine, unify


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    args = care_parser("The CARE downloads to one nnU-Net raw data set", "unify").parse_args(
        arguments
    )
    options = care_options(args)
    return run_care(
        args,
        lambda: examine(tasks_of(args.sources), options),
        lambda: unify(args.sources, args.dataset_id, name=args.name, options=options),
    )


if __name__ == "__main__":
    sys.exit(main())
