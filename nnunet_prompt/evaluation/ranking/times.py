"""Run times of teams, as "TEAM:seconds" or from a CSV with the columns team and seconds.

Several rows of one team, such as a row per case, count with their mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from nnunet_prompt.common.errors import DatasetError, NNUNetPromptError, did_you_mean
from nnunet_prompt.evaluation.facts import read_rows

_SAMPLE = "TEAM:12.5 or a CSV with the columns team and seconds"


def read_times(given: Iterable[str | Path], teams: Iterable[str]) -> dict[str, float]:
    """Seconds of each team. Raises `NNUNetPromptError` for a team that is not ranked, or what is not a time."""
    found: dict[str, list[float]] = {}
    known = list(teams)
    for one in given:
        pairs = _of_file(Path(one)) if _is_file(str(one)) else [_pair(str(one))]
        for team, seconds in pairs:
            if team not in known:
                raise NNUNetPromptError(
                    f"times: {one}: expected a team that is ranked, found {team!r}{did_you_mean(team, known)}"
                )
            found.setdefault(team, []).append(seconds)
    return {team: math.fsum(all_) / len(all_) for team, all_ in found.items()}


def checked_times(times: Mapping[str, float], teams: Iterable[str]) -> None:
    """Raises `NNUNetPromptError` if a team has no time, where time counts."""
    lacking = [team for team in teams if team not in times]
    if lacking:
        raise NNUNetPromptError(
            f"times: expected the seconds of every team because time has a weight, found none of {', '.join(lacking)}:"
            f" give them as {_SAMPLE}, or leave time out of the weights"
        )


def _is_file(given: str) -> bool:
    return given.lower().endswith((".csv", ".tsv", ".txt")) or Path(given).is_file()


def _pair(given: str) -> tuple[str, float]:
    team, colon, seconds = given.rpartition(":")
    return team, _seconds("times", seconds if colon else "", given)


def _of_file(path: Path) -> list[tuple[str, float]]:
    table = read_rows(path)
    if not {"team", "seconds"} <= set(map(str.casefold, table.columns)) or not table.rows:
        found = ", ".join(table.columns) if table.rows else "no row"
        raise DatasetError(f"{path}: expected the columns team and seconds, found {found}")
    rows = [{k.casefold(): v for k, v in row.items()} for row in table.rows]
    return [(r["team"], _seconds(str(path), r["seconds"], r["team"])) for r in rows]


def _seconds(where: str, text: str | None, shown: str | None) -> float:
    try:
        seconds = float(text or "")
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < math.inf:
        raise NNUNetPromptError(f"{where}: expected seconds, as {_SAMPLE}, found {shown!r}")
    return seconds
