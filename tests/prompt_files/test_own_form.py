"""Spaces, names and plain lists in our own form; `test_prompt_file` has what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.common.errors import PromptFileError
from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.io.nifti import NiftiVolume, read_nifti
from nnunet_prompt.prompt_files.prompt_file import load_prompts
from nnunet_prompt.prompts.types import Box, CasePrompts, Point, Scribble
from tests.helpers.each import each

AFFINE = np.array([[-2.0, 0, 0, 10], [0, -3, 0, 20], [0, 0, 5, -30], [0, 0, 0, 1]])
TABLE = StructureTable(
    (
        Structure("LV", 1, (1,), 500),
        Structure("space", 2, (2,), 7),
        Structure("myo", 3, (3, 4), 200),
        Structure("healthy", 4, (4,), 200),
    )
)
RAS, LPS = (8, 14, -15), (-8, -14, -15)  # voxel (1, 2, 3)


@pytest.fixture
def image(tmp_path: Path) -> NiftiVolume:
    path = tmp_path / "a.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((6, 8, 4), np.float32), AFFINE), path)
    return read_nifti(path)


def read(image: NiftiVolume, case: Any, *, name: str = "p.json", **more: Any) -> CasePrompts:
    path = image.path.parent / name
    content = {"format": "nnunet-prompt", "version": 1, **more}
    path.write_text(json.dumps(content if case is None else {**content, "cases": {"a": case}}))
    return load_prompts(path).for_images({"a": image.path}, table=TABLE).prompts("a", image)


def test_plain_lists(image: NiftiVolume) -> None:
    label = {"points": [[1, 2, 3]], "boxes": [[[0, 1, 2], [2, 3, 4]]], "scribbles": [[[0, 0, 0]]]}
    one = read(image, {"500": label}).labels[500]
    assert one.points == (Point((1, 2, 3)),)
    assert one.boxes == (Box((0, 1, 2), (2, 3, 4)),)
    assert one.scribbles == (Scribble(((0, 0, 0),)),)
    assert read(image, {"500": [[1, 2, 3]]}).labels[500].points == (Point((1, 2, 3)),)


@each(
    ("case", "more"),
    [
        ({"500": {"points": [RAS]}}, {"space": "RAS"}),
        ({"500": {"points": [LPS]}}, {"space": "LPS"}),
        ({"500": {"points": [RAS]}, "space": "RAS"}, {}),
        ({"500": {"points": [LPS], "space": "LPS"}}, {"space": "RAS"}),
        ({"500": {"points": [{"position": LPS, "space": "LPS"}], "space": "RAS"}}, {}),
        ({"500": {"points": [(1, 2, 3)], "space": "voxel"}}, {"space": "RAS"}),
        ({"LV": {"points": [(1, 2, 3)]}}, {}),
        (None, {"labels": {"LV": {"points": [RAS]}}, "space": "RAS"}),
    ],
)
def test_spaces_and_names(image: NiftiVolume, case: Any, more: Any) -> None:
    found = read(image, case, **more)
    assert found.labels[500].points == (Point((1, 2, 3)),)


def test_boxes_and_scribbles_in_mm(image: NiftiVolume) -> None:
    # corners in any order; the edges of a voxel are half a voxel from its centre
    box = {"lower": [9, 15.5, -12.5], "upper": [5, 9.5, -17.5]}
    label = {"boxes": [box], "scribbles": [[RAS, [10, 20, -30]]], "space": "RAS"}
    one = read(image, {"500": label}).labels[500]
    assert one.boxes == (Box((1, 2, 3), (3, 4, 4)),)
    assert one.scribbles == (Scribble(((1, 2, 3), (0, 0, 0))),)


def write_map(image: NiftiVolume, name: str, *voxels: tuple[tuple[int, int, int], int]) -> None:
    array = np.zeros(image.shape, np.uint8)
    for position, value in voxels:
        array[position] = value
    nib.save(nib.Nifti1Image(array, image.affine), image.path.parent / name)


def test_negative_masks(image: NiftiVolume) -> None:
    write_map(image, "m.nii.gz", ((1, 2, 3), 1), ((5, 7, 0), 2))
    both = {"mask": "m.nii.gz", "mask_label": 1, "negative_mask": "m.nii.gz"}
    one = read(image, {"500": {**both, "negative_mask_label": 2}}).labels[500]
    assert one.mask is not None and np.argwhere(one.mask).tolist() == [[1, 2, 3]]
    assert one.negative_mask is not None
    assert np.argwhere(one.negative_mask).tolist() == [[5, 7, 0]]
    alone = read(image, {"500": {"points": [[1, 2, 3]], "negative_mask": "m.nii.gz"}}).labels[500]
    assert alone.mask is None and alone.negative_mask is not None and alone.negative_mask.sum() == 2


def test_negative_boxes_and_scribbles(image: NiftiVolume) -> None:
    box, path = {"lower": [0, 1, 2], "upper": [2, 3, 4]}, {"path": [[0, 0, 0]]}
    label = {"boxes": [{**box, "positive": False}], "scribbles": [{**path, "positive": False}]}
    one = read(image, {"500": label}).labels[500]
    assert one.boxes == (Box((0, 1, 2), (2, 3, 4), False),)
    assert one.scribbles == (Scribble(((0, 0, 0),), False),)


def test_a_structure_may_be_called_space(image: NiftiVolume) -> None:
    assert list(read(image, {"space": {"points": [[1, 2, 3]]}}).labels) == [7]


@each(
    ("case", "more", "message"),
    [
        ({"RV": [[1, 2, 3]]}, {}, r"p\.json: cases\.a\.RV: no label is named; .*LV \(500\).* 'RV'"),
        ({"LV": [[1, 2, 3]], "500": [[1, 2, 3]]}, {}, "'LV' and '500' both mean label 500"),
        ({"myo": [[1, 2, 3]], "healthy": [[1, 2, 3]]}, {}, "both mean label 200"),
        (
            {"500": [[1, 2, 3]]},
            {"space": "IJK"},
            "space: .*'voxel', 'RAS' or 'LPS'.*\"space\": \"RAS\"",
        ),
        ({"500": [1, 2, 3]}, {}, r'points\[0\]: .*"points": \[\[88, 97, 5\]\]'),
        ({"500": {"points": [[1, 2]]}}, {}, r'position\[2\]: .*"points": \[\[88, 97, 5\]\]'),
        ({"500": {"boxes": [[1, 2, 3, 4, 5, 6]]}}, {}, r'boxes\[0\]: .*"lower": \[70, 80, 5\]'),
        ({"500": {"points": [[900, 0, 0]], "space": "RAS"}}, {}, "mm, RAS, .* lies outside"),
        ([], {}, r"cases\.a: Input should be an object.*\"format\": \"nnunet-prompt\""),
    ],
)
def test_what_is_refused_is_refused_with_a_sample(
    image: NiftiVolume, case: Any, more: Any, message: str
) -> None:
    with pytest.raises(PromptFileError, match=message) as error:
        read(image, case, **more)
    assert str(error.value).startswith("p.json: ") and "\n" not in str(error.value)
