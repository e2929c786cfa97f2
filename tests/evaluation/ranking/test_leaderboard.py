"""Folders in, files out: what is resumed, and what bad folders and files cost."""

from __future__ import annotations

import csv
import json
import logging
import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.common.errors import NNUNetPromptError, OutputError
from nnunet_prompt.data.side_file import write_side_file
from nnunet_prompt.evaluation.ranking import teams as teams_module
from nnunet_prompt.evaluation.ranking.board import Leaderboard
from nnunet_prompt.evaluation.ranking.leaderboard import leaderboard
from nnunet_prompt.evaluation.ranking.options import RankOptions
from nnunet_prompt.evaluation.ranking.teams import EvaluationOptions
from tests.helpers.each import each
from tests.helpers.schemas import check_form

pytestmark = pytest.mark.slow  # a whole product

SPACING = (1.0, 1.0, 2.0)
QUICK = RankOptions(samples=20)


def save(path: Path, length: int, value: int = 500, shape: tuple[int, ...] = (12, 4, 6)) -> None:
    """A bar of `length` voxels along the first axis."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros(shape, np.uint16)
    array[1 : 1 + length, 1:3, 1:3] = value
    nib.save(nib.Nifti1Image(array, np.diag([*SPACING, 1.0])), path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three references 6 long; "long" is 4 voxels short in one case, "short" 2 in each: Dice 0.8, and HD 2."""
    for k in range(3):
        save(tmp_path / "labels" / f"c{k}.nii.gz", 6)
        save(tmp_path / "exact" / f"c{k}.nii.gz", 6)
        save(tmp_path / "short" / f"c{k}_pred.nii.gz", 4)
    return tmp_path


def _run(root: Path, *teams: str, **given: Any) -> Leaderboard:
    folders = {team: root / team for team in teams}
    return leaderboard(root / "labels", folders, root / "out", **{"options": QUICK, **given})


def test_the_result_and_its_files(root: Path) -> None:
    found = _run(root, "short", "exact")
    assert [(r["team"], r["place"], r["score"]) for r in found["teams"]] == [
        ("exact", 1, 1.0),
        ("short", 2, 2.0),
    ]
    dice, hd = found["columns"]
    assert dice["values"] == pytest.approx({"short": 0.8, "exact": 1}) and hd["values"] == {
        "short": 2,
        "exact": 0,
    }
    assert json.loads((root / "out" / "leaderboard.json").read_text()) == found
    check_form("leaderboard", root / "out" / "leaderboard.json")
    kept = json.loads((root / "out" / "teams" / "exact.json").read_text())
    check_form("metrics", kept["evaluation"])
    with (root / "out" / "leaderboard.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [
        (r["team"], r["column"], round(float(r["value"]), 9), float(r["rank"])) for r in rows
    ] == [
        ("exact", "label 500 dice", 1, 1),
        ("exact", "label 500 hd_mm", 0, 1),
        ("short", "label 500 dice", 0.8, 2),
        ("short", "label 500 hd_mm", 2, 2),
    ]
    assert rows[2]["place"] == "2" and rows[2]["structures"] == "500" and rows[2]["page"] == ""
    assert sorted(p.name for p in (root / "out" / "teams").iterdir()) == [
        "exact.json",
        "short.json",
    ]


def test_without_an_output_nothing_is_written(root: Path) -> None:
    before = sorted(root.rglob("*"))
    found = leaderboard(root / "labels", {"A": str(root / "exact")}, options=QUICK)
    assert found["teams"][0]["place"] == 1 and sorted(root.rglob("*")) == before


def test_a_missing_case_is_an_empty_mask(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "exact" / "c1.nii.gz").unlink()
    found = _run(root, "exact", "short")
    assert found["columns"][0]["values"] == pytest.approx({"exact": 2 / 3, "short": 0.8})
    assert {r["team"]: r["missing"] for r in found["teams"]} == {"exact": ["c1"], "short": []}
    assert "exact: no prediction for 1 cases (c1): scored as empty" in caplog.text


@each("how", ["half-written", "another grid", "a PNG"])
def test_a_prediction_that_cannot_be_scored_is_an_empty_mask(root: Path, how: str) -> None:
    path = root / "exact" / "c1.nii.gz"
    if how == "half-written":
        path.write_bytes(path.read_bytes()[:60])
    elif how == "another grid":
        save(path, 6, shape=(13, 4, 6))
    else:
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    found = _run(root, "exact", "short")
    assert found["columns"][0]["values"] == pytest.approx({"exact": 2 / 3, "short": 0.8})
    diagonal = float(np.linalg.norm(np.multiply((12, 4, 6), SPACING)))
    assert found["columns"][1]["values"]["exact"] == pytest.approx(diagonal / 3)
    row = next(r for r in found["teams"] if r["team"] == "exact")
    assert list(row["failed"]) == ["c1"] and "c1.nii.gz" in row["failed"]["c1"]
    assert found["cases"] == 3 and found["left_out"] == {}


def test_a_reference_that_cannot_be_read_is_left_out_for_all(root: Path) -> None:
    (root / "labels" / "c1.nii.gz").write_bytes(b"\x1f\x8b")
    found = _run(root, "exact", "short")
    assert found["cases"] == 2 and list(found["left_out"]) == ["c1"]
    assert found["columns"][0]["values"] == pytest.approx({"exact": 1, "short": 0.8})


@each("how", ["other cases", "no folder", "other labels"])
def test_a_folder_with_nothing_in_common_costs_its_own_team(
    root: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    if how == "other cases":
        save(root / "wrong" / "d7.nii.gz", 6)
    elif how == "other labels":
        for k in range(3):
            save(root / "wrong" / f"c{k}.nii.gz", 6, value=1)
    found = _run(root, "wrong", "exact", "short")
    assert list(found["failed"]) == ["wrong"] and "wrong: not ranked: " in caplog.text
    assert [r["team"] for r in found["teams"]] == ["exact", "short"]
    with pytest.raises(NNUNetPromptError, match=r"^team wrong: ") as error:
        _run(root, "wrong")
    assert "\n" not in str(error.value)


def test_what_is_evaluated_is_not_evaluated_again(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (root / "exact" / "c1.nii.gz").unlink()
    asked: list[str] = []
    real = teams_module.evaluate_folders

    def evaluate_folders(labels: Path, folder: Path, **given: Any) -> Any:
        asked.append(folder.name)
        return real(labels, folder, **given)

    monkeypatch.setattr(teams_module, "evaluate_folders", evaluate_folders)
    first = _run(root, "exact", "short")
    caplog.clear()
    assert _run(root, "exact", "short") == first and asked == ["exact", "short"]
    assert "exact: no prediction for 1 cases" in caplog.text
    save(root / "short" / "c0_pred.nii.gz", 3)
    os.utime(root / "short" / "c0_pred.nii.gz", (1, 1))
    _run(root, "exact", "short")
    assert asked == ["exact", "short", "short"]
    _run(root, "exact", evaluation=EvaluationOptions(values=(500, 7)))
    assert asked[3:] == ["exact"]
    (root / "out" / "teams" / "short.json").write_text("{")
    _run(root, "short")
    assert asked[4:] == ["short"]


def test_a_run_that_was_stopped_resumes_with_the_next_team(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = teams_module.evaluate_folders, []

    def stop(labels: Path, folder: Path, **given: Any) -> Any:
        asked.append(folder.name)
        if folder.name == "short" and len(asked) == 2:
            raise KeyboardInterrupt
        return real(labels, folder, **given)

    monkeypatch.setattr(teams_module, "evaluate_folders", stop)
    with pytest.raises(KeyboardInterrupt):
        _run(root, "exact", "short")
    assert not (root / "out" / "leaderboard.json").exists()
    _run(root, "exact", "short")
    assert asked == ["exact", "short", "short"]


def test_teams_whose_names_are_no_file_names(root: Path) -> None:
    folders = {"a/b": root / "exact", "a b": root / "short", "..": root / "exact"}
    found = leaderboard(root / "labels", folders, root / "out", options=QUICK)
    assert [(r["team"], r["place"]) for r in found["teams"]] == [("..", 1), ("a/b", 1), ("a b", 3)]
    kept = list((root / "out" / "teams").iterdir())
    assert len(kept) == 3 and all(path.suffix == ".json" for path in kept)


def test_centres_of_the_side_file_and_of_a_table(root: Path) -> None:
    cases = {f"c{k}": {"task": "brain", "centre": c} for k, c in enumerate("AAB")}
    write_side_file(root, cases)
    options = RankOptions("tfm4media", samples=20, unseen=("B",))
    found = _run(root, "exact", "short", options=options)
    assert {c["name"]: c["cases"] for c in found["columns"]} == {
        "brain seen dice": 2,
        "brain unseen dice": 1,
    }
    (root / "groups.csv").write_text("case,seen\nc0,no\n")
    again = _run(root, "exact", "short", options=options, groups=root / "groups.csv")
    assert [c["cases"] for c in again["columns"]] == [1, 2]


def test_a_wrong_table_or_time_is_refused_before_the_long_work(root: Path, fake: Any) -> None:
    called = fake("nnunet_prompt.evaluation.ranking.leaderboard.evaluate_teams")
    timed = RankOptions(weights={"dice": 0.8, "time": 0.2})
    for given in (
        {"groups": root / "none.csv"},
        {"times": ["nobody:3"]},
        {"options": timed},
        {"options": timed, "times": {"exact": 3.0}},
    ):
        with pytest.raises(NNUNetPromptError):
            _run(root, "exact", "short", **given)
    assert not called.called


def test_times_are_those_of_teams(root: Path) -> None:
    timed = RankOptions(weights={"dice": 0.4, "hd": 0.4, "time": 0.2}, samples=20)
    found = _run(root, "exact", "short", options=timed, times=["exact:9", "short:3"])
    assert [(r["team"], round(r["score"], 9)) for r in found["teams"]] == [
        ("exact", 1.2),
        ("short", 1.8),
    ]


def test_outputs_never_lie_among_inputs(root: Path) -> None:
    for output in (root / "labels", root / "exact"):
        with pytest.raises(OutputError):
            leaderboard(root / "labels", {"A": root / "exact"}, output, options=QUICK)
    (root / "table").mkdir()
    table = root / "table" / "leaderboard.csv"
    table.write_text("case,seen\nc0,no\n")
    with pytest.raises(OutputError):
        leaderboard(root / "labels", {"A": root / "exact"}, root / "table", groups=table)
    assert table.read_text() == "case,seen\nc0,no\n"


@each(
    ("teams", "message"),
    [
        ({}, "teams: expected a folder per team"),
        (["a"], "teams: expected a folder per team"),
        ({"": "x"}, "teams: expected a name"),
        ({3: "x"}, "teams: expected a name"),
        ({"a\n": "x"}, "teams: expected a name"),
        ({"a": ""}, "teams: a: expected a path"),
    ],
)
def test_teams_that_are_refused(root: Path, teams: Any, message: str) -> None:
    with pytest.raises(NNUNetPromptError, match=message):
        leaderboard(root / "labels", teams)


def test_a_folder_without_label_maps(root: Path) -> None:
    (root / "none").mkdir()
    with pytest.raises(NNUNetPromptError, match="none: expected label maps, found none"):
        leaderboard(root / "none", {"A": root / "exact"})


def test_notes_are_warnings(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = _run(root, "exact", "short")
    assert found["notes"] == [
        "fewer than 5 cases, so intervals and tests state little: label 500 dice, label 500 hd_mm"
    ]
    assert found["notes"][0] in caplog.text
