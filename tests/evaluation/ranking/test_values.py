from __future__ import annotations

import numpy as np

from nnunet_prompt.evaluation.ranking.values import better_high, collect_values
from tests.evaluation.ranking.scored import column, dice_values, evaluation
from tests.helpers.each import each

ONCE = np.ones((1, 2))


def test_cases_that_every_team_has_and_structures_that_a_reference_has() -> None:
    values = collect_values(
        {
            "A": evaluation({"x": {500: (0.9, 5.0), 7: None}, "y": {20: (0.5, 9.0)}}, {500: "LV"}),
            "B": evaluation({"x": {500: (0.8, 6.0)}, "y": {20: (0.4, 9.0)}, "z": {600: (1, 0)}}),
        }
    )
    assert values.cases == ("x", "y")
    assert values.structures == ("20", "500")  # 7 is in no reference, 600 in a case that A lacks
    assert values.in_reference.tolist() == [[False, True], [True, False]]
    assert values.name_of("500") == "LV" and values.name_of("20") == "label 20"
    assert np.nan_to_num(values.scores["dice"], nan=-1).tolist() == [
        [[-1, 0.5], [0.9, -1]],
        [[-1, 0.4], [0.8, -1]],
    ]


def test_the_value_of_a_column_is_the_mean_of_structures() -> None:
    """(0.9 + 0.7) / 2 of one structure, 0.2 of the other, which has one case: each counts the same."""
    values = collect_values(
        {"A": evaluation({"x": {1: (0.9, 4.0), 2: (0.2, 8.0)}, "y": {1: (0.7, 6.0)}})}
    )
    both = ("1", "2")
    columns = [column("dice", structures=both), column("hd_mm", structures=both)]
    assert values.column_values(columns, ONCE)[0].round(12).tolist() == [[0.5, 6.5]]
    assert values.of_cases(columns[0]).round(12).tolist() == [[0.55, 0.7]]


def test_cases_that_count_twice_or_never() -> None:
    values = dice_values(A=[0.9, 0.6], B=[0.5, 0.8])
    counts = np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]])
    found = values.column_values([column()], counts)[:, :, 0]
    assert found.round(12).tolist() == [[0.75, 0.65], [0.9, 0.5], [0.6, 0.8]]


def test_what_is_undefined_stays_out() -> None:
    """B invents the structure where the reference has none, and A is right to leave it out."""
    values = collect_values(
        {
            "A": evaluation({"x": {5: (0.8, 4.0)}, "y": {}}),
            "B": evaluation({"x": {5: (0.8, 4.0)}, "y": {5: None}}),
        }
    )
    found = values.column_values([column(structures=("5",))], np.array([[1.0, 1.0], [0.0, 1.0]]))
    assert found[0, :, 0].tolist() == [0.8, 0.4]
    assert np.isnan(found[1, 0, 0]) and found[1, 1, 0] == 0


def test_run_times_and_signed_errors() -> None:
    rows = evaluation({"x": {5: (0.8, 4.0)}})
    values = collect_values({"A": rows, "B": rows}, {"A": 3.5})
    found = values.column_values([column("time", 1)], np.ones((2, 1)))
    assert found[:, 0, 0].tolist() == [3.5, 3.5] and np.isnan(found[:, 1]).all()
    assert values.scores["volume_error"].tolist() == [[[0.5]], [[0.5]]]  # of -0.5


@each(
    ("metric", "high"),
    [
        ("dice", True),
        ("nsd_2mm", True),
        ("lesion_f1", True),
        ("sensitivity", True),
        ("hd_mm", False),
        ("assd_mm", False),
        ("volume_error", False),
        ("volume_error_ml", False),
        ("false_positives", False),
        ("time", False),
    ],
)
def test_which_way_is_better(metric: str, high: bool) -> None:
    assert better_high(metric) is high
