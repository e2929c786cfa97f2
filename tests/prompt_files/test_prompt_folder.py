"""A folder with files for each case."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_prompt.common.errors import PromptFileError
from nnunet_prompt.io.nifti import read_nifti
from nnunet_prompt.prompt_files.prompt_file import PromptFile, load_prompts
from nnunet_prompt.prompts.types import Point
from tests.prompt_files.inputs import save_pls

HEAD = "index,axis-0,axis-1,axis-2\n"


def images(folder: Path, *names: str) -> dict[str, Path]:
    return {n: save_pls(folder / "in" / f"{n}.nii.gz", np.zeros((6, 8, 4))) for n in names}


def write(path: Path, text: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text))


def points(file: PromptFile, case: str, path: Path) -> dict[int, list[Any]]:
    found = file.prompts(case, read_nifti(path)).labels
    return {label: [p.position for p in one.points] for label, one in found.items()}


def test_files_belong_to_the_case_that_they_are_named_by(tmp_path: Path) -> None:
    cases = images(tmp_path, "a", "a_b", "Mu\u0308ller")
    p = tmp_path / "p"
    write(p / "a_5.csv", f"{HEAD}0,3,2,1\n")
    write(p / "a 7.csv", f"{HEAD}0,0,0,0\n")
    write(p / "a_b-5.csv", f"{HEAD}0,1,1,1\n")
    own = {"format": "nnunet-prompt", "version": 1}
    write(p / "M\u00fcller.json", {**own, "labels": {"5": [[1, 2, 3]]}})
    write(p / "a" / "9.csv", f"{HEAD}0,1,1,1\n")
    write(p / "a_0000_6.csv", f"{HEAD}0,2,2,2\n")
    write(p / "notes.txt", "nothing")
    file = load_prompts(p).for_images(cases)
    assert points(file, "a", cases["a"]) == {
        label: [position]
        for label, position in {5: (1, 2, 3), 6: (2, 2, 2), 7: (0, 0, 0), 9: (1, 1, 1)}.items()
    }
    assert points(file, "a_b", cases["a_b"]) == {5: [(1, 1, 1)]}
    assert points(file, "Mu\u0308ller", cases["Mu\u0308ller"]) == {5: [(1, 2, 3)]}
    assert file.without_prompts([*cases, "z"]) == ["z"]


def test_it_travels_to_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = images(tmp_path, "a", "b")
    write(tmp_path / "p" / "a_5.csv", f"{HEAD}0,3,2,1\n")
    monkeypatch.chdir(tmp_path)
    file = load_prompts(Path("p")).for_images(cases).only("a")
    monkeypatch.chdir("/")
    assert points(pickle.loads(pickle.dumps(file)), "a", cases["a"]) == {5: [(1, 2, 3)]}


def test_a_broken_file_is_an_error_of_its_case(tmp_path: Path) -> None:
    cases = images(tmp_path, "a", "b", "c")
    write(tmp_path / "p" / "a.json", '{"format": "nnunet-prompt",')
    write(tmp_path / "p" / "b_5.csv", f"{HEAD}0,3,2,1\n")
    write(tmp_path / "p" / "c.json", {"format": "nnunet-prompt", "version": 1, "cases": {"x": {}}})
    file = load_prompts(tmp_path / "p").for_images(cases)
    assert points(file, "b", cases["b"]) == {5: [(1, 2, 3)]}
    with pytest.raises(PromptFileError, match="broken JSON"):
        file.prompts("a", read_nifti(cases["a"]))
    with pytest.raises(
        PromptFileError, match=r"c\.json: expected the prompts of case 'c', found 'x'"
    ):
        file.prompts("c", read_nifti(cases["c"]))


def test_files_of_no_case_are_told(tmp_path: Path) -> None:
    cases = images(tmp_path, "a")
    write(tmp_path / "p" / "a_5.csv", f"{HEAD}0,3,2,1\n")
    write(tmp_path / "p" / "other.csv", f"{HEAD}0,3,2,1\n")
    notes: list[str] = []
    load_prompts(tmp_path / "p", axes="zyx").for_images(cases, warn=notes.append)
    assert len(notes) == 1 and "other.csv: its name begins with that of no image" in notes[0]
    (tmp_path / "none_here").mkdir()
    with pytest.raises(PromptFileError, match="holds no prompts; expected our own JSON form"):
        load_prompts(tmp_path / "none_here")


def test_slices_of_the_challenge_one_file_per_case(tmp_path: Path) -> None:
    cases = images(tmp_path, "a", "b")
    for name in cases:
        write(tmp_path / "p" / f"{name}.json", {name: {"1": {"5": [[5, 0, 6, 8], []]}}})
    file = load_prompts(tmp_path / "p").for_images(cases)
    assert file.reading is not None and file.reading.convention.order == "xy"
    assert file.prompts("b", read_nifti(cases["b"])).frame == "PLS"


def test_one_file_of_another_tool_for_one_image(tmp_path: Path) -> None:
    cases = images(tmp_path, "a", "b")
    write(tmp_path / "5.csv", f"{HEAD}0,3,2,1\n")
    file = load_prompts(tmp_path / "5.csv")
    one = {"a": cases["a"]}
    assert points(file.for_images(one), "a", cases["a"]) == {5: [(1, 2, 3)]}
    with pytest.raises(PromptFileError, match="there are 2 images and it is named by none of them"):
        file.for_images(cases)
    write(tmp_path / "b_5.csv", f"{HEAD}0,3,2,1\n")
    named = load_prompts(tmp_path / "b_5.csv").for_images(cases)
    assert points(named, "b", cases["b"]) == {5: [(1, 2, 3)]}
    with pytest.raises(PromptFileError, match="no prompts for case 'a'"):
        named.prompts("a", read_nifti(cases["a"]))
    assert file.prompts("b", read_nifti(cases["b"])).labels[5].points == (Point((1, 2, 3)),)


def test_labels_and_files_of_the_prompts(tmp_path: Path) -> None:
    cases = images(tmp_path, "a", "b")
    write(tmp_path / "p" / "a_5.csv", f"{HEAD}0,3,2,1\n")
    write(tmp_path / "p" / "b.json", {"b": {"1": {"7": [[1, 1, 2, 2], []], "8": [None, [[1, 1]]]}}})
    file = load_prompts(tmp_path / "p")
    assert [path.name for path in file.masks] == ["a_5.csv", "b.json"]
    file = file.for_images(cases)
    assert [path.name for path in file.masks] == ["a_5.csv"]
    assert [file.labels(case) for case in "abc"] == [{5}, {7, 8}, set()]
    own = {"a": {"5": {"mask": "m.nii.gz"}, "LV": {"points": [[1, 2, 3]]}}}
    write(tmp_path / "own.json", {"format": "nnunet-prompt", "version": 1, "cases": own})
    named = load_prompts(tmp_path / "own.json")
    assert named.masks == (tmp_path / "m.nii.gz",)
    assert named.labels("a") == set()  # LV needs the model's table


def test_the_default_axes_are_reported(tmp_path: Path) -> None:
    cases = images(tmp_path, "a", "b")
    for name in cases:
        write(tmp_path / "p" / f"{name}_5.csv", f"{HEAD}0,3,2,1\n")
    notes: list[str] = []
    load_prompts(tmp_path / "p").for_images(cases, warn=notes.append)
    assert len(notes) == 1 and "taken as z, y, x of the image file, by default" in notes[0]
