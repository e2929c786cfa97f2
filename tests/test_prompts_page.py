"""Every example of docs/prompts.md is read, and says what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.io.nifti import NiftiVolume, read_nifti
from nnunet_prompt.prompt_files.prompt_file import load_prompts
from nnunet_prompt.prompt_files.prompts_json_convention import GivenConvention
from nnunet_prompt.prompts.types import Box, CasePrompts, Point, Scribble

PAGE = (Path(__file__).parents[1] / "docs" / "prompts.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"```\w+ (\S+)\n(.*?)```", PAGE, re.DOTALL))
TABLE = StructureTable((Structure("LV", 1, (1,), 500), Structure("scar", 2, (2,), 2221)))
BOX = Box((2, 3, 2), (5, 6, 3))


@pytest.fixture
def image(tmp_path: Path) -> NiftiVolume:
    """6 x 8 x 4 voxels of 2 x 3 x 5 mm; voxel (3, 4, 2) is at LPS (-4, -8, -20)."""
    path = tmp_path / "case_001.nii.gz"
    affine = np.array([[-2.0, 0, 0, 10], [0, -3, 0, 20], [0, 0, 5, -30], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(np.zeros((6, 8, 4), np.float32), affine), path)
    return read_nifti(path)


def read(name: str, image: NiftiVolume) -> CasePrompts:
    folder = image.path.parent / "p"
    folder.mkdir()
    (folder / name).write_text(EXAMPLES[name], encoding="utf-8")
    one_for_all = name in ("own.json", "prompts.json", "words.json")
    of_slices = name in ("prompts.json", "words.json")
    convention = GivenConvention("yx") if of_slices else GivenConvention()
    file = load_prompts(folder / name if one_for_all else folder, convention=convention)
    return file.for_images({"case_001": image.path}, table=TABLE).prompts("case_001", image)


def test_the_examples_are_these() -> None:
    assert list(EXAMPLES) == [
        "own.json",
        "prompts.json",
        "words.json",
        "case_001.mrk.json",
        "case_001_LV.csv",
        "case_001_500.csv",
        "case_001_scar.csv",
    ]


def test_words_stand_beside_points_or_alone(image: NiftiVolume) -> None:
    found, plain = read("words.json", image), EXAMPLES["prompts.json"]
    assert list(found.labels) == [500] and found.named == {2221: "scar"} and '"500"' in plain
    assert found.slices == {0: {2221}, 1: set(), 2: {500, 2221}, 3: {2221}}


def test_our_own_form(image: NiftiVolume) -> None:
    found = read("own.json", image).labels
    assert found[500].points == (Point((3, 4, 2)), Point((1, 1, 1), False))
    assert found[500].boxes == (BOX,)
    assert found[500].scribbles == (Scribble(((2, 4, 2), (4, 4, 2))),)
    assert found[2221].points == (Point((3, 4, 2)),)


def test_the_challenge(image: NiftiVolume) -> None:
    found = read("prompts.json", image)
    assert found.frame == "PLS" and found.labels[500].points == (Point((4, 3, 2)),)


def test_slicer(image: NiftiVolume) -> None:
    found = read("case_001.mrk.json", image).labels
    assert found[500].points == (Point((3, 4, 2)), Point((1, 1, 1), False))
    assert found[500].boxes == (BOX,)


def test_napari(image: NiftiVolume, tmp_path: Path) -> None:
    found = {}
    for name in list(EXAMPLES)[3:]:
        found[name] = read(name, image).labels
        (tmp_path / "p").rename(tmp_path / name)
    assert found["case_001_LV.csv"][500].points == (Point((3, 4, 2)), Point((3, 5, 2)))
    assert found["case_001_500.csv"][500].boxes == (BOX,)
    assert found["case_001_scar.csv"][2221].scribbles == (Scribble(((2, 4, 2), (4, 4, 2))),)
