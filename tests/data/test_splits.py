"""Folds by patient and by centre."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.splits import Fold, fold_of, held_out_folds, patient_folds, write_splits
from tests.helpers.each import each

PATIENTS = {f"c{i:02d}": f"p{i // 2}" for i in range(11)}  # p5 has one case


def test_a_patient_is_on_one_side_of_a_fold() -> None:
    folds = patient_folds(PATIENTS, folds=3)
    assert len(folds) == 3
    assert sorted(c for fold in folds for c in fold.val) == sorted(PATIENTS)
    assert sorted(len(fold.val) for fold in folds) == [3, 4, 4]
    for fold in folds:
        assert sorted(fold.train + fold.val) == sorted(PATIENTS)
        assert not {PATIENTS[c] for c in fold.train} & {PATIENTS[c] for c in fold.val}
        assert fold.held_out == ""


def test_the_same_patients_and_seed_give_the_same_folds() -> None:
    folds = patient_folds(PATIENTS, folds=3)
    assert patient_folds(dict(reversed(PATIENTS.items())), folds=3) == folds
    assert patient_folds(PATIENTS, folds=3, seed=1) != folds


@each(
    ("patients", "count"),
    [({}, 0), ({"a": "p", "b": "p"}, 0), ({"a": "p", "b": "q"}, 2), (PATIENTS, 5)],
)
def test_no_more_folds_than_patients(patients: dict[str, str], count: int) -> None:
    assert len(patient_folds(patients)) == count


def test_a_group_is_held_out_and_its_patients_with_it() -> None:
    patients = {"a1": "a", "a2": "a", "b": "b", "c": "c", "d": "d"}
    centres = {"a1": "X", "b": "X", "a2": "Y", "c": "Y"}  # patient a was in both
    assert held_out_folds(patients, centres) == [
        Fold(("c", "d"), ("a1", "b"), "X"),
        Fold(("b", "d"), ("a2", "c"), "Y"),
    ]


def test_a_fold_without_training_cases_is_left_out() -> None:
    patients = {"a": "p", "b": "q"}
    assert held_out_folds(patients, {"a": "X", "b": "X"}) == []
    assert held_out_folds(patients, {}) == []
    assert held_out_folds(patients, {"a": "X"}) == [Fold(("b",), ("a",), "X")]


def test_nnunets_form(tmp_path: Path) -> None:
    path = tmp_path / "Dataset001_X" / "splits_final.json"
    write_splits(path, [Fold(("b", "c"), ("a",)), Fold(("a",), ("b", "c"), "X")])
    assert json.loads(path.read_text()) == [
        {"train": ["b", "c"], "val": ["a"]},
        {"train": ["a"], "val": ["b", "c"]},
    ]


def test_splits_that_say_the_same_are_kept_and_others_stop(tmp_path: Path) -> None:
    path = tmp_path / "splits_final.json"
    folds = [Fold(("b",), ("a",))]
    path.write_text('[{"val": ["a"], "train": ["b"]}]')  # written by somebody else
    write_splits(path, folds)
    assert path.read_text() == '[{"val": ["a"], "train": ["b"]}]'
    more = '[{"val": ["a"], "train": ["b"]}, {"val": ["b"], "train": ["a"]}]'
    for other in ('[{"val": ["b"], "train": ["a"]}]', more, "{", "{}", "[1]"):
        path.write_text(other)
        with pytest.raises(DatasetError, match=r"splits_final\.json: holds other folds") as caught:
            write_splits(path, folds)
        assert "\n" not in str(caught.value) and path.read_text() == other


def test_folds_by_centre_may_follow_those_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "splits_final.json"
    folds = [Fold(("b",), ("a",)), Fold(("a",), ("b",)), Fold(("a",), ("b",), "X")]
    write_splits(path, folds[:2])
    before = json.loads(path.read_text())
    write_splits(path, folds)
    assert json.loads(path.read_text()) == [*before, {"train": ["a"], "val": ["b"]}]


CASES = ("a", "b", "c", "d", "e")
SPLITS = [
    {"train": ["a", "b"], "val": ["c"]},
    {"train": [], "val": ["a"]},
    {"train": ["a"], "val": []},
]


class TestTheFoldOfATraining:
    def refusal(self, folder: Path, fold: int | str, cases: tuple[str, ...] = CASES) -> str:
        with pytest.raises(DatasetError) as caught:
            fold_of(folder, fold, cases)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def test_all_cases_are_both_parts_of_the_fold_all(self, tmp_path: Path) -> None:
        assert fold_of(tmp_path, "all", ("b",)) == Fold(("b",), ("b",))

    def test_nnunet_splits_five_cases_and_no_fewer(self, tmp_path: Path) -> None:
        assert fold_of(tmp_path, 4, CASES).train == CASES
        assert "fold 5: expected a fold from 0 to 4" in self.refusal(tmp_path, 5)
        for count in (1, 2, 4):
            message = self.refusal(tmp_path, 0, CASES[:count])
            assert f"holds {count} case(s)" in message and "fold `all`" in message

    def test_what_the_file_says(self, tmp_path: Path) -> None:
        (tmp_path / "splits_final.json").write_text(json.dumps(SPLITS))
        assert fold_of(tmp_path, 0, CASES) == Fold(("a", "b"), ("c",))
        assert "fold 1: train lists no case" in self.refusal(tmp_path, 1)
        assert "fold 2: val lists no case" in self.refusal(tmp_path, 2)
        assert "fold 3: expected a fold from 0 to 2" in self.refusal(tmp_path, 3)
        assert "fold -1: expected" in self.refusal(tmp_path, -1)
        message = self.refusal(tmp_path, 0, ("b", "c"))
        assert "train lists 'a', which is not preprocessed" in message

    @each(
        "text",
        ["", "{}", "[[]]", "[1]", '[{"train": ["a"]}]', '[{"train": "a", "val": ["b"]}]'],
    )
    def test_a_file_of_another_form(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "splits_final.json").write_text(text)
        message = self.refusal(tmp_path, 0)
        assert "splits_final.json: " in message and 'expected [{"train": [case, ...]' in message
