"""Only the folds of a training are asked, whatever lies beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.inference.folds import fold_checkpoints, report_folds, trained_folds

NAME = "checkpoint_final.pth"
STRANGERS = (
    "fold_0_old",
    "fold_0 (copy)",
    "fold_0.bak",
    "fold_00",
    "fold_-1",
    "fold_x",
    "fold_1e1",
)


def folder(tmp_path: Path, *names: str) -> Path:
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / NAME).touch()
    return tmp_path


def test_numbers_only_and_in_their_order(tmp_path: Path) -> None:
    model = folder(tmp_path, "fold_10", "fold_2", "fold_0", *STRANGERS)
    (model / "fold_3").mkdir()  # not finished
    assert trained_folds(model, NAME) == (0, 2, 10)
    assert list(fold_checkpoints(model, None, NAME)) == [0, 2, 10]


def test_the_fold_of_all_cases_is_taken_where_it_is_named_or_alone(tmp_path: Path) -> None:
    model = folder(tmp_path, "fold_all")
    assert trained_folds(model, NAME) == ("all",)
    folder(tmp_path, "fold_1")
    assert trained_folds(model, NAME) == (1,)
    assert trained_folds(model, NAME, with_all=True) == (1, "all")
    assert list(fold_checkpoints(model, ["all", 1, 1], NAME)) == ["all", 1]


def test_copies_alone_are_no_folds(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no fold holds"):
        fold_checkpoints(folder(tmp_path, *STRANGERS), None, NAME)
    with pytest.raises(ModelError, match=r"fold_0/.*not found"):
        fold_checkpoints(tmp_path, [0], NAME)


def test_the_report(tmp_path: Path) -> None:
    model = folder(tmp_path, "fold_0", "fold_1", "fold_0_old")
    line = report_folds(model, (0, 1))
    assert line == f"{model.name}: fold_0, fold_1 (not used: fold_0_old)"
