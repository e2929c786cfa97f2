"""Prompts from label maps in every form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.prompt_files.simulated import simulate_prompts
from nnunet_prompt.prompts.types import Box, PromptSet
from tests.helpers.each import each

LABELS = np.zeros((8, 9, 4), np.uint16)
LABELS[1:5, 2:6, 1:3] = 500
LABELS[6, 7, 3] = 200
THICK = np.diag([1.0, 1.0, 8.0, 1.0])


def same(a: dict[int, PromptSet], b: dict[int, PromptSet]) -> bool:
    return a.keys() == b.keys() and all(
        (a[k].points, a[k].boxes, a[k].scribbles) == (b[k].points, b[k].boxes, b[k].scribbles)
        for k in a
    )


def test_boxes_and_points_in_every_slice() -> None:
    found = simulate_prompts(LABELS)
    assert list(found) == [200, 500]
    assert found[500].boxes == (Box((1, 2, 1), (5, 6, 2)), Box((1, 2, 2), (5, 6, 3)))
    for point in found[500].points:
        assert LABELS[tuple(int(v) for v in point.position)] == 500


def test_every_form_of_a_label_map(tmp_path: Path) -> None:
    expected = simulate_prompts(LABELS, seed=3)
    image = nib.Nifti1Image(LABELS, THICK)
    for form in ((LABELS, THICK), (LABELS, (1, 1, 8)), image, LABELS.astype(float)):
        assert same(simulate_prompts(form, seed=3), expected)
    for name in ("a", "b"):
        nib.save(image, tmp_path / f"{name}.nii.gz")
    cases = simulate_prompts(tmp_path, seed=3)
    assert list(cases) == ["a", "b"]
    for name in cases:
        assert same(simulate_prompts(str(tmp_path / f"{name}.nii.gz"), seed=3), cases[name])
        assert same(simulate_prompts(tmp_path, seed=3)[name], cases[name])
    assert not same(simulate_prompts(LABELS, seed=4), expected)


def test_slices_run_through_the_thickest_voxels() -> None:
    found = simulate_prompts((LABELS, (8, 1, 1)))
    assert [b.upper[0] - b.lower[0] for b in found[500].boxes] == [1] * 4
    assert len(simulate_prompts(LABELS, slice_axis=1)[500].boxes) == 4


def test_labels_by_value_and_name_and_masks() -> None:
    given: Any
    for given in ([500], 500, ["LV"], "LV", "500"):
        assert list(simulate_prompts(LABELS, values=given, names={500: "LV"})) == [500]
    assert list(simulate_prompts(LABELS > 0)) == [1]
    assert simulate_prompts(np.zeros((2, 2, 2), bool)) == {}
    mask = simulate_prompts(LABELS, kind="mask", values=[500])[500].mask
    assert mask is not None and mask.shape == LABELS.shape
    assert simulate_prompts(LABELS, kind="few")[500].says_where


@each(
    ("given", "options", "message"),
    [
        (LABELS[0], {}, r"labels: expected an array \(X, Y, Z\)"),
        (LABELS + 0.5, {}, "whole numbers"),
        (None, {}, "labels: expected a label map"),
        ("gone.nii.gz", {}, "gone"),
        (LABELS, {"kind": "click"}, "kind: expected few or slices"),
        (LABELS, {"values": ["LV"]}, "no label is called 'LV'; known names: none"),
        (LABELS, {"values": None, "seed": -1}, "seed: expected a whole number"),
        (LABELS, {"slice_axis": 3}, "slice_axis"),
        (LABELS, {"values": {}}, "values: expected labels"),
    ],
)
def test_what_is_refused(given: Any, options: Any, message: str) -> None:
    with pytest.raises(NNUNetPromptError, match=message) as error:
        simulate_prompts(given, **options)
    assert "\n" not in str(error.value)


def test_a_folder_without_label_maps(tmp_path: Path) -> None:
    with pytest.raises(NNUNetPromptError, match="holds no label map"):
        simulate_prompts(tmp_path)
