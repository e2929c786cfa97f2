"""The arguments of `nnunet-prompt leaderboard`, and what it does."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from nnunet_prompt.cli.options import at_least, label_names, label_values, names, reference_labels

# As in `ranking.options`, which imports more than help needs; a test compares them.
SCHEMES = ("general", "tfm4media", "care-cardiac", "care-myops", "care-whs")
WIDTH = 120  # of tables where there is no terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    reference_labels(parser)
    parser.add_argument(
        "teams",
        type=_team,
        nargs="+",
        metavar="TEAM=FOLDER",
        help="name of a team and folder of its predicted masks, named as the label maps or <case>_pred; a case without"
        " a mask counts as an empty one",
    )
    parser.add_argument(
        "-o",
        dest="output",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="output folder for leaderboard.json, leaderboard.csv and each team's evaluation, from which an interrupted"
        " run resumes",
    )
    _scheme_arguments(parser)
    _time_arguments(parser)
    label_names(parser)
    label_values(parser)
    cores = "number of cases that are scored at once (default: all cores)"
    parser.add_argument("--processes", type=at_least(1), metavar="N", help=cores)


def _scheme_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scheme",
        choices=SCHEMES,
        default="general",
        help="how ranks are made: general (default): per structure and metric, then their mean; tfm4media: per sub-task"
        " on seen and on unseen centres by Dice (CARE 2024); care-cardiac, care-myops, care-whs: the tables of CARE"
        " 2025, with the published rows",
    )
    parser.add_argument(
        "--groups",
        type=Path,
        metavar="CSV",
        help="table with a column case and any of task, centre, sequence and seen (yes or no); without it the side file"
        " of a converted data set",
    )
    for option, text in (
        ("--seen", "centres that training has seen, such as A,B or whs:A"),
        ("--unseen", "centres that training has not seen (default: as the organisers list them)"),
    ):
        parser.add_argument(option, type=names, default=(), metavar="A,whs:B", help=text)
    parser.add_argument(
        "--no-published",
        dest="published",
        action="store_false",
        help="leave out the published rows",
    )
    samples = "number of bootstrap samples for the intervals of places (default 1000)"
    parser.add_argument("--samples", type=at_least(1), default=1000, metavar="N", help=samples)
    seed = "seed of the bootstrap (default 0)"
    parser.add_argument("--seed", type=at_least(0), default=0, metavar="N", help=seed)


def _time_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights",
        type=_weights,
        default={},
        metavar="dice=0.4,hd=0.4,time=0.2",
        help="metrics that count, by their key in metrics.json, and their weights (default: those of the scheme);"
        " the example is FUGC's",
    )
    parser.add_argument(
        "--times",
        nargs="+",
        default=(),
        metavar="TEAM:SECONDS",
        help="run times of the teams, or CSV files with the columns team and seconds",
    )


def run(args: argparse.Namespace) -> int:
    from rich.console import Console

    from nnunet_prompt.evaluation.ranking.leaderboard import RESULTS, TABLE, leaderboard
    from nnunet_prompt.evaluation.ranking.options import RankOptions
    from nnunet_prompt.evaluation.ranking.table import notes_of, tables_of
    from nnunet_prompt.evaluation.ranking.teams import EvaluationOptions

    results = leaderboard(
        args.labels,
        _by_name(args.teams),
        args.output,
        groups=args.groups,
        times=args.times,
        evaluation=EvaluationOptions(args.values, args.names, args.processes or _cores()),
        options=RankOptions(
            scheme=args.scheme,
            weights=args.weights,
            seen=args.seen,
            unseen=args.unseen,
            samples=args.samples,
            seed=args.seed,
            published=args.published,
        ),
    )
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    for table in tables_of(results):
        console.print(table)
    for line in notes_of(results):
        print(line)
    failed = len(results["failed"])
    lost = f"; not ranked: {', '.join(results['failed'])}" if failed else ""
    print(f"wrote {args.output / RESULTS} and {args.output / TABLE}{lost}")
    return 1 if failed else 0


def _by_name(teams: list[tuple[str, Path]]) -> dict[str, Path]:
    from nnunet_prompt.common.errors import NNUNetPromptError

    found: dict[str, Path] = {}
    for team, folder in teams:
        if team in found:
            raise NNUNetPromptError(
                f"team {team}: expected one folder, found {found[team]} and {folder}: give each team its own name"
            )
        found[team] = folder
    return found


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _team(text: str) -> tuple[str, Path]:
    team, _, folder = text.partition("=")
    if not team.strip() or not folder.strip():
        raise argparse.ArgumentTypeError(f"expected TEAM=FOLDER, found {text!r}")
    return team.strip(), Path(folder)


def _weights(text: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, weight = part.partition("=")
        try:
            number = float(weight)
        except ValueError:
            number = -1.0
        if not name.strip() or not number >= 0 or name.strip() in found:
            raise argparse.ArgumentTypeError(
                f"expected weights such as dice=0.4,hd=0.4,time=0.2, found {text!r}"
            )
        found[name.strip()] = number
    return found
