"""What is known of cases beside their files: centre, vendor, sequence and other columns.

They come from a CSV with a column `case`, or from what lies with the label maps: the side file of a converted data set
or the record of generated phantoms.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_prompt.common.errors import DatasetError, NNUNetPromptError, system_reason
from nnunet_prompt.data.side_file import SIDE_FILE, read_side_file
from nnunet_prompt.evaluation.pairs import PREDICTION_SUFFIX, listed
from nnunet_prompt.io.image_cases import find_key
from nnunet_prompt.io.image_files import without_image_ending
from nnunet_prompt.io.json_file import read_object
from nnunet_prompt.io.names import composed, entry_of

CASE = "case"
EXAMPLE = "case,centre"
PHANTOM_FILE = "cases.json"
SIDE_COLUMNS = ("task", "source", "centre", "vendor", "modality", "sequence")
OF_TASK = ("centre", "vendor")  # columns whose values mean something else in another task
Facts = dict[str, dict[str, str]]  # by case and column


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a CSV.

    columns: their names as the head line spells them, without spaces around.
    rows: the cells of each line by column; a cell that a short line lacks is "".
    """

    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]


def read_rows(path: Path, way_out: str = "; give a CSV file") -> Rows:
    """The rows of a CSV with commas, semicolons or tabs; empty lines are left out.

    Raises `NNUNetPromptError`, whose line ends with `way_out`, for a file that cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = system_reason(error) or "it is not text in UTF-8"
        raise NNUNetPromptError(f"{path}: cannot be read: {reason}{way_out}") from None
    lines = [line for line in text.splitlines() if line.strip()]
    head = lines[0] if lines else ""
    delimiter = max(",;\t", key=head.count)
    found = list(csv.reader(lines, delimiter=delimiter)) or [[]]
    columns = tuple(name.strip() for name in found[0])
    blank = [""] * len(columns)
    rows = [[*map(str.strip, row), *blank[len(row) :]] for row in found[1:]]
    return Rows(columns, tuple(dict(zip(columns, row, strict=False)) for row in rows))


def read_facts(path: Path, example: str = EXAMPLE) -> tuple[tuple[str, ...], Facts]:
    """The columns of a CSV beside `case`, and their values by case; a case has no value where its cell is empty.

    Raises `NNUNetPromptError` for a file without a column `case`, without another one, or with a case twice.
    """
    way_out = (
        f"; give a CSV with a column {CASE!r} and a column for each grouping, such as {example}"
    )
    table = read_rows(path, way_out)
    case = next((name for name in table.columns if name.lower() == CASE), None)
    if case is None or len(table.columns) < 2:
        raise NNUNetPromptError(
            f"{path}: found the columns {listed(table.columns) or 'none'}{way_out}"
        )
    columns = tuple(c for c in table.columns if c not in (case, ""))
    facts: Facts = {}
    for row in table.rows:
        name = composed(without_image_ending(row[case])).removesuffix(PREDICTION_SUFFIX)
        if name in facts:
            raise NNUNetPromptError(f"{path}: case {name!r} has two rows: keep one of them")
        facts[name] = {column: row[column] for column in columns if row[column]}
    return columns, facts


def find_facts(labels: Path) -> tuple[Facts, Path | None]:
    """The facts that lie in the folder `labels` or the one above it, and their file; None where there are none.

    Raises `DatasetError` for a side file or a record of phantoms that cannot be read.
    """
    for folder in (labels, labels.absolute().parent):
        if (folder / SIDE_FILE).is_file():
            return _plain(read_side_file(folder)), folder / SIDE_FILE
        if (folder / PHANTOM_FILE).is_file():
            record = read_object(folder / PHANTOM_FILE, DatasetError).get("cases")
            return _plain(record), folder / PHANTOM_FILE
    return {}, None


def with_task(facts: Facts) -> Facts:
    """The same with each centre and vendor behind its task ("myops A") where there are several tasks.

    The letter of a centre is another site in another task, and cases of two sites are no group.
    """
    if len({entry["task"] for entry in facts.values() if "task" in entry}) < 2:
        return facts
    return {
        case: {
            column: f"{entry['task']} {value}" if column in OF_TASK and "task" in entry else value
            for column, value in entry.items()
        }
        for case, entry in facts.items()
    }


def facts_of(facts: Facts, case: str) -> dict[str, str]:
    """The facts of a case, whose row may name it with or without its sequence; empty where there is no row."""
    own = entry_of(facts, case)
    if own is None and (key := find_key(facts, case)) is not None:
        own = facts[key]
    return own or {}


def _plain(cases: Any) -> Facts:
    rows = cases.items() if isinstance(cases, Mapping) else ()
    return {
        str(case): {k: row[k] for k in SIDE_COLUMNS if isinstance(row.get(k), str) and row[k]}
        for case, row in rows
        if isinstance(row, Mapping)
    }
