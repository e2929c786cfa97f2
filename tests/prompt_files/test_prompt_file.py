from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.common.errors import PromptFileError
from nnunet_prompt.io.nifti import NiftiVolume, read_nifti
from nnunet_prompt.prompt_files.prompt_file import load_prompts
from nnunet_prompt.prompt_files.prompts_json_convention import GivenConvention, JsonConvention
from nnunet_prompt.prompts.types import Box, CasePrompts, Point, Scribble
from tests.helpers.each import each
from tests.prompt_files.inputs import save_pls

SHAPE = (4, 6, 3)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
POINT = {"position": [1, 2, 0]}


@pytest.fixture
def image(tmp_path: Path) -> NiftiVolume:
    path = tmp_path / "images" / "a.nii.gz"
    path.parent.mkdir()
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, np.float32), LPS), path)
    return read_nifti(path)


def write(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "p.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def own(tmp_path: Path, label: Any, **more: Any) -> Path:
    cases = {"a": {"500": label}}
    return write(tmp_path, {"format": "nnunet-prompt", "version": 1, "cases": cases, **more})


def test_every_kind_of_prompt_is_read(tmp_path: Path, image: NiftiVolume) -> None:
    rough = np.zeros(SHAPE, np.int16)
    rough[1, 2, 0], rough[3, 5, 2] = 1, 2
    nib.save(nib.Nifti1Image(rough, LPS), tmp_path / "rough.nii.gz")
    label = {
        "points": [{"position": [1, 2.5, 0]}, {"position": [3, 5, 2], "positive": False}],
        "boxes": [{"lower": [0, 1, 0], "upper": [4, 6, 1], "positive": True}],
        "scribbles": [{"path": [[0, 0, 0], [1, 2, 0]], "positive": False}],
        "mask": "rough.nii.gz",
    }
    prompts = load_prompts(own(tmp_path, label)).prompts("a", image)
    assert isinstance(prompts, CasePrompts)
    assert (prompts.frame, prompts.slices, list(prompts.labels)) == ("file", None, [500])
    one = prompts.labels[500]
    assert one.points == (Point((1, 2.5, 0)), Point((3, 5, 2), False))
    assert one.boxes == (Box((0, 1, 0), (4, 6, 1)),)
    assert one.scribbles == (Scribble(((0, 0, 0), (1, 2, 0)), False),)
    assert one.mask is not None and np.array_equal(one.mask, rough > 0)
    only = load_prompts(own(tmp_path, {"mask": "rough.nii.gz", "mask_label": 2}))
    mask = only.prompts("a", image).labels[500].mask
    assert mask is not None and np.argwhere(mask).tolist() == [[3, 5, 2]]


def test_a_prompts_json_is_told_by_its_missing_format(tmp_path: Path, image: NiftiVolume) -> None:
    path = write(tmp_path, {"a.nii.gz": {"1": None, "2": {"7": [[5, 3, 5, 3], [[5, 3]]]}}})
    file = load_prompts(path, convention=JsonConvention(base=1, inclusive=True))
    prompts = file.prompts("a", image)
    assert prompts.frame == "PLS"
    assert prompts.slices == {0: frozenset(), 1: frozenset({7})}
    assert prompts.labels[7].points == (Point((5, 3, 1)),)  # PLS of this image is (6, 4, 3)
    assert prompts.labels[7].boxes == (Box((5, 3, 1), (6, 4, 2)),)


@each("content", [{}, {"a": {}}, {"b": {"0": None}}])
def test_a_case_that_the_file_does_not_name_gets_no_prompts(
    tmp_path: Path, image: NiftiVolume, content: Any
) -> None:
    file = load_prompts(write(tmp_path, content))
    assert file.without_prompts(["a", "c"]) == ([] if "a" in content else ["a"]) + ["c"]
    with pytest.raises(PromptFileError, match=r"p\.json: no prompts for case 'c', it names"):
        file.prompts("c", image)


BAD = {
    "unknown key": ({"points": [POINT], "circles": []}, r"cases\.a\.500\.circles: Extra inputs"),
    "unknown key deep": ({"points": [{**POINT, "x": 1}]}, r"points\[0\]\.x: Extra inputs"),
    "NaN": (
        {"points": [{"position": [1, float("nan"), 0]}]},
        r"points\[0\]\.position\[1\]: .*finite",
    ),
    "infinity": ({"scribbles": [{"path": [[0, 0, float("inf")]]}]}, r"path\[0\]\[2\]: .*finite"),
    "huge": ({"points": [{"position": [1, 10**400, 0]}]}, r"position\[1\]: "),
    "text": ({"points": [{"position": ["1", 2, 0]}]}, r"position\[0\]: .*number, found '1'"),
    "boolean": ({"points": [{"position": [True, 2, 0]}]}, r"position\[0\]: .*number, found True"),
    "sign": ({"points": [{**POINT, "positive": 1}]}, r"points\[0\]\.positive: .*boolean, found 1"),
    "two numbers": ({"points": [{"position": [1, 2]}]}, r"points\[0\]\.position"),
    "swapped": ({"boxes": [{"lower": [2, 0, 0], "upper": [1, 1, 1]}]}, r"boxes\[0\]: every lower"),
    "flat box": ({"boxes": [{"lower": [0, 0, 0], "upper": [1, 1, 0]}]}, r"boxes\[0\]: every lower"),
    "empty path": ({"scribbles": [{"path": []}]}, r"scribbles\[0\]\.path: .*at least 1"),
    "no prompt": ({}, r"cases\.a\.500: no prompt"),
    "label only": ({"mask_label": 1, "points": [POINT]}, r"cases\.a\.500: mask_label needs a mask"),
    "null": (None, r"cases\.a\.500: Input should be an object, found None"),
}


@each("name", BAD)
def test_bad_input_is_one_line_with_file_and_key(tmp_path: Path, name: str) -> None:
    label, message = BAD[name]
    with pytest.raises(PromptFileError, match=message) as error:
        load_prompts(own(tmp_path, label))
    line = str(error.value)
    assert line.startswith("p.json: cases.a.500") and "\n" not in line and len(line) < 300


@each("key", ["0", "-1", "1.5", "007", "9" * 5000, "\u0663", ""])
def test_a_label_must_be_a_whole_number_or_a_name(tmp_path: Path, key: str) -> None:
    content = {"format": "nnunet-prompt", "version": 1, "cases": {"a": {key: {"points": [POINT]}}}}
    with pytest.raises(PromptFileError, match="a label id must be a whole number above 0"):
        load_prompts(write(tmp_path, content))


@each(
    ("content", "message"),
    [
        ('{"format": "nnunet-prompt",', "broken JSON in line 1, column 28"),
        ({"format": "other"}, "format must be 'nnunet-prompt', found 'other'"),
        ({"format": "nnunet-prompt", "cases": {}}, "version: Field required"),
        ({"format": "nnunet-prompt", "version": 2, "cases": {}}, "version: Input should be 1"),
        ({"format": "nnunet-prompt", "version": 1, "cases": []}, "cases: .* an object"),
        ({"format": "nnunet-prompt", "version": 1, "cases": {}, "x": 1}, "x: Extra inputs"),
        ('{"format": "nnunet-prompt", "cases": {"a": 1, "a": 2}}', r"cases\.a is there more than"),
        ({"a": {"0": {"5": [[3, 0, 1, 1], []]}}}, "case 'a' slice '0' label '5': box .* swapped"),
        ({"a": {}, "cases": {"x": 1}}, "case 'cases' slice 'x': a slice id must be a whole number"),
        ([], "expected an object"),
        ("", "broken JSON in line 1, column 1"),
    ],
)
def test_bad_files(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(PromptFileError, match=message) as error:
        load_prompts(write(tmp_path, content))
    assert "p.json: " in str(error.value) and "\n" not in str(error.value)


def test_several_errors_are_counted(tmp_path: Path) -> None:
    with pytest.raises(PromptFileError, match=r"\(and 2 more\)$"):
        load_prompts(own(tmp_path, {"a": 1, "b": 2}, c=3))


@each(
    ("label", "message"),
    [
        ({"points": [{"position": [4, 0, 0]}]}, "point .* outside"),
        ({"boxes": [{"lower": [0, 0, 0], "upper": [4, 6, 4]}]}, "box .* leaves the image"),
        ({"scribbles": [{"path": [[0, 0, 0], [0, -1, 0]]}]}, "scribble vertex .* outside"),
        ({"mask": "none.nii.gz"}, r"none\.nii\.gz"),
        ({"mask": "small.nii.gz"}, r"mask .*small\.nii\.gz: its shape is \(4, 6, 2\)"),
        ({"mask": "moved.nii.gz"}, r"mask .*moved\.nii\.gz: its affine"),
    ],
)
def test_prompts_that_do_not_fit_the_image(
    tmp_path: Path, image: NiftiVolume, label: Any, message: str
) -> None:
    nib.save(nib.Nifti1Image(np.ones((4, 6, 2), np.int16), LPS), tmp_path / "small.nii.gz")
    moved = np.array(LPS)
    moved[0, 3] = 1
    nib.save(nib.Nifti1Image(np.ones(SHAPE, np.int16), moved), tmp_path / "moved.nii.gz")
    file = load_prompts(own(tmp_path, label))
    with pytest.raises(PromptFileError, match=message) as error:
        file.prompts("a", image)
    assert str(error.value).startswith("p.json: cases.a.500: ")


def test_a_prompts_json_must_fit_the_image(tmp_path: Path, image: NiftiVolume) -> None:
    file = load_prompts(write(tmp_path, {"a": {"0": {"5": [[0, 0, 6, 5], []]}}}))
    with pytest.raises(
        PromptFileError, match=r"p\.json: case 'a' slice '0' label '5': box .* leaves"
    ):
        file.prompts("a", image)


# x reaches 8, along axis 1 of a PLS shape (6, 8, 4)
BOUNDS = {str(k): {"5": [[7, 0, 8, 6], [[7, 1]]]} for k in range(4)}


def eight_wide(tmp_path: Path, *names: str) -> dict[str, Path]:
    return {n: save_pls(tmp_path / f"{n}.nii.gz", np.zeros((6, 8, 4))) for n in names}


def test_the_order_of_a_prompts_json_is_inferred_from_all_images(tmp_path: Path) -> None:
    images = eight_wide(tmp_path, "a", "b")
    path = write(tmp_path, {"a": BOUNDS, "b": {"0": {"5": [[0, 0, 4, 4], []]}}})
    file = load_prompts(path).for_images(images)
    assert file.reading is not None and file.reading.convention.order == "yx"
    assert any("order yx" in line and "bounds" in line for line in file.reading.notes)
    found = file.prompts("a", read_nifti(images["a"])).labels[5]
    assert found.points[1] == Point((1, 7, 1))


def test_without_all_images_the_one_must_do_and_it_is_told(tmp_path: Path) -> None:
    images = eight_wide(tmp_path, "a")
    notes: list[str] = []
    file = load_prompts(write(tmp_path, {"a": BOUNDS}))
    found = file.prompts("a", read_nifti(images["a"]), warn=notes.append)
    assert found.labels[5].points[1] == Point((1, 7, 1))
    assert any("order yx" in line for line in notes)


def test_what_is_given_is_not_inferred(tmp_path: Path) -> None:
    images = eight_wide(tmp_path, "a")
    path = write(tmp_path, {"a": {"1": {"5": [[2, 1, 4, 3], []]}}})
    for given in (GivenConvention("yx", 0, False), JsonConvention("yx", 0, False)):
        file = load_prompts(path, convention=given).for_images(images)
        (box,) = file.prompts("a", read_nifti(images["a"])).labels[5].boxes
        assert (box.lower, box.upper) == ((1, 2, 1), (3, 4, 2))


def test_a_convention_for_another_form_and_keys_without_image(tmp_path: Path) -> None:
    images = eight_wide(tmp_path, "a")
    file = load_prompts(own(tmp_path, {"points": [POINT]}), convention=GivenConvention("yx"))
    with pytest.raises(PromptFileError, match="--order, --base and --inclusive are for a prompts"):
        file.for_images(images)
    notes: list[str] = []
    load_prompts(write(tmp_path, {"a": BOUNDS, "z": {}})).for_images(images, warn=notes.append)
    assert notes == ["p.json: names 1 case(s) without an image: 'z'"]


def test_a_prompts_json_that_is_none_is_refused_with_a_sample(tmp_path: Path) -> None:
    for content in ({"a": [[1, 2, 3]]}, {"images": [], "annotations": []}, []):
        with pytest.raises(PromptFileError, match=r'expected for example \{"Case1": .*"format"'):
            load_prompts(write(tmp_path, content))


@each("name", ["clicks.npz", "clicks.txt", "clicks.json", "clicks"])
def test_another_kind_of_file_is_refused_with_those_that_are_read(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04\xff")
    with pytest.raises(
        PromptFileError, match=r"\.mrk\.json or \.fcsv of 3D Slicer.*\"format\""
    ) as e:
        load_prompts(tmp_path / name)
    assert "\n" not in str(e.value)
