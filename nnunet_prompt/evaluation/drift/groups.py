"""The groups of cases from a CSV file: the case in its first column, a grouping in each other one."""

from __future__ import annotations

import csv
from pathlib import Path

from nnunet_prompt.common.errors import NNUNetPromptError


def read_groups(path: Path) -> dict[str, dict[str, str]]:
    """The columns of each case. Raises `NNUNetPromptError` for a file that is no such table."""
    try:
        lines = [row for row in csv.reader(path.read_text("utf-8-sig").splitlines()) if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NNUNetPromptError(f"{path}: cannot be read as CSV ({error})") from None
    if len(lines) < 2 or len(lines[0]) < 2:
        raise NNUNetPromptError(f"{path}: expected a header such as case,centre and a row per case")
    titles = [title.strip() for title in lines[0][1:]]
    return {
        row[0].strip(): dict(zip(titles, (cell.strip() for cell in row[1:]), strict=False))
        for row in lines[1:]
    }
