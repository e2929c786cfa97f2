"""`nnunet-prompt drift`: its arguments, and the one function that it calls."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from nnunet_prompt.cli.options import above_0, at_least, seed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    table = "table that predict --monitor wrote"
    parser.add_argument(
        "reference", type=Path, metavar="REFERENCE", help=f"{table}, for cases known to be good"
    )
    parser.add_argument("new", type=Path, metavar="NEW", help=f"{table}, for cases of today")
    parser.add_argument(
        "-o", dest="output", type=Path, metavar="drift.json", help="file for all numbers, as JSON"
    )
    parser.add_argument(
        "--html", type=Path, metavar="drift.html", help="page to write, opens offline"
    )
    parser.add_argument(
        "--by",
        metavar="centre",
        help="column with the site of a case: each site is compared on its own",
    )
    parser.add_argument(
        "--groups",
        type=Path,
        metavar="CSV",
        help="CSV with a column case and others that group the cases, such as centre",
    )
    parser.add_argument(
        "--reference",
        dest="against",
        choices=("global", "site", "adaptive"),
        default="global",
        help="cases to compare with: all of REFERENCE (default), those of the same site, or these and the batches"
        " since without an alarm",
    )
    parser.add_argument(
        "--batch", type=at_least(5), default=20, metavar="N", help="cases of one look (default 20)"
    )
    parser.add_argument(
        "--looks",
        type=at_least(1),
        default=100,
        metavar="N",
        help="looks that are planned, all sites and days together (default 100)",
    )
    parser.add_argument(
        "--alpha",
        type=above_0(1),
        default=1.0,
        metavar="A",
        help="false alarms to expect in all planned looks (default 1); 0.05 makes any at all unlikely",
    )
    seed(parser)


def run(args: argparse.Namespace) -> int:
    from nnunet_prompt.evaluation.drift.compare import (
        DriftOptions,
        compare,
        format_drift,
        write_drift,
    )
    from nnunet_prompt.evaluation.drift.table import read_monitored
    from nnunet_prompt.evaluation.facts import read_facts

    _check_outputs(args)
    options = DriftOptions(
        by=args.by,
        reference=args.against,
        batch=args.batch,
        looks=args.looks,
        alpha=args.alpha,
        seed=args.seed,
    )
    groups = None if args.groups is None else read_facts(args.groups)[1]
    reference, new = (read_monitored(path, groups) for path in (args.reference, args.new))
    result = compare(reference, new, options)
    print(format_drift(result))
    if args.output is not None:
        write_drift(result, args.output)
        print(f"wrote {args.output}")
    if args.html is not None:
        from nnunet_prompt.report.drift import write_drift_page

        write_drift_page(result, args.html, command=shlex.join(["nnunet-prompt", *sys.argv[1:]]))
        print(f"wrote {args.html}")
    return 1 if result["without"] and not result["sites"] else 0


def _check_outputs(args: argparse.Namespace) -> None:
    """Raises `NNUNetPromptError` for an output that is one of the tables, or no page's name."""
    from nnunet_prompt.io.guard import check_output_file
    from nnunet_prompt.report.page import check_page

    inputs = [path for path in (args.reference, args.new, args.groups) if path is not None]
    for path, option in ((args.output, "-o"), (args.html, "--html")):
        if path is not None:
            check_output_file(path, inputs, option=option)
    if args.html is not None:
        check_page(args.html)
