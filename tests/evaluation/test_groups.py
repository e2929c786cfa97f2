"""Groups of cases: where they come from, their numbers, and the table."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.data.side_file import SIDE_FILE, write_side_file
from nnunet_prompt.evaluation.evaluate import evaluate
from nnunet_prompt.evaluation.facts import find_facts, read_facts, with_task
from nnunet_prompt.evaluation.folders import evaluate_folders
from nnunet_prompt.evaluation.groups import format_groups, gap_of, group_scores
from nnunet_prompt.evaluation.options import EvaluateOptions
from tests.helpers.each import each
from tests.helpers.schemas import check_form

DICE = {"a1": 1.0, "a2": 0.8, "b1": 0.5, "b2": 0.5, "b3": 0.2, "c1": None}
CASES: dict[str, Any] = {case: {"500": {"dice": d, "volume_ml": 3.0}} for case, d in DICE.items()}
FACTS = {case: {"centre": case[0].upper(), "patient": case} for case in DICE}


def _save(path: Path, length: int) -> None:
    """A label map with a bar of `length` voxels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros((6, 3, 3), np.uint8)
    array[:length, 1, 1] = 1
    nib.save(nib.Nifti1Image(array, np.eye(4)), path)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Four cases, of which the first two are perfect and the last two have a Dice of 0.5."""
    for k in range(4):
        _save(tmp_path / "labelsTs" / f"c{k}.nii.gz", 3)
        _save(tmp_path / "out" / f"c{k}.nii.gz", 3 if k < 2 else 1)
    return tmp_path


def test_means_and_spreads_by_hand() -> None:
    found = group_scores(CASES, FACTS, Path("g.csv"), given=True)
    assert list(found) == ["centre"]  # each case is a patient of its own
    dice = {g: e["structures"]["500"]["dice"] for g, e in found["centre"]["groups"].items()}
    assert dice == {
        "A": {"mean": pytest.approx(0.9), "sd": pytest.approx(np.sqrt(0.02)), "n": 2},
        "B": {"mean": pytest.approx(0.4), "sd": pytest.approx(np.sqrt(0.03)), "n": 3},
        "C": {"mean": None, "sd": None, "n": 0},
    }
    assert {g: e["n"] for g, e in found["centre"]["groups"].items()} == {"A": 2, "B": 3, "C": 1}
    assert found["centre"]["groups"]["B"]["cases"] == ["b1", "b2", "b3"]
    gaps = found["centre"]["gaps"]["500"]
    assert list(gaps) == ["dice"]  # a volume has no better side
    assert (gaps["dice"]["best"], gaps["dice"]["worst"]) == ("A", "B")
    assert gaps["dice"]["gap"] == pytest.approx(0.5)
    assert found["centre"]["warnings"][2] == "centre C: 1 case, fewer than 5: too few to compare"
    json.dumps(found, allow_nan=False)


def test_the_interval_is_that_of_all_samples() -> None:
    """Two values per group have few samples, of which each quantile is known: 1, 0.9 and 0.8 with 1/4, 1/2, 1/4."""
    found = gap_of({"A": [1.0, 0.8], "B": [0.5, 0.5]}, 1)
    assert found is not None
    assert (found["low"], found["high"]) == (pytest.approx(0.3), pytest.approx(0.5))
    assert found == gap_of({"A": [1.0, 0.8], "B": [0.5, 0.5]}, 1)
    normal = np.random.default_rng(1).normal(0, 1, (2, 200))
    found = gap_of({"A": (normal[0] + 5).tolist(), "B": normal[1].tolist()}, -1)
    assert found is not None and found["low"] is not None and found["high"] is not None
    assert (found["best"], found["worst"]) == ("B", "A")  # of a distance
    half = 1.96 * np.sqrt(normal.var(axis=1, ddof=1).sum() / 200)
    assert found["high"] - found["low"] == pytest.approx(2 * half, rel=0.08)
    assert found["low"] < found["gap"] < found["high"]
    one = gap_of({"A": [1.0], "B": [1.0, 1.0]}, 1)
    assert one == {"best": "A", "worst": "B", "gap": 0.0, "low": None, "high": None}


@each("side, best", [(1, "B"), (-1, "A")])
def test_the_gap_is_between_best_and_worst(side: int, best: str) -> None:
    groups = {"A": [0.5, 0.5, 0.5], "B": [0.9, 0.9, 0.9], "C": [0.7, 0.7], "empty": []}
    found = gap_of(groups, side)
    assert found is not None and found["best"] == best
    assert {found["best"], found["worst"]} == {"A", "B"}
    assert (found["gap"], found["low"], found["high"]) == pytest.approx((0.4, 0.4, 0.4))
    assert gap_of({"A": [0.5, 0.6], "empty": []}, side) is None


def test_the_side_file_of_the_data_set_is_found(raw: Path) -> None:
    cases = {f"c{k}": {"centre": "A" if k < 2 else "B", "sequence": "LGE"} for k in range(4)}
    write_side_file(raw, {c: {**e, "patient": c} for c, e in cases.items()})
    found = evaluate_folders(raw / "labelsTs", raw / "out")["groups"]
    assert list(found) == ["centre"]  # one sequence only groups nothing
    assert found["centre"]["source"] == str(raw / SIDE_FILE)
    assert found["centre"]["gaps"]["1"]["dice"]["gap"] == pytest.approx(0.5)
    text = format_groups(found, {"1": "LV"}).splitlines()
    assert text[0].split() == ["centre", "n", "dice", "LV"]
    assert text[1].split() == ["A", "2", "1.000", "±", "0.000"]
    assert text[3] == "gap LV: 0.500, A over B (95 % interval 0.500 to 0.500)"


def test_the_record_of_phantoms_is_found(raw: Path) -> None:
    rows = {f"c{n}": {"centre": "AB"[n % 2], "annotated": None} for n in range(4)}
    (raw / "cases.json").write_text(json.dumps({"seed": 0, "cases": rows}))
    facts = {case: {"centre": row["centre"]} for case, row in rows.items()}
    assert find_facts(raw / "labelsTs") == (facts, raw / "cases.json")
    assert set(evaluate_folders(raw / "labelsTs", raw / "out")["groups"]) == {"centre"}


@each("text", ["[]", "{", '{"cases": [1]}', '{"cases": {"c0": 1, "c1": {"centre": 2}}}'])
def test_a_record_without_a_fact_groups_nothing(raw: Path, text: str) -> None:
    (raw / "cases.json").write_text(text)
    assert "groups" not in evaluate_folders(raw / "labelsTs", raw / "out")


def test_a_row_may_name_a_case_without_its_sequence() -> None:
    facts = {"c0": {"centre": "A"}, "c1.nii.gz": {"centre": "B"}, "c2_C0": {"centre": "C"}}
    cases: dict[str, Any] = {c: {"1": {"dice": 1.0}} for c in ("c0_LGE", "c1", "c2_LGE", "d0")}
    groups = group_scores(cases, facts, Path("g.csv"), given=True)["centre"]
    assert {g: e["cases"] for g, e in groups["groups"].items()} == {"A": ["c0_LGE"], "B": ["c1"]}
    assert groups["without"] == ["c2_LGE", "d0"]


def test_a_centre_of_two_tasks_is_two_groups(raw: Path) -> None:
    """The letter of a centre is another site in another task."""
    tasks = ("myops", "whs", "myops", "whs")
    write_side_file(raw, {f"c{k}": {"task": t, "centre": "A"} for k, t in enumerate(tasks)})
    groups = evaluate_folders(raw / "labelsTs", raw / "out")["groups"]
    assert list(groups["centre"]["groups"]) == ["myops A", "whs A"]
    assert groups["centre"]["groups"]["myops A"]["cases"] == ["c0", "c2"]
    assert list(groups["task"]["groups"]) == ["myops", "whs"]


def test_centres_of_one_task_keep_their_names() -> None:
    facts = {"a": {"task": "whs", "centre": "A"}, "b": {"centre": "B", "vendor": "X"}}
    assert with_task(facts) == facts
    more = facts | {"c": {"task": "liqa", "vendor": "B1", "sequence": "T1"}}
    assert with_task(more) == {
        "a": {"task": "whs", "centre": "whs A"},
        "b": {"centre": "B", "vendor": "X"},
        "c": {"task": "liqa", "vendor": "liqa B1", "sequence": "T1"},
    }


def test_a_broken_side_file_costs_no_score(raw: Path, caplog: pytest.LogCaptureFixture) -> None:
    (raw / SIDE_FILE).write_text('{"version": 1')
    assert "groups" not in evaluate_folders(raw / "labelsTs", raw / "out")
    assert any("cases are not grouped" in line for line in caplog.messages)


@each("text", ["Case;age;centre\nc0.nii.gz;61;A\nc1;62;A\nc2_pred;63;B\n", "case\tcentre\nc0\tA\n"])
def test_a_csv_groups_and_names_the_cases_that_it_lacks(
    raw: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    (raw / "groups.csv").write_text(text, encoding="utf-8-sig")
    options = EvaluateOptions(groups=raw / "groups.csv", csv=raw / "new" / "table.csv")
    found = evaluate_folders(raw / "labelsTs", raw / "out", raw / "m.json", options=options)
    assert found["counts"]["scored"] == 4
    assert list(found["groups"]) == ["centre"]
    assert "c3" in found["groups"]["centre"]["without"]
    assert any("no row for" in m and "c3" in m for m in caplog.messages)
    with (raw / "new" / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["case"], r["structure"], r["centre"]) for r in rows][:1] == [("c0", "1", "A")]
    assert rows[3]["centre"] == ""
    assert [float(r["dice"]) for r in rows] == [1.0, 1.0, 0.5, 0.5]
    assert json.loads((raw / "m.json").read_text()) == found
    check_form("metrics", raw / "m.json")


@each(
    ("text", "message"),
    [
        ("", "found the columns none; give a CSV with a column 'case'"),
        ("id,centre\nc0,A\n", "found the columns id, centre; give"),
        ("case\nc0\n", "found the columns case; give"),
        ("case,centre\nc0,A\nc0.nii.gz,B\n", "case 'c0' has two rows"),
        (b"case,centre\n\xff\xfe,A\n", "it is not text in UTF-8; give"),
        (None, "No such file"),
    ],
)
def test_a_csv_that_is_none(tmp_path: Path, text: str | bytes | None, message: str) -> None:
    path = tmp_path / "groups.csv"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(NNUNetPromptError, match=message) as error:
        read_facts(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_short_row_has_no_value(tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("case,centre,age\nc0\nc1,A,5,6,7\n")
    facts = {"c0": {}, "c1": {"centre": "A", "age": "5"}}
    assert read_facts(tmp_path / "g.csv") == (("centre", "age"), facts)


def test_a_table_never_replaces_an_input(raw: Path) -> None:
    (raw / "g.csv").write_text("case,centre\nc0,A\n")
    for table, output, message in (
        (raw / "g.csv", None, "is the input"),
        (raw / "out" / "t.nii.gz", None, "lies among the inputs"),
        (raw / "m.json", raw / "m.json", "is the output of -o"),
    ):
        options = EvaluateOptions(groups=raw / "g.csv", csv=table)
        with pytest.raises(NNUNetPromptError, match=message):
            evaluate_folders(raw / "labelsTs", raw / "out", output, options=options)
    assert (raw / "g.csv").read_text() == "case,centre\nc0,A\n"


def test_arrays_take_the_same_options(tmp_path: Path) -> None:
    reference, prediction = np.zeros((2, 6, 1), int), np.zeros((2, 6, 1), int)
    reference[0, :2], reference[0, 2:4], prediction[0, :3] = 1, 2, 1
    options = EvaluateOptions([5], "both=1+2", lesions="both", csv=tmp_path / "t.csv")
    found = evaluate(reference, prediction, spacing_mm=(10, 10, 10), options=options)
    assert list(found["mean"]) == ["1", "2", "1+2"]
    assert found["structures"]["1+2"]["name"] == "both"
    assert found["structures"]["1+2"]["members"] == [1, 2]
    assert found["mean"]["1+2"]["dice"] == pytest.approx(6 / 7)
    assert found["mean"]["1+2"]["lesion_f1"] == 1.0
    # Dice 4/5 of volumes 2 + 3, and 0 of 2 + 0
    assert found["weighted"]["mean"]["dice"] == pytest.approx(0.8 * 5 / 7)
    assert found["conventions"]["tolerances_mm"] == [5.0]
    assert (tmp_path / "t.csv").read_text().startswith("case,structure,name,dice,")


def test_a_table_that_cannot_be_written_costs_no_metrics(raw: Path) -> None:
    (raw / "file").write_text("")
    options = EvaluateOptions(csv=raw / "file" / "t.csv")
    with pytest.raises(NNUNetPromptError, match="cannot be made"):
        evaluate_folders(raw / "labelsTs", raw / "out", raw / "m.json", options=options)
    assert json.loads((raw / "m.json").read_text())["counts"]["scored"] == 4
    check_form("metrics", raw / "m.json")
