"""What is printed of an evaluation."""

from __future__ import annotations

from nnunet_prompt.evaluation.metrics import Scores
from nnunet_prompt.evaluation.results import (
    EMPTY_RULE,
    Evaluation,
    format_notes,
    format_table,
    summarise,
)

NAN = float("nan")
GOOD = Scores(0.5, 4.0, 3.0, 2.0, 0.1)
LOST = Scores(0.0, 13.0, 13.0, 13.0, -1.0)
INVENTED = Scores(0.0, 13.0, 13.0, 13.0, NAN)
NOWHERE = Scores(NAN, NAN, NAN, NAN, NAN)


def _results() -> Evaluation:
    scored = {"a": {500: GOOD, 7: LOST}, "b": {500: INVENTED}, "c": {500: NOWHERE}}
    cases, mean, structures = summarise(scored, {500: "LV"})
    return {
        "cases": cases,
        "mean": mean,
        "structures": structures,
        "counts": {"label_files": 12, "scored": 3, "missing": 8, "unmatched": 1, "failed": 1},
        "rules": {
            "missing": "skip",
            "extra": "skip",
            "empty": EMPTY_RULE,
            "names": "raw/dataset.json",
            "ignore_label": 9,
        },
        "missing": list("defghijk"),
        "unmatched": ["z"],
        "failed": {"l": "why"},
    }


def test_counts_behind_the_means() -> None:
    results = _results()
    assert results["structures"] == {
        "7": {"name": None, "n": 1, "in_neither": 2, "only_label": 1, "only_prediction": 0},
        "500": {"name": "LV", "n": 2, "in_neither": 1, "only_label": 0, "only_prediction": 1},
    }
    assert results["mean"]["500"]["dice"] == 0.25
    assert results["mean"]["500"]["volume_error"] == 0.1
    assert results["cases"]["b"]["500"]["volume_error"] is None


def test_the_table_has_names_and_n() -> None:
    head, *rows = (line.split() for line in format_table(_results()).splitlines())
    assert head[:4] == ["structure", "label", "n", "dice"]
    assert rows[0][:4] == ["-", "7", "1", "0.000"]
    assert rows[1][:4] == ["LV", "500", "2", "0.250"]


def test_the_notes_say_what_was_skipped() -> None:
    assert format_notes(_results()).splitlines() == [
        "3 of 12 cases scored",
        "no prediction, left out: 8 (d, e, f, g, h and 3 more)",
        "no label file, not scored: 1 (z)",
        "failed, not scored: 1 (l)",
        "voxels of the ignore label 9 are left out",
        "names from raw/dataset.json, which does not name 7",
        f"n: cases behind a mean; {EMPTY_RULE}",
    ]
