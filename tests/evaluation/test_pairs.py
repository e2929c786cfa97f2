"""Which files are scored with which, and what is refused before anything is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.evaluation.folders import evaluate_folders
from nnunet_prompt.evaluation.pairs import Pairs, listed, pair_files
from tests.helpers.each import each


def _folder(path: Path, *names: str) -> Path:
    path.mkdir(parents=True)
    for name in names:
        (path / name).write_bytes(b"not read here")
    return path


def _pair(labels: Path, predictions: Path, **how: str) -> Pairs:
    options = {"missing": "error", "extra": "error"} | how
    return pair_files(labels, predictions, **options)  # type: ignore[arg-type]


def test_files_of_one_case(tmp_path: Path) -> None:
    labels = _folder(tmp_path / "a", "x.nii.gz", "y.nii", ".z.nii.gz", "notes.txt")
    predictions = _folder(tmp_path / "b", "x_pred.nii.gz", "y.NII.GZ")
    pairs = _pair(labels, predictions)
    assert list(pairs.labels) == list(pairs.predictions) == ["x", "y"]
    assert pairs.missing == pairs.extra == []


def test_names_that_look_alike_are_one_case(tmp_path: Path) -> None:
    labels = _folder(tmp_path / "a", "M\u00fcller.nii.gz")
    predictions = _folder(tmp_path / "b", "Mu\u0308ller_pred.nii.gz")
    pairs = _pair(labels, predictions)
    assert list(pairs.labels) == list(pairs.predictions) == ["M\u00fcller"]


def test_a_missing_prediction_is_an_error_that_names_the_cases(tmp_path: Path) -> None:
    labels = _folder(tmp_path / "a", *(f"c{k}.nii.gz" for k in range(9)))
    predictions = _folder(tmp_path / "b", "c0.nii.gz")
    with pytest.raises(NNUNetPromptError, match=r"8 of 9 cases of .*a have no prediction") as error:
        _pair(labels, predictions)
    told = str(error.value)
    assert "(c1, c2, c3, c4, c5 and 3 more)" in told and "\n" not in told
    assert "--missing skip" in told and "--missing empty" in told
    assert len(_pair(labels, predictions, missing="skip").missing) == 8


def test_an_extra_prediction_is_an_error_too(tmp_path: Path) -> None:
    labels = _folder(tmp_path / "a", "x.nii.gz")
    predictions = _folder(tmp_path / "b", "x.nii.gz", "y.nii.gz")
    with pytest.raises(
        NNUNetPromptError, match=r"1 of 2 cases of .*b have no label file \(y\).*--extra"
    ):
        _pair(labels, predictions)
    assert _pair(labels, predictions, extra="skip").extra == ["y"]


def test_swapped_folders_of_different_size(tmp_path: Path) -> None:
    few, many = _folder(tmp_path / "few", "x.nii"), _folder(tmp_path / "many", "x.nii", "y.nii")
    with pytest.raises(NNUNetPromptError, match="label maps come first and predictions second"):
        _pair(few, many)


def test_swapped_folders_told_by_their_file_names(tmp_path: Path) -> None:
    predictions = _folder(tmp_path / "a", "x_pred.nii.gz")
    labels = _folder(tmp_path / "b", "x.nii.gz")
    with pytest.raises(NNUNetPromptError, match=r"holds x_pred\.nii\.gz, the name of a prediction"):
        _pair(predictions, labels)
    _pair(labels, predictions)
    _pair(predictions, _folder(tmp_path / "c", "x_pred.nii.gz"))  # one prediction with another


@each("name", ["labelsTr", "labelsTs", "labels", "gt_segmentations", "GT"])
def test_swapped_folders_told_by_the_name_of_a_folder(tmp_path: Path, name: str) -> None:
    predictions = _folder(tmp_path / "out", "x.nii.gz")
    labels = _folder(tmp_path / name, "x.nii.gz")
    with pytest.raises(NNUNetPromptError, match="has the name of a folder of label maps"):
        _pair(predictions, labels)
    _pair(labels, predictions)
    _pair(labels, _folder(tmp_path / "mine" / "labels", "x.nii.gz"))


@each("name", ["predict_from_raw_data_args.json", "summary.json"])
def test_swapped_folders_told_by_what_nnunet_leaves_there(tmp_path: Path, name: str) -> None:
    predictions = _folder(tmp_path / "out", "x.nii.gz", name)
    labels = _folder(tmp_path / "mine", "x.nii.gz")
    with pytest.raises(
        NNUNetPromptError, match=f"holds {name}, which is written beside predictions"
    ):
        _pair(predictions, labels)
    _pair(labels, predictions)
    _pair(predictions, _folder(tmp_path / "more", "x.nii.gz", name))  # teacher and student


def test_one_folder_twice(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "a", "x.nii.gz")
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(NNUNetPromptError, match="are one folder"):
        _pair(folder, tmp_path / "link")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    labels, predictions = _folder(tmp_path / "a", "x.nii"), _folder(tmp_path / "b", "x.nii")
    predictions.chmod(0)
    with pytest.raises(NNUNetPromptError, match="cannot be read"):
        _pair(labels, predictions)


def test_paths_that_are_none() -> None:
    with pytest.raises(NNUNetPromptError, match="labels: expected a path"):
        evaluate_folders(None, "b")  # type: ignore[arg-type]
    with pytest.raises(NNUNetPromptError, match="predictions: expected a path"):
        evaluate_folders("a", 5)  # type: ignore[arg-type]


def test_a_short_list() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(list("abcdefg"), 2) == "a, b and 5 more"
