"""Words in a prompts.json: every short form they come in, the slices in which they count, and what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_prompt.common.errors import PromptFileError
from nnunet_prompt.io.nifti import read_nifti
from nnunet_prompt.prompt_files.prompt_file import load_prompts
from nnunet_prompt.prompt_files.prompts_json import load_json, parse_prompts_json
from nnunet_prompt.prompt_files.prompts_json_convention import JsonConvention, RawCase, RawPrompt
from nnunet_prompt.prompt_files.prompts_json_text import text_slices, with_texts
from nnunet_prompt.prompts.types import CasePrompts
from tests.helpers.each import each
from tests.prompt_files.inputs import parsed, save_pls
from tests.prompt_files.test_text import TABLE

pytestmark = pytest.mark.slow

SHAPE = (4, 5, 6)  # six slices
POINT = RawPrompt(points=((1, 2),))
BOXED = RawPrompt((0, 1, 2, 3), ((1, 2),))
Said = tuple[str, int | None, int | None]


def raw(case: Any) -> RawCase:
    return parsed({"Case1": case}).cases["Case1"]


def placed(case: Any, base: int = 0) -> tuple[CasePrompts, tuple[str, ...]]:
    convention = JsonConvention(base=base)  # type: ignore[arg-type]
    one = raw(case)
    prompts, problems = one.place(SHAPE, convention)
    assert not problems
    return with_texts(prompts, one, SHAPE[2], convention, TABLE)


@each(
    "case, said, slices",
    [
        ("LV", [("LV", None, None)], {}),
        (["LV", "RV"], [("LV", None, None), ("RV", None, None)], {}),
        ({"text": "LV", "0": None}, [("LV", None, None)], {0: {}}),
        ({"text": {"500": "LV"}}, [("LV", 500, None)], {}),
        ({"text": {"500": {"text": ["LV"]}}}, [("LV", 500, None)], {}),
        ({"3": "LV"}, [("LV", None, 3)], {}),
        ({"3": {"text": "LV"}}, [("LV", None, 3)], {}),
        ({"3": {"500": "LV"}}, [("LV", 500, 3)], {}),
        ({"3": {"500": ["LV", "lv"]}}, [("LV", 500, 3), ("lv", 500, 3)], {}),
        ({"3": {"500": {"text": "LV"}}}, [("LV", 500, 3)], {}),
        (
            {"3": {"500": {"text": "LV", "points": [[1, 2]]}}},
            [("LV", 500, 3)],
            {3: {500: POINT}},
        ),
        (
            {"3": {"500": {"text": "LV", "box": [0, 1, 2, 3], "points": [[1, 2]]}}},
            [("LV", 500, 3)],
            {3: {500: BOXED}},
        ),
        (
            {"3": {"500": [[0, 1, 2, 3], [[1, 2]], "LV"]}},
            [("LV", 500, 3)],
            {3: {500: BOXED}},
        ),
        ({"3": {"500": {"points": [[1, 2]]}}}, [], {3: {500: POINT}}),
        ({"text": None, "3": {"500": [None, [[1, 2]]]}}, [], {3: {500: POINT}}),
    ],
    ids=[
        "a case",
        "a case of several",
        "beside slices",
        "by label",
        "by label, deep",
        "a slice",
        "text of a slice",
        "a label",
        "a label of several",
        "text of a label",
        "beside points",
        "beside both",
        "in short",
        "an object without words",
        "no words",
    ],
)
def test_forms(case: Any, said: list[Said], slices: Any) -> None:
    found = raw(case)
    assert [(t.phrase, t.label, t.slice) for t in found.texts] == said
    assert (found.slices, found.problems) == (slices, ())


@each(
    "case, line, more",
    [
        ({"text": 5}, "text: expected words", "found 5"),
        ({"text": "  "}, "text: expected words", "found ' '"),
        ({"text": []}, "text: expected words", "found []"),
        ({"3": {"text": ["LV", 3]}}, "slice '3': text: expected words", ""),
        ({"3": {"500": "x" * 201}}, "slice '3' label '500': text: expected words", ""),
        ({"text": {"LV": "LV"}}, "text: a label id must be a whole", "'LV'"),
        ({"3": {"500": [None, [], 7]}}, "label '500': text: expected words", "found 7"),
        ({"3": {"points": [[1, 2]]}}, "slice '3' label 'points'", ""),
        ({"3": {"500": {"txt": "LV"}}}, "expected [box, points]", "txt"),
    ],
    ids=[
        "a number",
        "no word",
        "an empty list",
        "a number in a list",
        "endless",
        "a label by name",
        "in short",
        "points without a slice",
        "an unknown key",
    ],
)
def test_what_is_wrong_is_one_problem_of_its_case(case: Any, line: str, more: str) -> None:
    found = parsed({"Case1": case, "Case2": "LV"}).cases
    (problem,) = found["Case1"].problems
    assert problem.startswith("prompts.json: case 'Case1'") and line in problem and more in problem
    assert found["Case2"].problems == ()


def test_keys_that_are_there_twice_are_still_found(tmp_path: Path) -> None:
    path = tmp_path / "prompts.json"
    path.write_text(
        '{"A": {"text": "LV", "3": null, "3": {"500": [null, []]}}, "B": {"text": "x", "text": "y"}}'
    )
    found = parse_prompts_json(load_json(path), "prompts.json").cases
    assert "more than once" in found["A"].problems[0] and "slice '3'" in found["A"].problems[0]
    assert "text: this key is there more than once" in found["B"].problems[0]


ALL = frozenset(range(SHAPE[2]))


@each(
    "case, named, where",
    [
        ("left ventricle", {500: "LV"}, {500: ALL}),
        ({"text": "LV", "0": None, "4": None}, {500: "LV"}, {500: ALL - {0, 4}}),
        ({"3": "LV", "4": {"text": "LV"}}, {500: "LV"}, {500: {3, 4}}),
        ({"2": {"7": "LV"}}, {7: "LV"}, {7: {2}}),
        ({"500": {"text": "LV"}}, {500: "LV"}, {500: ALL}),
        (
            {"text": "RV", "1": {"500": [None, [[1, 2]]]}},
            {600: "RV"},
            {500: {1}, 600: ALL},
        ),
    ],
    ids=[
        "a case",
        "null slices",
        "a slice",
        "a label of a slice",
        "a label where slices stand",
        "beside others",
    ],
)
def test_where_words_count(case: Any, named: Any, where: Any) -> None:
    prompts, lines = placed(case)
    assert (prompts.named, lines) == (named, ())
    slices = prompts.slices or {}
    assert {v: {k for k, labels in slices.items() if v in labels} for v in where} == where
    allowed, free = text_slices(raw(case), SHAPE[2], JsonConvention())
    for label, there in where.items():  # what is checked without a model allows all of it
        assert label in prompts.labels or all(k in free or label in allowed[k] for k in there)


def test_slices_may_count_from_1() -> None:
    assert placed({"6": "LV"}, base=1)[0].slices == {5: frozenset({500})}


def test_slices_beyond_the_image_are_refused() -> None:
    prompts, lines = placed({"9": "LV", "2": "RV", "8": {"500": "LV"}})
    assert prompts.named == {600: "RV"}
    assert len(lines) == 2 and "slice '9': the image has the slices 0 to 5" in lines[0]


def test_a_text_beside_points_changes_nothing_but_may_contradict() -> None:
    plain = {"3": {"500": [None, [[1, 2]]]}}
    same, nothing = placed({"3": {"500": {"points": [[1, 2]], "text": "left ventricle"}}})
    other, line = placed({"3": {"500": {"points": [[1, 2]], "text": "right ventricle"}}})
    for found in (same, other):
        assert (found.labels.keys(), found.slices, found.named) == ({500}, {3: {500}}, {})
        assert found.labels[500].points == placed(plain)[0].labels[500].points
    assert nothing == () and "label 500 is 'LV' of the model" in line[0]


def load(folder: Path, content: Any, warned: list[str]) -> CasePrompts:
    path = folder / "prompts.json"
    path.write_text(json.dumps(content))
    image = save_pls(folder / "Case1.nii.gz", np.zeros(SHAPE))
    file = load_prompts(path).for_images({"Case1": image}, table=TABLE, warn=warned.append)
    return file.prompts("Case1", read_nifti(image), warn=warned.append)


def test_predict_reads_words_alone_and_reports_what_is_refused(tmp_path: Path) -> None:
    warned: list[str] = []
    assert load(tmp_path, {"Case1": ["LV", "nonsense"]}, warned).named == {500: "LV"}
    assert len(warned) == 1 and "no structure 'nonsense'" in warned[0]


def test_predict_refuses_a_case_of_which_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(PromptFileError, match=r"case 'Case1': text: .*could be 'kidney_left'"):
        load(tmp_path, {"Case1": "kidney"}, [])
