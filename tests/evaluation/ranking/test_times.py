from __future__ import annotations

from pathlib import Path

import pytest

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.evaluation.ranking.times import checked_times, read_times
from tests.helpers.each import each


def test_pairs_and_files(tmp_path: Path) -> None:
    table = tmp_path / "times.csv"
    table.write_text("case,Team,seconds\nc1,B,2\nc2,B,4\n")
    assert read_times(["A:12.5", table], ["A", "B", "C"]) == {"A": 12.5, "B": 3.0}
    assert read_times(["a:b:0"], ["a:b"]) == {"a:b": 0.0}
    assert read_times([], ["A"]) == {}


@each(
    ("given", "message"),
    [
        ("A", "times: expected seconds, as TEAM:12.5 or a CSV.*found 'A'"),
        ("A:fast", "found 'A:fast'"),
        ("A:-1", "found 'A:-1'"),
        ("A:inf", "found 'A:inf'"),
        ("alpa:3", "expected a team that is ranked, found 'alpa'; did you mean alpha"),
        ("none.csv", "none.csv: cannot be read: No such file"),
    ],
)
def test_what_is_refused(given: str, message: str) -> None:
    with pytest.raises(NNUNetPromptError, match=message):
        read_times([given], ["A", "alpha"])


@each(
    ("text", "message"),
    [("team\nA\n", "columns team and seconds, found team"), ("team,seconds\nA,\n", "found 'A'")],
)
def test_tables_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "times.csv").write_text(text)
    with pytest.raises(NNUNetPromptError, match=message):
        read_times([tmp_path / "times.csv"], ["A"])


def test_every_team_needs_a_time() -> None:
    checked_times({"A": 1.0, "B": 2.0}, ["A", "B"])
    with pytest.raises(NNUNetPromptError, match="because time has a weight, found none of B, C"):
        checked_times({"A": 1.0}, ["A", "B", "C"])
