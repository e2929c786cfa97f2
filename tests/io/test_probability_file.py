"""Probability maps: their names, which nothing else has, and the values that they may hold."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.common.errors import ImageError, NNUNetPromptError
from nnunet_prompt.io.probability_file import (
    FOLDER,
    name_parts,
    probabilities_of,
    probability_files,
    probability_path,
    read_probability,
)
from tests.helpers.each import each


@each(
    ("name", "parts"),
    [
        ("a__500.nii.gz", ("a", "500")),
        ("a__1__200+2221.mha", ("a__1", "200+2221")),
        ("a.nii.gz", None),
        ("a__0.nii.gz", None),
        ("a__5+.nii.gz", None),
        ("a__LV.nii.gz", None),
        ("__5.nii.gz", None),
        ("a__5.json", None),
        (".partial-x__5.nii.gz", None),
    ],
)
def test_names(name: str, parts: tuple[str, str] | None) -> None:
    assert name_parts(name) == parts


def test_a_map_is_of_one_mask_alone(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    masks = [tmp_path / "a.nii.gz", tmp_path / "a__5.nii.gz", tmp_path / "b.nrrd"]
    for mask in masks:
        probability_path(mask, "7").touch()
    assert [p.name for p in probabilities_of(masks[0])] == ["a__7.nii.gz"]
    assert [p.name for p in probabilities_of(masks[1])] == ["a__5__7.nii.gz"]
    found = probability_files(tmp_path)
    assert found == probability_files(tmp_path / FOLDER)
    assert {case: list(maps) for case, maps in found.items()} == {
        "a": ["7"],
        "a__5": ["7"],
        "b": ["7"],
    }


def test_folders_without_maps(tmp_path: Path) -> None:
    with pytest.raises(NNUNetPromptError, match="no such folder"):
        probability_files(tmp_path / "x")
    (tmp_path / "a.nii.gz").touch()
    with pytest.raises(NNUNetPromptError, match="no probability map"):
        probability_files(tmp_path)


def test_values_beyond_a_byte_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a__5.nii.gz"
    for value in (-1, 256):
        nib.save(nib.Nifti1Image(np.full((2, 2, 2), value, np.int16), np.eye(4)), path)
        with pytest.raises(ImageError, match="from 0 to 255"):
            read_probability(path)
    nib.save(nib.Nifti1Image(np.full((2, 2, 2), 255, np.int16), np.eye(4)), path)
    read = read_probability(path).array
    assert read.dtype == np.uint8 and (read == 255).all()
