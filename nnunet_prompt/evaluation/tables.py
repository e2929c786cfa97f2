"""The CSV of an evaluation: a row per case and structure, a column per metric, for pandas and R.

    case,structure,name,centre,dice,hd_mm,...
    heart_01,500,LV,A,0.93,8.1,...

A metric that is not defined is an empty cell, which both read as missing. Columns of groups stand before the metrics.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from nnunet_prompt.evaluation.results import Evaluation
from nnunet_prompt.io.atomic import make_folder, replacing
from nnunet_prompt.io.names import entry_of


def write_table(results: Evaluation, output: Path, facts: Mapping[str, Mapping[str, str]]) -> None:
    """Writes the table; `facts` has the groups of each case by column. Raises `OutputError`."""
    metrics = dict.fromkeys(m for row in results["cases"].values() for s in row.values() for m in s)
    head = ("case", "structure", "name")
    columns = [c for c in dict.fromkeys(c for f in facts.values() for c in f) if c not in head]
    columns = [c for c in columns if c not in metrics]
    make_folder(output.absolute().parent)
    with replacing(output) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow((*head, *columns, *metrics))
        for case, structures in results["cases"].items():
            known = entry_of(facts, case) or {}
            for key, row in structures.items():
                name = results["structures"][key]["name"] or ""
                values = ("" if row.get(m) is None else repr(row[m]) for m in metrics)
                writer.writerow((case, key, name, *(known.get(c, "") for c in columns), *values))
