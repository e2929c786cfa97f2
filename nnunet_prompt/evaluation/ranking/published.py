"""The results of the CARE 2025 test sets as its organisers published them (care2025.csv).

The values are those of the page of the track. A general page repeats them; where the two differ, which the organisers
do not explain, the value of the other page is there as well, marked as an alternative. For MyoPS the general page has
the tables of seen and unseen centres the other way round, so that every row has an alternative.

Teams of today are scored on other cases, unless they have the hidden references: published rows are for orientation.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

TABLE = "care2025.csv"
GENERAL_PAGE = "leaderboard.md"


@dataclass(frozen=True, slots=True)
class Published:
    """One row of a published table.

    scheme, table: such as "care-cardiac" and "Lb1".
    page: repository and file.
    alternative: whether the page of the track has another value for this team.
    """

    scheme: str
    table: str
    page: str
    team: str
    dice: float
    hd_mm: float
    alternative: bool


@cache
def published() -> tuple[Published, ...]:
    """All rows, in the order of the pages."""
    text = (files(__package__) / TABLE).read_text(encoding="utf-8")
    return tuple(
        Published(
            row["scheme"],
            row["table"],
            row["page"],
            row["team"],
            float(row["dice"]),
            float(row["hd_mm"]),
            row["page"].endswith(GENERAL_PAGE),
        )
        for row in csv.DictReader(text.splitlines())
    )


def published_in(scheme: str, table: str) -> list[Published]:
    """The rows of one table, the highest Dice first and the lower HD first where it is equal."""
    rows = [row for row in published() if (row.scheme, row.table) == (scheme, table)]
    return sorted(rows, key=lambda row: (-row.dice, row.hd_mm))
