"""The groups of cases, from a CSV file or from what lies beside the label maps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nnunet_prompt.data.side_file import write_side_file
from nnunet_prompt.report.groups import groups_of
from tests.helpers.each import each

pytestmark = pytest.mark.slow  # a whole product

CASES = [f"c{n}" for n in range(6)]


@each("separator", [",", ";", "\t"])
def test_columns_of_a_csv(tmp_path: Path, separator: str) -> None:
    rows = [
        ["case", "centre", "vendor"],
        ["c0.nii.gz", "A", "GE"],
        ["c1", "B", ""],
        ["x", "C", "D"],
    ]
    (tmp_path / "g.csv").write_text(
        "\ufeff" + "\n".join(map(separator.join, rows)), encoding="utf-8"
    )
    assert groups_of(tmp_path / "g.csv", tmp_path, CASES) == {
        "centre": {"c0": "A", "c1": "B"},
        "vendor": {"c0": "GE"},
    }


def test_the_side_file_of_the_data_set(tmp_path: Path) -> None:
    rows = {c: {"centre": "AB"[n % 2], "patient": c, "source": "one"} for n, c in enumerate(CASES)}
    write_side_file(tmp_path, rows)
    found = groups_of(None, tmp_path / "labelsTr", CASES)
    assert found == {"centre": {c: "AB"[n % 2] for n, c in enumerate(CASES)}}


def test_the_record_of_phantoms(tmp_path: Path) -> None:
    rows = {c: {"centre": "AB"[n % 2], "annotated": None} for n, c in enumerate(CASES)}
    (tmp_path / "cases.json").write_text(json.dumps({"seed": 0, "cases": rows}))
    assert set(groups_of(None, tmp_path / "labels", CASES)) == {"centre"}


@each("content", ["[]", "{", '{"cases": [1]}', '{"version": 99, "cases": {}}'])
def test_what_cannot_be_read_there_is_no_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "nnunet_prompt_cases.json").write_text(content)
    (tmp_path / "cases.json").write_text(content)
    assert groups_of(None, tmp_path, CASES) == {}
