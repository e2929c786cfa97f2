"""The page of `nnunet-prompt drift`: each site and look, and the features that differ most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_prompt.report.made_by import Fact, report_facts
from nnunet_prompt.report.page import check_page, write_page
from nnunet_prompt.report.tables import Cell, Table


@dataclass(frozen=True, slots=True, eq=False)
class _Site:
    name: str
    anchor: str
    table: Table


@dataclass(frozen=True, slots=True, eq=False)
class _Page:
    title: str
    lede: str
    summary: Table
    sites: tuple[_Site, ...]
    without: tuple[tuple[str, str], ...]
    facts: tuple[Fact, ...]
    notes: tuple[str, ...] = ()


def write_drift_page(result: Mapping[str, Any], output: Path, *, command: str = "") -> None:
    """Writes the page of a result of `evaluation.drift`. Raises `NNUNetPromptError` for a name that is no page's."""
    check_page(output)
    rules = result["rules"]
    alarms = sum(look["alarm"] for site in result["sites"].values() for look in site["looks"])
    total = sum(len(site["looks"]) for site in result["sites"].values())
    page = _Page(
        title="Drift",
        lede=f"{alarms} of {total} looks raise an alarm. In {rules['looks']} planned looks at most"
        f" {rules['alpha']:g} of them is expected to be false.",
        summary=_summary(result),
        sites=tuple(
            _Site(f"Site {name}", f"site-{number}", _features(site))
            for number, (name, site) in enumerate(result["sites"].items(), 1)
        ),
        without=tuple(result["without"].items()),
        facts=(*(Fact(key, str(value)) for key, value in rules.items()), *report_facts(command)),
    )
    write_page("drift.html", output, page=page)


def _summary(result: Mapping[str, Any]) -> Table:
    rows = [
        _row(name, number, look)
        for name, site in result["sites"].items()
        for number, look in enumerate(site["looks"], 1)
    ]
    columns = ("Site", "Look", "Cases", "First", "Last", "p", "Alarm", "Severity")
    numbers = (False, True, True, False, False, True, False, False)
    return Table("Looks", columns, tuple(rows), numbers)


def _row(name: str, number: int, look: Mapping[str, Any]) -> tuple[Cell, ...]:
    state = "alarm" if look["alarm"] else "none"
    texts = (name, number, look["cases"], look["first"], look["last"], f"{look['p']:.2g}", state)
    sorts = (name, number, look["cases"], look["first"], look["last"], look["p"], state)
    cells = [Cell(str(text), sort=key) for text, key in zip(texts, sorts, strict=True)]
    return (*cells, Cell(look["severity"], sort=look["severity"]))


def _features(site: Mapping[str, Any]) -> Table:
    rows = []
    for number, look in enumerate(site["looks"], 1):
        for one in look["features"]:
            shift = one["shift_in_sd"]
            values = (one["reference"], one["new"], shift, one["statistic"])
            named = (Cell(str(number), sort=number), Cell(one["name"], sort=one["name"]))
            rows.append((*named, *map(_number, values)))
    columns = ("Look", "Feature", "Median in the reference", "Median now", "Shift", "Statistic")
    numbers = (True, False, True, True, True, True)
    return Table("Features", columns, tuple(rows), numbers)


def _number(value: float | None) -> Cell:
    return Cell("not defined") if value is None else Cell(f"{value:.3g}", sort=value)
