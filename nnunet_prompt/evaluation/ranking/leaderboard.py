"""Ranks the mask folders of teams against one folder of label maps."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nnunet_prompt.common.arguments import as_path, shown
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.evaluation.pairs import files_by_case
from nnunet_prompt.evaluation.ranking.board import Leaderboard, rank_evaluations
from nnunet_prompt.evaluation.ranking.files import write_csv
from nnunet_prompt.evaluation.ranking.groups import read_groups
from nnunet_prompt.evaluation.ranking.options import RankOptions
from nnunet_prompt.evaluation.ranking.teams import KEPT, EvaluationOptions, evaluate_teams
from nnunet_prompt.evaluation.ranking.times import checked_times, read_times
from nnunet_prompt.evaluation.ranking.values import TIME
from nnunet_prompt.io.atomic import check_writable, make_folder
from nnunet_prompt.io.guard import check_output_file, check_output_folder
from nnunet_prompt.io.json_file import write_json

_LOG = logging.getLogger(__name__)
RESULTS = "leaderboard.json"
TABLE = "leaderboard.csv"


def leaderboard(
    labels: Path | str,
    teams: Mapping[str, Path | str],
    output: Path | str | None = None,
    *,
    groups: Path | str | None = None,
    times: Mapping[str, float] | Iterable[str | Path] = (),
    evaluation: EvaluationOptions | None = None,
    options: RankOptions | None = None,
) -> Leaderboard:
    """Evaluates each team's folder and ranks the teams; returns plain data (`board` has its form).

    labels: the folder of reference label maps.
    teams: the folder of predicted masks by the name of the team.
    output: a folder for leaderboard.json, leaderboard.csv and, to resume from, each team's evaluation.
    groups: a CSV with task, centre, sequence or seen by case (`groups`); what it lacks is taken from the side file
        of the label maps' data set.
    times: seconds by team, or "TEAM:seconds" and CSV files.

        leaderboard("labelsTs", {"ours": "masks/ours", "theirs": "masks/theirs"})["teams"][0]["team"]

    Logs a warning for each team's cases without a prediction, which count as empty masks, and for each team that
    cannot be evaluated, which stands under "failed". Raises `NNUNetPromptError` if none can, or for options that do
    not fit the cases.
    """
    options, evaluation = options or RankOptions(), evaluation or EvaluationOptions()
    references = as_path("labels", labels)
    folders = checked_teams(teams)
    table = None if groups is None else as_path("groups", groups)
    target = None if output is None else as_path("output", output)
    seconds = dict(times) if isinstance(times, Mapping) else read_times(times, folders)
    if TIME in options.weights:  # before the long work
        checked_times(seconds, folders)
    cases = list(files_by_case(references))
    if not cases:
        raise NNUNetPromptError(f"{references}: expected label maps, found none: give their folder")
    infos = read_groups(references, table, cases)
    if target is not None:
        _check_output(target, [references, *folders.values()], table)
    evaluations, failed = evaluate_teams(references, folders, target, evaluation)
    results = rank_evaluations(evaluations, infos, seconds, options)
    results["failed"] = failed
    for note in results["notes"]:
        _LOG.warning("%s", note)
    if target is not None:
        write_json(target / RESULTS, results, allow_nan=False)
        write_csv(results, target / TABLE)
    return results


def checked_teams(teams: Any) -> dict[str, Path]:
    """Folders by team. Raises `NNUNetPromptError` for what is none, and for a folder that two teams share."""
    if not isinstance(teams, Mapping) or not teams:
        raise NNUNetPromptError(
            f"teams: expected a folder per team, such as {{'ours': 'masks/ours'}}, found {shown(teams)}"
        )
    found: dict[str, Path] = {}
    for team, folder in teams.items():
        if not isinstance(team, str) or not team.strip() or not team.isprintable():
            raise NNUNetPromptError(f"teams: expected a name, such as 'ours', found {shown(team)}")
        found[team] = as_path(f"teams: {team}", folder)
    return found


def _check_output(output: Path, inputs: list[Path], table: Path | None) -> None:
    """Makes the folder; refuses one that is an input, and a file of an input."""
    check_output_folder(output, inputs)
    check_output_folder(output / KEPT, inputs)
    for name in (RESULTS, TABLE):
        check_output_file(output / name, [*inputs, *([] if table is None else [table])])
    make_folder(output)
    check_writable(output)
