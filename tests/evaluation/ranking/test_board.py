"""Leaderboards of every scheme, computed by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.evaluation.ranking.board import Leaderboard, rank_evaluations
from nnunet_prompt.evaluation.ranking.groups import CaseInfo
from nnunet_prompt.evaluation.ranking.options import RankOptions
from tests.evaluation.ranking.scored import evaluation
from tests.helpers.each import each
from tests.helpers.schemas import check_form

pytestmark = pytest.mark.slow  # a whole product

# Mean Dice .85, .85, .7 and mean HD 11, 8, 20.
THREE = {
    "A": evaluation({"x": {500: (0.9, 10.0)}, "y": {500: (0.8, 12.0)}}, {500: "LV"}),
    "B": evaluation({"x": {500: (0.8, 8.0)}, "y": {500: (0.9, 8.0)}}),
    "C": evaluation({"x": {500: (0.7, 20.0)}, "y": {500: (0.7, 20.0)}}),
}


def _places(found: Leaderboard) -> dict[str, tuple[int, float]]:
    return {row["team"]: (row["place"], round(row["score"], 12)) for row in found["teams"]}


def _options(**given: Any) -> RankOptions:
    return RankOptions(**{"samples": 50, **given})


def test_the_general_scheme() -> None:
    """Ranks 1.5, 1.5, 3 by Dice and 2, 1, 3 by HD."""
    found = rank_evaluations(THREE, options=_options())
    assert _places(found) == {"B": (1, 1.25), "A": (2, 1.75), "C": (3, 3.0)}
    assert [row["team"] for row in found["teams"]] == ["B", "A", "C"]
    dice, hd = found["columns"]
    assert (dice["name"], hd["name"]) == ("LV dice", "LV hd_mm")
    assert dice["ranks"] == {"A": 1.5, "B": 1.5, "C": 3} and dice["weight"] == 1
    assert hd["ranks"] == {"A": 2, "B": 1, "C": 3}
    assert hd["values"] == {"A": 11, "B": 8, "C": 20}
    assert len(found["tests"]) == 6 and found["tables"] == []
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_run_time_with_the_weights_of_fugc() -> None:
    """0.4 x 1.5 + 0.4 x 2 + 0.2 x 1 for A, 0.4 x 1.5 + 0.4 x 1 + 0.2 x 3 for B, 1.2 + 1.2 + 0.4 for C."""
    weights = {"dice": 0.4, "hd": 0.4, "time": 0.2}
    seconds = {"A": 1.0, "B": 9.0, "C": 4.0}
    found = rank_evaluations(THREE, None, seconds, _options(weights=weights))
    assert _places(found) == {"A": (1, 1.6), "B": (1, 1.6), "C": (3, 2.8)}
    assert [row["team"] for row in found["teams"]] == ["A", "B", "C"]
    assert found["columns"][-1]["ranks"] == {"A": 1, "B": 3, "C": 2}
    assert found["teams"][0]["seconds"] == 1.0
    with pytest.raises(NNUNetPromptError, match="found none of C"):
        rank_evaluations(THREE, None, {"A": 1, "B": 2}, _options(weights=weights))


def test_the_weight_of_a_metric_is_shared_by_its_columns() -> None:
    """Two structures: 0.4 x 1 + 0.4 x 1 + 0.2 x 2 for A, not (0.8 + 0.8 + 0.2 x 2) / 1.8."""
    teams = {
        "A": evaluation({"x": {1: (0.9, 1.0), 2: (0.9, 1.0)}}),
        "B": evaluation({"x": {1: (0.8, 1.0), 2: (0.8, 1.0)}}),
    }
    options = _options(weights={"dice": 8, "time": 2})
    found = rank_evaluations(teams, None, {"A": 2.0, "B": 1.0}, options)
    assert _places(found) == {"A": (1, 1.2), "B": (2, 1.8)}
    assert [column["weight"] for column in found["columns"]] == [4, 4, 2]


def test_run_times_without_a_weight_are_shown() -> None:
    found = rank_evaluations(THREE, None, {"A": 2.0}, _options())
    assert _places(found)["B"] == (1, 1.25)
    assert {row["team"]: row["seconds"] for row in found["teams"]} == {"A": 2, "B": None, "C": None}
    assert any("run times are shown and do not count" in note for note in found["notes"])


def test_tfm4media() -> None:
    """Two sub-tasks, seen and unseen centres: A has the ranks 1, 2, 1, 1.5 and B 2, 1, 2, 1.5 ."""
    dice = {
        "A": {"w1": 0.9, "w2": 0.5, "m1": 0.6, "m2": 0.4},
        "B": {"w1": 0.8, "w2": 0.6, "m1": 0.5, "m2": 0.4},
    }
    teams = {t: evaluation({c: {1: (d, 1.0)} for c, d in row.items()}) for t, row in dice.items()}
    infos = {
        "w1": CaseInfo("whs", "A"),
        "w2": CaseInfo("whs", "F"),
        "m1": CaseInfo("myops", "B"),
        "m2": CaseInfo("myops", "D"),
    }
    found = rank_evaluations(teams, infos, None, _options(scheme="tfm4media"))
    assert _places(found) == {"A": (1, 1.375), "B": (2, 1.625)}
    ranks = {column["name"]: column["ranks"]["A"] for column in found["columns"]}
    assert ranks == {
        "myops seen dice": 1,
        "myops unseen dice": 1.5,
        "whs seen dice": 1,
        "whs unseen dice": 2,
    }
    assert found["bootstrap"]["strata"] == {
        "whs seen": 1,
        "whs unseen": 1,
        "myops seen": 1,
        "myops unseen": 1,
    }


CARDIAC = {
    "a": {420: (0.93, 20.0)},
    "h": {500: (0.9, 4.0), 205: (0.8, 6.0), 420: (0.7, 8.0), 850: (0.8, 2.0)},
    "p": {500: (0.9, 9.0), 200: (0.7, 12.0), 2221: (0.5, 15.0), 600: (0.1, 99.0)},
}
CENTRES = {"a": CaseInfo(centre="A"), "h": CaseInfo(centre="G"), "p": CaseInfo(centre="B")}


def test_care_cardiac() -> None:
    """Sub-tasks by the structures of a case; the right ventricle (600) does not count in Lb5."""
    found = rank_evaluations(
        {"ours": evaluation(CARDIAC)}, CENTRES, None, _options(scheme="care-cardiac")
    )
    check_form("leaderboard", json.loads(json.dumps(found)))
    values = {column["name"]: column["values"]["ours"] for column in found["columns"]}
    assert {name: round(v or 0, 12) for name, v in values.items()} == {
        "Lb1 dice": 0.93,
        "Lb1 hd_mm": 20,
        "Lb4 dice": 0.8,
        "Lb4 hd_mm": 5,
        "Lb5 dice": 0.7,
        "Lb5 hd_mm": 12,
    }
    notes = [note[:3] for note in found["notes"] if "left out" in note]
    assert notes == ["Lb2", "Lb3", "Lb6"]
    rows = {t["table"]: [(r["place"], r["team"]) for r in t["rows"]] for t in found["tables"]}
    assert rows["Lb1"][:4] == [(1, "Space"), (2, "Med-AIR"), (3, "ours"), (4, "Cemrg")]
    assert rows["Lb4"] == [
        (1, "Med-AIR"),
        (2, "Cemrg"),
        (None, "Space"),  # of the other page
        (3, "Space"),
        (4, "Qipeng Su"),
        (5, "ours"),
        (None, "Xcare2025"),
        (6, "Xcare2025"),
    ]
    assert rows["Lb5"][0] == (1, "ours") and len(rows["Lb2"]) == 5
    marked = found["tables"][0]["rows"]
    assert [row["published"] for row in marked] == [True, True, False, True, True, True]
    assert marked[0]["page"].endswith("track1.md") and marked[2]["page"] is None


def test_without_the_published_rows() -> None:
    options = _options(scheme="care-cardiac", published=False)
    found = rank_evaluations({"ours": evaluation(CARDIAC)}, CENTRES, None, options)
    assert [len(table["rows"]) for table in found["tables"]] == [1, 0, 0, 1, 1, 0]


def test_equal_dice_is_decided_by_the_distance_in_a_table() -> None:
    teams = {
        "far": evaluation({"a": {420: (0.93, 9.0)}}),
        "near": evaluation({"a": {420: (0.93, 3.0)}}),
    }
    options = _options(scheme="care-cardiac", published=False)
    found = rank_evaluations(teams, {"a": CaseInfo(centre="A")}, None, options)
    rows = found["tables"][0]["rows"]
    assert [(r["place"], r["team"]) for r in rows] == [(1, "near"), (2, "far")]


def test_numbers_of_a_data_set_and_names_of_structures() -> None:
    rows = {"p": {1: (0.9, 9.0), 2: (0.7, 12.0), 3: (0.5, 15.0)}}
    names = {1: "LV", 2: "myocardium_healthy", 3: "scar"}
    info = {"p": CaseInfo("myops", "B")}
    one = rank_evaluations(
        {"A": evaluation(rows, names)}, info, None, _options(scheme="care-cardiac")
    )
    assert one["columns"][0]["name"] == "Lb5 dice"
    assert one["columns"][0]["structures"] == ["1", "2", "3"]
    two = rank_evaluations(
        {"A": evaluation(rows, names)}, info, None, _options(scheme="care-myops")
    )
    assert [c["structures"] for c in two["columns"]] == [["3"], ["3"]]


def test_modalities_of_care_whs() -> None:
    rows = {"c": {500: (0.9, 4.0)}, "m": {500: (0.7, 6.0)}}
    infos = {"c": CaseInfo("whs", "A", "CT"), "m": CaseInfo("whs", "F", "MRI")}
    found = rank_evaluations({"A": evaluation(rows)}, infos, None, _options(scheme="care-whs"))
    assert {c["name"]: c["values"]["A"] for c in found["columns"]} == {
        "Lb1 dice": 0.9,
        "Lb1 hd_mm": 4,
        "Lb4 dice": 0.7,
        "Lb4 hd_mm": 6,
    }


def test_one_team_is_first() -> None:
    found = rank_evaluations({"A": THREE["A"]}, options=_options())
    (row,) = found["teams"]
    assert (row["place"], row["place_low"], row["place_high"], row["first"]) == (1, 1, 1, 1)
    assert found["tests"] == []


def test_undefined_cases() -> None:
    """In y the reference has no structure: A leaves it out, B invents one, and only B's Dice suffers."""
    teams = {
        "A": evaluation({"x": {5: (0.6, 4.0)}, "y": {}}),
        "B": evaluation({"x": {5: (0.8, 4.0)}, "y": {5: None, 6: None}}),
    }
    found = rank_evaluations(teams, options=_options())
    assert [column["structures"] for column in found["columns"]] == [["5"], ["5"]]
    assert found["columns"][0]["values"] == {"A": 0.6, "B": 0.4}
    assert _places(found) == {"A": (1, 1.0), "B": (2, 2.0)}


def test_cases_that_only_some_teams_have_are_left_out() -> None:
    teams = {
        "A": evaluation({"x": {5: (0.6, 4.0)}}, failed={"z": "z.nii.gz: not readable"}),
        "B": evaluation({"x": {5: (0.8, 4.0)}, "z": {5: (0.1, 4.0)}}, missing=["x"]),
    }
    found = rank_evaluations(teams, options=_options())
    assert found["cases"] == 1 and found["left_out"] == {"z": "z.nii.gz: not readable"}
    assert [row["missing"] for row in found["teams"]] == [["x"], []]


def test_cases_in_no_column_are_listed() -> None:
    rows = {"a": {420: (0.9, 4.0)}, "b": {420: (0.9, 4.0)}, "c": {7: (0.9, 4.0)}}
    infos = {"a": CaseInfo(centre="A"), "c": CaseInfo(centre="A")}
    found = rank_evaluations({"A": evaluation(rows)}, infos, None, _options(scheme="care-cardiac"))
    assert any(note.startswith("2 of 3 cases are in no column") for note in found["notes"])


@each(
    ("teams", "given", "message"),
    [
        ({"A": {"x": {5: (1, 1)}}, "B": {"y": {5: (1, 1)}}}, {}, "a case that all teams have"),
        ({"A": {"x": {}}, "B": {"x": {5: None}}}, {}, "a structure of a reference"),
        ({"A": {"x": {5: (1, 1)}}}, {"weights": {"dise": 1}}, "found 'dise'; did you mean dice?"),
        ({"A": {"x": {5: (1, 1)}}}, {"scheme": "tfm4media"}, "centre of each case in a CSV"),
        ({"A": {"x": {5: (1, 1)}}}, {"scheme": "care-cardiac"}, "Lb6 .*left out; give the centre"),
    ],
)
def test_what_cannot_be_ranked(teams: dict[str, Any], given: dict[str, Any], message: str) -> None:
    with pytest.raises(NNUNetPromptError, match=message):
        rank_evaluations({t: evaluation(r) for t, r in teams.items()}, options=_options(**given))
