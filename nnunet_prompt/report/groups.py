"""The groups of cases: the columns of a CSV file, or what the converter of the data set knows of them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nnunet_prompt.common.errors import DatasetError, NNUNetPromptError
from nnunet_prompt.data.side_file import SIDE_FILE, read_side_file
from nnunet_prompt.io.image_cases import find_key
from nnunet_prompt.io.json_file import read_object

PHANTOM_FILE = "cases.json"
MOST_GROUPS = 24  # what has more is a name or a number of each case, not a grouping
_NO_GROUPING = ("patient", "annotated")
Columns = dict[str, dict[str, str]]


def groups_of(file: Path | None, labels: Path, cases: Iterable[str]) -> Columns:
    """The groupings of the cases: by column, then by case.

    Those of `file`, else those beside the label maps, in their data set's side file. Columns with one group only, or
    with a group for each case, are left out. Raises `NNUNetPromptError` for a file that names no case.
    """
    cases = list(cases)
    known = _of_csv(file, cases) if file is not None else _of_side_file(labels)
    rows = {case: known[key] for case in cases if (key := find_key(known, case)) is not None}
    if file is not None and not rows:
        raise NNUNetPromptError(
            f"{file}: names no case that is scored; expected for example {cases[0] if cases else 'case_001'!r} in its"
            f" first column, found {next(iter(known), 'no row')!r}"
        )
    found: Columns = {}
    for title in dict.fromkeys(title for row in rows.values() for title in row):
        column = {case: row[title] for case, row in rows.items() if row.get(title)}
        sizes = len(set(column.values()))
        if file is not None or (1 < sizes <= min(MOST_GROUPS, len(cases) - 1)):
            found[title] = column
    return found


def _of_csv(file: Path, cases: list[str]) -> dict[str, dict[str, str]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise NNUNetPromptError(
            f"{file}: not a CSV file in UTF-8: give a text file with a header line, such as case,centre"
        ) from None
    except OSError as error:
        raise NNUNetPromptError(
            f"{file}: cannot be read: {error.strerror}; give a CSV file with --groups"
        ) from None
    separator = max(",;\t", key=text.partition("\n")[0].count)
    lines = [line for line in csv.reader(text.splitlines(), delimiter=separator) if any(line)]
    if not lines or len(lines[0]) < 2:
        example = cases[0] if cases else "case_001"
        raise NNUNetPromptError(
            f"{file}: expected a header line such as case,centre and rows such as {example},A; found"
            f" {','.join(lines[0]) if lines else 'an empty file'!r}"
        )
    titles = [title.strip() for title in lines[0][1:]]
    return {
        line[0].strip(): dict(zip(titles, (cell.strip() for cell in line[1:]), strict=False))
        for line in lines[1:]
    }


def _of_side_file(labels: Path) -> dict[str, dict[str, str]]:
    """What lies beside the label maps; what cannot be read there was not asked for."""
    for folder in (labels, labels.absolute().parent):
        try:
            if (folder / SIDE_FILE).is_file():
                return _plain(read_side_file(folder))
            if (folder / PHANTOM_FILE).is_file():
                return _plain(read_object(folder / PHANTOM_FILE, DatasetError).get("cases"))
        except NNUNetPromptError:
            continue
    return {}


def _plain(cases: Any) -> dict[str, dict[str, str]]:
    if not isinstance(cases, Mapping):
        return {}
    return {
        str(case): {
            key: value
            for key, value in row.items()
            if isinstance(value, str) and key not in _NO_GROUPING
        }
        for case, row in cases.items()
        if isinstance(row, Mapping)
    }
