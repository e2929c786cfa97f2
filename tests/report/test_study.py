"""The scores of a study, by case, structure and metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from nnunet_prompt.evaluation.results import Evaluation
from nnunet_prompt.report.study import Arm, Study

pytestmark = pytest.mark.slow  # a whole product


def study(*arms: dict[str, dict[str, Any]]) -> Study:
    """Arms with the Dice of cases by structure."""
    found = []
    for number, cases in enumerate(arms):
        keys = {key for rows in cases.values() for key in rows}
        results = {
            "cases": {c: {k: {"dice": v} for k, v in rows.items()} for c, rows in cases.items()},
            "mean": {key: {"dice": None} for key in sorted(keys)},
            "structures": {"1": {"name": "LV"}},
        }
        found.append(Arm(f"arm {number}", Path(str(number)), cast("Evaluation", results)))
    return Study(Path("labels"), tuple(found))


def test_the_mean_of_a_case_is_of_its_structures_alone() -> None:
    """A union would count its parts twice, and what is no number not at all."""
    one = study({"a": {"1": 0.5, "2": 0.7, "1+2": 0.9, "3": None, "4": float("nan"), "5": "x"}})
    assert one.of_case(0, "a", "dice") == 0.6
    assert one.of_case(0, "a", "hd_mm") is None and one.of_case(0, "b", "dice") is None
    assert one.values(0, "1+2", "dice") == {"a": 0.9} and one.values(0, "5", "dice") == {}


def test_structures_have_their_name_or_their_value() -> None:
    one = study({"a": {"1": 0.5, "2": 0.7, "LV + RV": 0.6}})
    assert one.structures == {"1": "LV", "2": "label 2", "LV + RV": "LV + RV"}


def test_the_worst_case_comes_first_and_one_without_a_value_last() -> None:
    assert study({"a": {"1": 0.9}, "b": {"1": 0.2}, "c": {"1": None}}).worst_first == [
        "b",
        "a",
        "c",
    ]


def test_of_two_arms_the_case_comes_first_that_differs_most() -> None:
    first = {"a": {"1": 0.2}, "b": {"1": 0.5}, "c": {"1": 0.9}, "d": {"1": 0.1}}
    second = {"a": {"1": 0.3}, "b": {"1": 0.1}, "c": {"1": 0.9}}
    two = study(first, second)
    assert two.worst_first == ["b", "a", "d", "c"]
    assert {c: round(v, 6) for c, v in two.differences("1", "dice").items()} == {
        "a": 0.1,
        "b": -0.4,
        "c": 0.0,
    }
