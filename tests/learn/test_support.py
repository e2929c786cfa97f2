"""A support set is read as the model's training cases were, and refused in one line where it cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.inference.model_folder import load_model
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.learn.support import Support, read_support
from tests.helpers.each import each
from tests.learn.conftest import AFFINE, SHAPE, write_case

pytestmark = pytest.mark.slow

ON_CPU = PredictOptions(device="cpu")


def read(model: Path, support: Path, names: str | None = None) -> Support:
    return read_support(
        support / "images", support / "labels", load_model(model, ON_CPU), names=names
    )


def test_values_become_structures(model: Path, support: Path) -> None:
    write_case(support, "case_2", value=9, seed=2)
    found = read(model, support, "9=tumour")
    assert [(s.name, s.label, s.official) for s in found.table.structures] == [
        ("label_7", 1, 7),
        ("tumour", 2, 9),
    ]
    assert found.dataset_json["labels"] == {"background": 0, "label_7": 1, "tumour": 2}
    assert [set(np.unique(case.labels)) - {-1} for case in found.cases] == [{0, 1}] * 2 + [{0, 2}]


def test_the_ignore_label_is_no_structure(model: Path, support: Path) -> None:
    write_case(support, "case_2", value=9, seed=2)
    found = read(model, support, "7=ball,9=ignore")
    assert found.table.names == ("ball",)
    assert found.dataset_json["labels"] == {"background": 0, "ball": 1, "ignore": 2}


def test_images_without_a_label_map_are_left_out(model: Path, support: Path) -> None:
    (support / "labels" / "case_1.nii.gz").unlink()
    assert [case.name for case in read(model, support).cases] == ["case_0"]


def test_the_hash_is_that_of_the_voxels(model: Path, support: Path, tmp_path: Path) -> None:
    for name, seed in (("b", 0), ("a", 1)):
        write_case(tmp_path / "other", name, seed=seed)
    assert read(model, support).sha256 == read(model, tmp_path / "other").sha256
    write_case(tmp_path / "other", "a", seed=2)
    assert read(model, support).sha256 != read(model, tmp_path / "other").sha256


def no_image(folder: Path) -> None:
    (folder / "images" / "case_1_0000.nii.gz").unlink()


def other_grid(folder: Path) -> None:
    labels = np.zeros((5, 5, 5), np.uint8)
    nib.save(nib.Nifti1Image(labels, AFFINE), folder / "labels" / "case_1.nii.gz")


def no_labels(folder: Path) -> None:
    for i in range(2):
        write_case(folder, f"case_{i}", empty=True)


def an_image(folder: Path) -> None:
    half = np.full(SHAPE, 0.5, np.float32)
    nib.save(nib.Nifti1Image(half, AFFINE), folder / "labels" / "case_1.nii.gz")


def too_many(folder: Path) -> None:
    for i in range(11):
        write_case(folder, f"case_{i}")


def damaged(folder: Path) -> None:
    (folder / "images" / "case_1_0000.nii.gz").write_bytes(b"no image")


@each(
    ("spoil", "message"),
    [
        (no_image, "no image of the case case_1"),
        (other_grid, "has another geometry than"),
        (no_labels, "label maps are empty"),
        (an_image, "label values must be integers"),
        (too_many, "expected label maps of 1 to 10 cases, found 11"),
        (damaged, "case_1_0000.nii.gz"),
    ],
)
def test_what_cannot_be_used_is_named(
    model: Path, support: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(support)
    with pytest.raises(NNUNetPromptError) as caught:
        read(model, support)
    assert message in str(caught.value) and "\n" not in str(caught.value)
