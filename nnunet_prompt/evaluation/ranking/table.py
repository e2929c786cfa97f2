"""A leaderboard as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nnunet_prompt.evaluation.ranking.board import ColumnRow, Leaderboard

if TYPE_CHECKING:
    from rich.table import Table

MOST_COLUMNS = 6  # of metrics in one table; the files have them all
MOST_TESTS = 10
ALPHA = 0.05


def tables_of(results: Leaderboard) -> Iterator[Table]:
    """The places, then the organisers' tables with the published rows, where the scheme has some."""
    yield _places(results)
    for table in results["tables"]:
        if table["rows"]:
            yield _published(table)


def notes_of(results: Leaderboard) -> Iterator[str]:
    """Lines below the tables: significant differences, what is left out, and the choices of the scheme."""
    found = [test for test in results["tests"] if test["p_holm"] < ALPHA]
    yield (
        f"{len(found)} of {len(results['tests'])} differences between two teams are significant (Wilcoxon's signed-rank"
        f" test, Holm's correction per column, p < {ALPHA})"
    )
    for test in found[:MOST_TESTS]:
        worse = test["second"] if test["better"] == test["first"] else test["first"]
        yield f"  {test['column']}: {test['better']} is better than {worse}, p {test['p_holm']:.2g}"
    for team in results["teams"]:
        empty = len({*team["missing"], *team["failed"]} - results["left_out"].keys())
        if empty:
            yield f"{team['team']}: {empty} of {results['cases']} cases scored as empty masks"
    for case, why in results["left_out"].items():
        yield f"{case}: left out for every team: {why}"
    yield from results["notes"]
    yield from results["choices"]


def _places(results: Leaderboard) -> Table:
    from rich import box
    from rich.table import Table

    share = f"{100 * results['bootstrap']['confidence']:g}%"
    table = Table(title=f"{results['scheme']}: {results['cases']} cases", box=box.SIMPLE_HEAD)
    timed = any(team["seconds"] is not None for team in results["teams"])
    shown = [c for c in results["columns"] if c["metric"] != "time"][:MOST_COLUMNS]
    heads = ["place", "team", "score", share, "first", *(["seconds"] if timed else [])]
    for head in (*heads, *(column["name"] for column in shown)):
        table.add_column(head, overflow="fold", justify="left" if head == "team" else "right")
    for team in results["teams"]:
        seconds = [_number(team["seconds"], 3)] if timed else []
        table.add_row(
            str(team["place"]),
            _escaped(team["team"]),
            f"{team['score']:.2f}",
            _interval(team["place_low"], team["place_high"]),
            f"{100 * team['first']:.0f}%",
            *seconds,
            *(_cell(column, team["team"]) for column in shown),
        )
    hidden = len(results["columns"]) - len(shown) - ("time" in results["weights"])
    more = f"; {hidden} more columns in the files" if hidden else ""
    table.caption = f"value (rank); {share}: interval of the place; first: share of samples{more}"
    return table


def _published(board: Mapping[str, Any]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=f"{board['table']}: {board['title']}", box=box.SIMPLE_HEAD)
    for head in ("place", "team", "dice", "hd_mm", "source"):
        left = head in ("team", "source")
        table.add_column(head, overflow="fold", justify="left" if left else "right")
    for row in board["rows"]:
        cells = (_number(row["dice"], 4), _number(row["hd_mm"], 2), _source(row))
        place = "-" if row["place"] is None else str(row["place"])
        table.add_row(
            place, _escaped(row["team"]), *cells, style=None if row["published"] else "bold"
        )
    return table


def _source(row: Mapping[str, Any]) -> str:
    if not row["published"]:
        return "evaluated here"
    other = ", which contradicts the page of the track" if row["alternative"] else ""
    return f"published: {row['page'].rpartition('/')[2]}{other}"


def _cell(column: ColumnRow, team: str) -> str:
    digits = 1 if column["metric"].endswith("_mm") else 3
    return f"{_number(column['values'][team], digits)} ({column['ranks'][team]:g})"


def _interval(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
