"""A text names a structure of the model, contradicts it, or is refused without costing another text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_prompt.common.errors import PromptFileError
from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.io.nifti import read_nifti
from nnunet_prompt.prompt_files.prompt_file import PromptFile, load_prompts
from nnunet_prompt.prompt_files.text import Text, labels_of, understand_texts
from tests.helpers.each import each
from tests.prompt_files.inputs import save_pls

pytestmark = pytest.mark.slow

TABLE = StructureTable(
    (
        Structure("LV", 1, (1,), 500),
        Structure("RV", 2, (2,), 600),
        Structure("kidney_left", 3, (3,), 31),
        Structure("kidney_right", 4, (4,), 32),
    )
)


def text(phrase: str, label: int | None = None) -> Text:
    return Text(f"case {phrase}", phrase, label)


@each(
    "texts, expected",
    [
        ([text("left ventricular cavity")], {500: "LV"}),
        ([text("left ventricle", 500)], {500: "LV"}),
        ([text("left ventricle", 7)], {7: "LV"}),
        ([text("600")], {600: "RV"}),
        ([text("LV", 500), text("left ventricle", 500)], {500: "LV"}),
        ([text("LV"), text("right ventricle")], {500: "LV", 600: "RV"}),
        ([], {}),
    ],
    ids=[
        "without a label",
        "with its own",
        "with a label that no structure has",
        "by its value",
        "several words for one",
        "two structures",
        "nothing",
    ],
)
def test_what_is_named(texts: list[Text], expected: dict[int, str]) -> None:
    meant = understand_texts(texts, (), TABLE)
    assert (meant.named, meant.lines) == (expected, ())
    assert labels_of(texts, TABLE) == set(expected)


@each(
    "wrong, why",
    [
        (text("flux capacitor"), "no structure 'flux capacitor'"),
        (text("kidney"), "could be 'kidney_left' or 'kidney_right'"),
    ],
    ids=["unknown", "a tie"],
)
def test_a_refused_text_costs_no_other_one(wrong: Text, why: str) -> None:
    meant = understand_texts([wrong, text("LV")], (), TABLE)
    assert meant.named == {500: "LV"}
    (line,) = meant.lines
    assert line.startswith(f"case {wrong.phrase}: text: ") and why in line


def test_beside_prompts_a_text_names_nothing_and_may_contradict() -> None:
    assert understand_texts([text("left ventricle", 500)], {500}, TABLE).lines == ()
    assert understand_texts([text("left ventricle", 7)], {7}, TABLE).lines == ()
    meant = understand_texts([text("right ventricle", 500)], {500}, TABLE)
    assert meant.named == {}
    assert "label 500 is 'LV' of the model, its text means 'RV'; only its" in meant.lines[0]


def test_alone_a_text_goes_before_the_value_and_that_is_reported() -> None:
    meant = understand_texts([text("right ventricle", 500)], (), TABLE)
    assert meant.named == {500: "RV"}
    assert "label 500 is 'LV' of the model, its text means 'RV', which answers" in meant.lines[0]


def test_one_label_means_one_structure_and_one_structure_one_label() -> None:
    meant = understand_texts([text("LV", 7), text("RV", 7)], (), TABLE)
    assert meant.named == {} and "label 7 is to be 'LV' and 'RV'" in meant.lines[0]
    meant = understand_texts([text("LV", 7), text("LV", 8)], (), TABLE)
    assert meant.named == {7: "LV"}
    assert "label 8 means 'LV', and so does label 7" in meant.lines[0]


def test_the_same_words_in_every_slice_are_one_line() -> None:
    said = [Text(f"slice {k}", "nonsense", None, k) for k in range(99)]
    assert len(understand_texts(said, (), TABLE).lines) == 1


def test_endless_lists_of_words_end() -> None:
    meant = understand_texts([text("LV"), *(text(f"x{k}") for k in range(600))], (), TABLE)
    assert meant.named == {500: "LV"}
    assert len(meant.lines) == 500 and "more than 500 phrases" in meant.lines[-1]


def test_words_need_a_model() -> None:
    assert "needs a model" in understand_texts([text("LV")], (), None).lines[0]


# Our own form -----------------------------------------------------------------------------------------------------


def own(folder: Path, case: Any) -> PromptFile:
    path = folder / "own.json"
    content = {"format": "nnunet-prompt", "version": 1, "cases": {"case": case}}
    path.write_text(json.dumps(content))
    image = save_pls(folder / "case.nii.gz", np.zeros((4, 5, 6)))
    return load_prompts(path).for_images({"case": image}, table=TABLE)


@each(
    "case, expected",
    [
        ("left ventricle", {500: "LV"}),
        (["left ventricle", "RV"], {500: "LV", 600: "RV"}),
        ({"text": "left ventricle"}, {500: "LV"}),
        ({"7": "left ventricle"}, {7: "LV"}),
        ({"LV": ["LV", "left ventricle"]}, {500: "LV"}),
        ({"500": {"text": "left ventricular cavity"}}, {500: "LV"}),
    ],
    ids=[
        "a case of words",
        "several",
        "the key text",
        "a label of words",
        "a label of several",
        "text of a label",
    ],
)
def test_own_form(tmp_path: Path, case: Any, expected: dict[int, str]) -> None:
    file = own(tmp_path, case)
    found = file.prompts("case", read_nifti(tmp_path / "case.nii.gz"))
    assert found.named == expected and not found.labels
    assert file.labels("case") == set(expected) and not file.labels("case", texts=False)


def test_own_form_beside_points(tmp_path: Path) -> None:
    warned: list[str] = []
    case = {"500": {"text": "right ventricle", "points": [[1, 2, 3]]}, "text": ["RV", "nonsense"]}
    file = own(tmp_path, case)
    found = file.prompts("case", read_nifti(tmp_path / "case.nii.gz"), warn=warned.append)
    assert list(found.labels) == [500] and found.named == {600: "RV"}
    assert len(warned) == 2 and "'nonsense'" in warned[0] and "label 500 is 'LV'" in warned[1]


def test_own_form_with_nothing_left(tmp_path: Path) -> None:
    file = own(tmp_path, {"text": ["nonsense", "kidney"]})
    with pytest.raises(
        PromptFileError, match=r"cases\.case: text: no structure 'nonsense'.*1 more"
    ):
        file.prompts("case", read_nifti(tmp_path / "case.nii.gz"))


@each(
    "case",
    [
        {"500": {"text": 3}},
        {"500": {"text": " "}},
        {"500": {"text": []}},
        {"text": "x" * 201},
    ],
    ids=["a number", "no words", "an empty list", "endless"],
)
def test_own_form_refuses_in_one_line(tmp_path: Path, case: Any) -> None:
    with pytest.raises(PromptFileError) as error:
        own(tmp_path, case)
    assert str(error.value).startswith("own.json: cases.case") and "\n" not in str(error.value)
