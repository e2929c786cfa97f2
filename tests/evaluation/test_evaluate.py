"""One question, and references and predictions in every form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.common.errors import ImageError, NNUNetPromptError
from nnunet_prompt.evaluation.evaluate import evaluate
from nnunet_prompt.evaluation.folders import evaluate_folders
from tests.helpers.each import each

AFFINE = np.diag([2.0, 2.0, 5.0, 1.0])
REFERENCE = np.zeros((6, 6, 3), np.uint16)
REFERENCE[1:4, 1:4, 1] = 500
REFERENCE[5, 5, 2] = 200
PREDICTION = np.zeros((6, 6, 3), np.uint16)
PREDICTION[1:4, 1:3, 1] = 500


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name, array in (("labels", REFERENCE), ("masks", PREDICTION)):
        (tmp_path / name).mkdir()
        nib.save(nib.Nifti1Image(array, AFFINE), tmp_path / name / "a.nii.gz")
    return tmp_path / "labels", tmp_path / "masks"


def test_all_forms_agree(folders: tuple[Path, Path]) -> None:
    expected = evaluate_folders(*folders)
    assert evaluate(*folders) == expected
    assert expected["mean"]["500"]["dice"] == pytest.approx(0.8)
    files = [folder / "a.nii.gz" for folder in folders]
    assert evaluate(*map(str, files)) == expected
    forms: list[tuple[Any, Any]] = [
        ((REFERENCE, AFFINE), (PREDICTION, AFFINE)),
        ((REFERENCE, (2, 2, 5)), (PREDICTION, [2, 2, 5])),
        (nib.load(files[0]), nib.load(files[1])),
        (nib.load(files[0]), PREDICTION),
        (REFERENCE, (PREDICTION, AFFINE)),
    ]
    for reference, prediction in forms:
        found = evaluate(reference, prediction)
        assert found["mean"] == expected["mean"] and list(found["cases"]) == ["case"]
    found = evaluate(REFERENCE, PREDICTION, spacing_mm=(2, 2, 5))
    assert found["mean"] == expected["mean"] and json.dumps(found)
    assert list(evaluate(files[0], PREDICTION)["cases"]) == ["a"]


def test_booleans_are_label_1() -> None:
    found = evaluate(REFERENCE == 500, PREDICTION == 500, spacing_mm=(2, 2, 5))
    assert list(found["mean"]) == ["1"] and found["mean"]["1"]["dice"] == pytest.approx(0.8)


def test_labels_by_value_and_name(folders: tuple[Path, Path]) -> None:
    names = {500: "LV", 200: "scar"}
    for labels in ([500], ["LV"], "LV", 500, ["500"]):
        found: Any = labels
        assert list(evaluate(*folders, labels=found, names=names)["mean"]) == ["500"]
        one = evaluate(REFERENCE, PREDICTION, spacing_mm=(2, 2, 5), labels=found, names=names)
        assert list(one["mean"]) == ["500"] and one["structures"]["500"]["name"] == "LV"
    with pytest.raises(NNUNetPromptError, match=r"no label is called 'RV'.*LV \(500\)"):
        evaluate(*folders, labels=["RV"], names=names)


def test_the_numbering_of_the_label_maps_decides(folders: tuple[Path, Path]) -> None:
    block = {"structures": {"LV": {"label": 1, "members": [1], "official": 500}}}
    described = {"labels": {"background": 0, "LV": 1}, "nnunet_prompt": block}
    (folders[0].parent / "dataset.json").write_text(json.dumps(described))
    assert list(evaluate(*folders, labels=["LV"])["mean"]) == ["500"]


def test_the_output(tmp_path: Path) -> None:
    output = tmp_path / "metrics.json"
    found = evaluate(REFERENCE, PREDICTION, spacing_mm=(2, 2, 5), output=output)
    assert json.loads(output.read_text()) == found


@each(
    ("given", "options", "message"),
    [
        ((REFERENCE, PREDICTION), {}, "spacing_mm: expected the voxel size"),
        ((REFERENCE, PREDICTION), {"spacing_mm": (1, 1)}, "three voxel sizes"),
        (((REFERENCE, AFFINE), PREDICTION), {"spacing_mm": (1, 1, 1)}, "spacing_mm: is of two"),
        (((REFERENCE, AFFINE), (PREDICTION, 2 * AFFINE)), {}, "must be on the grid"),
        ((REFERENCE, PREDICTION[1:]), {"spacing_mm": (1, 1, 1)}, "must be on the grid"),
        ((REFERENCE + 0.5, PREDICTION), {"spacing_mm": (1, 1, 1)}, "whole numbers"),
        ((None, PREDICTION), {}, "references: expected a folder, an array"),
        (("gone.nii.gz", (PREDICTION, AFFINE)), {}, "gone.nii.gz"),
        (
            (REFERENCE, PREDICTION),
            {"spacing_mm": (1, 1, 1), "labels": [0]},
            "labels: expected a wh",
        ),
        ((REFERENCE, PREDICTION), {"spacing_mm": (1, 1, 1), "labels": {}}, "labels: expected labe"),
    ],
)
def test_what_is_refused(given: Any, options: Any, message: str) -> None:
    with pytest.raises(NNUNetPromptError, match=message) as error:
        evaluate(*given, **options)
    assert "\n" not in str(error.value)


def test_a_folder_beside_a_file(folders: tuple[Path, Path]) -> None:
    with pytest.raises(NNUNetPromptError, match="not a folder"):
        evaluate(folders[0], folders[1] / "a.nii.gz")
    with pytest.raises(NNUNetPromptError, match="spacing_mm"):
        evaluate(*folders, spacing_mm=(1, 1, 1))
    with pytest.raises(ImageError, match="channels"):
        four = nib.Nifti1Image(np.zeros((2, 2, 2, 2), np.uint8), AFFINE)
        evaluate(four, four)
