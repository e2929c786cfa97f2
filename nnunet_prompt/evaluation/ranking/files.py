"""leaderboard.csv: one row per team and column, and per published row, for pandas and R."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nnunet_prompt.evaluation.ranking.board import Leaderboard
from nnunet_prompt.io.atomic import replacing

HEAD = (
    *("team", "published", "place", "score", "place_low", "place_high", "first"),
    *("column", "table", "task", "group", "structures", "metric", "value", "rank", "weight"),
    *("cases", "page", "alternative"),
)


def write_csv(results: Leaderboard, path: Path) -> None:
    """Writes the table; an empty cell stands for null. Raises `OutputError`."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, HEAD, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows_of(results))


def rows_of(results: Leaderboard) -> Iterator[dict[str, Any]]:
    """The rows, teams in the order of their places; `place` is that of the team, `rank` that in the column."""
    for team in results["teams"]:
        name = team["team"]
        own = {k: v for k, v in team.items() if k in HEAD}
        for column in results["columns"]:
            facts = {k: v for k, v in column.items() if k in HEAD}
            yield {
                **own,
                **facts,
                "published": False,
                "column": column["name"],
                "structures": " ".join(column["structures"]),
                "value": column["values"][name],
                "rank": column["ranks"][name],
            }
    for table in results["tables"]:
        for row in table["rows"]:
            for metric in ("dice", "hd_mm"):
                if row["published"]:
                    facts = {k: row[k] for k in ("team", "published", "page", "alternative")}
                    where = {"table": table["table"], "column": f"{table['table']} {metric}"}
                    yield {**facts, **where, "metric": metric, "value": row[metric]}
