from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nnunet_prompt.common.errors import NNUNetPromptError, PromptFileError
from nnunet_prompt.prompt_files.prompts_json import read_prompts_json, write_prompts_json
from nnunet_prompt.prompt_files.prompts_json_convention import JsonConvention, RawPrompt
from nnunet_prompt.prompts.types import Box, CasePrompts, Point, PromptSet
from tests.helpers.each import each
from tests.helpers.properties import examples
from tests.helpers.schemas import check_form

SHAPE = (5, 7, 3)
CONVENTIONS = [
    JsonConvention("xy" if xy else "yx", 1 if base else 0, inclusive)
    for xy in (True, False)
    for base in (0, 1)
    for inclusive in (False, True)
]


def write(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "prompts.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def entry(box: Any = (0, 0, 2, 2), points: Any = ((1, 1),)) -> dict[str, Any]:
    return {"Case1": {"1": {"500": [box, points]}}}


def test_the_documented_form_is_read(tmp_path: Path) -> None:
    content = {"Case 1": {"0": None, "1": {"500": [[1, 2, 3, 4], [[1, 3], [2, 2.0]]]}}}
    (case,) = read_prompts_json(write(tmp_path, content)).cases.values()
    assert case.slices == {0: {}, 1: {500: RawPrompt((1, 2, 3, 4), ((1, 3), (2, 2.0)))}}
    assert case.problems == ()


@each(
    ("label", "expected"),
    [
        ([[1, 2, 3, 4], None], RawPrompt((1, 2, 3, 4))),
        ([[1, 2, 3, 4], []], RawPrompt((1, 2, 3, 4))),
        ([None, [[1, 2]]], RawPrompt(None, ((1, 2),))),
        ([[], [[1, 2]]], RawPrompt(None, ((1, 2),))),
        ([None, []], None),
        (None, None),
    ],
)
def test_box_points_or_both_may_be_missing(
    tmp_path: Path, label: Any, expected: RawPrompt | None
) -> None:
    (case,) = read_prompts_json(write(tmp_path, {"a": {"1": {"500": label}}})).cases.values()
    assert case.slices == {1: {500: expected} if expected else {}}
    assert case.problems == ()


def test_a_byte_order_mark_and_no_cases_are_fine(tmp_path: Path) -> None:
    assert read_prompts_json(write(tmp_path, "\ufeff{}")).cases == {}


BAD_CASES = {
    "swapped corners": (
        entry((3, 0, 2, 2)),
        "slice '1' label '500': box [3, 0, 2, 2]: its corners",
    ),
    "six points": (entry(points=[[1, 1]] * 6), "points: at most 5 are allowed, found 6"),
    "NaN": (entry((0, 0, float("nan"), 2)), "box: expected four finite numbers"),
    "infinity": (entry(points=[[1, float("inf")]]), "points[0]: expected two finite numbers"),
    "huge": (entry((0, 0, 10**30, 2)), "box: expected four finite numbers"),
    "endless": (
        '{"Case1": {"1": {"500": [[0, 0, %s, 1], []]}}}' % ("1" * 5000),
        "box: expected four finite numbers",
    ),
    "boolean": (entry((0, 0, True, 2)), "box: expected four finite numbers"),
    "string": (entry(points=[["1", 1]]), "points[0]: expected two finite numbers"),
    "short box": (entry((0, 0, 2)), "box: expected four finite numbers"),
    "long point": (entry(points=[[1, 1, 1]]), "points[0]: expected two finite numbers"),
    "bare point": (entry(points=[1, 1]), "points[0]: expected two finite numbers"),
    "points as text": (entry(points="x"), "points: expected a list"),
    "label is a name": ({"Case1": {"1": {"LV": None}}}, "slice '1' label 'LV': a label id must be"),
    "label 0": ({"Case1": {"1": {"0": None}}}, "a label id must be a whole number above 0"),
    "label 1.5": ({"Case1": {"1": {"1.5": None}}}, "label '1.5': a label id must be a whole"),
    "label is long": ({"Case1": {"1": {"9" * 5000: None}}}, "a label id must be a whole number"),
    "slice is a name": ({"Case1": {"top": None}}, "slice 'top': a slice id must be a whole number"),
    "slice is foreign digits": ({"Case1": {"\u0663": None}}, "a slice id must be a whole number"),
    "same slice": ({"Case1": {"1": None, "01": None}}, "slice '01': this number is there more"),
    "one entry": ({"Case1": {"1": {"500": [[0, 0, 2, 2]]}}}, "expected [box, points]"),
    "label is a list": (
        {"Case1": {"1": [1]}},
        "slice '1': expected an object with one key per label",
    ),
    "case is null": ({"Case1": None}, "expected an object with one key per slice, found None"),
    "twice": ('{"Case1": {"1": null, "1": null}}', "slice '1': this key is there more than once"),
    "case twice": ('{"Case1": {}, "Case1": {}}', "this key is there more than once"),
    "label twice": (
        '{"Case1": {"1": {"5": null, "5": null}}}',
        "label '5': this key is there more",
    ),
}


@each("name", BAD_CASES)
def test_a_bad_case_is_told_with_its_place_and_spoils_no_other(tmp_path: Path, name: str) -> None:
    content, message = BAD_CASES[name]
    text = content if isinstance(content, str) else json.dumps(content)
    good = json.dumps(entry()).replace("Case1", "Case2")[1:]
    cases = read_prompts_json(write(tmp_path, f"{text[:-1]}, {good}")).cases
    problem = cases["Case1"].problems[0]
    assert message in problem
    assert problem.startswith("prompts.json: case 'Case1'")
    assert "\n" not in problem and len(problem) < 300
    with pytest.raises(PromptFileError, match=r"prompts\.json"):
        cases["Case1"].to_prompts(SHAPE)
    assert cases["Case2"].to_prompts(SHAPE).labels.keys() == {500}


def test_swapped_corners_are_put_right_and_the_sixth_point_is_left_out(tmp_path: Path) -> None:
    points = [[i, 1] for i in range(6)]
    (case,) = read_prompts_json(write(tmp_path, entry((3, 4, 1, 2), points))).cases.values()
    assert case.slices[1][500].box == (1, 2, 3, 4)
    assert case.slices[1][500].points == tuple((i, 1) for i in range(5))
    assert len(case.problems) == 2


@each(
    ("content", "message"),
    [
        ('{"a": {"0": null},\n  oops}', "broken JSON in line 2, column 3"),
        ("", "broken JSON in line 1, column 1"),
        ("[]", "expected an object with one key per case"),
        ("null", "expected an object with one key per case, found None"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' * 100_000, "nested too deeply"),
    ],
)
def test_a_file_that_is_broken_as_a_whole(tmp_path: Path, content: str, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(PromptFileError, match=message) as error:
        read_prompts_json(path)
    assert "prompts.json" in str(error.value) and "\n" not in str(error.value)
    assert len(str(error.value)) < 300 + len(str(path))


def test_files_that_are_no_text_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "prompts.json"
    with pytest.raises(PromptFileError, match=r"prompts\.json: cannot be read: No such file"):
        read_prompts_json(path)
    with pytest.raises(PromptFileError, match="cannot be read"):
        read_prompts_json(tmp_path)
    path.write_bytes(b'{"\xff": {}}')
    with pytest.raises(PromptFileError, match=r"prompts\.json: not UTF-8 text, wrong at byte 2"):
        read_prompts_json(path)


@st.composite
def cases(draw: st.DrawFn) -> CasePrompts:
    """Prompts of one case as prompts.json can say them, some coordinates not whole."""
    points: dict[int, list[Point]] = {}
    boxes: dict[int, list[Box]] = {}
    slices = {}
    for k in range(SHAPE[2]):
        labels = draw(st.sets(st.sampled_from([1, 500, 2221])))
        for label in labels:
            boxed = draw(st.booleans())
            if boxed:
                a, b = (
                    draw(st.integers(0, 3)),
                    draw(st.integers(0, 5)) + draw(st.sampled_from([0, 0.5])),
                )
                c, d = draw(st.integers(a + 1, 5)), draw(st.integers(math.ceil(b) + 1, 7))
                boxes.setdefault(label, []).append(Box((a, b, k), (c, d, k + 1)))
            pixels = st.tuples(st.integers(0, 4), st.integers(0, 6))
            for i, j in draw(st.lists(pixels, min_size=0 if boxed else 1, max_size=5)):
                points.setdefault(label, []).append(Point((i, j, k)))
        slices[k] = frozenset(labels)
    sets = {
        label: PromptSet(tuple(points.get(label, ())), tuple(boxes.get(label, ())))
        for label in points.keys() | boxes.keys()
    }
    return CasePrompts(sets, "PLS", slices)


@settings(
    max_examples=examples(300),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(convention=st.sampled_from(CONVENTIONS), first=cases(), second=cases())
def test_write_then_read_is_the_identity(
    tmp_path: Path, convention: JsonConvention, first: CasePrompts, second: CasePrompts
) -> None:
    path = tmp_path / "prompts.json"
    written = {"Case 1": first, 'a"b\n': second}
    write_prompts_json(path, written, convention=convention)
    read = read_prompts_json(path).cases
    assert list(read) == list(written)
    for name, prompts in written.items():
        again = read[name].to_prompts(SHAPE, convention)
        assert again.slices == prompts.slices
        assert again.labels.keys() == prompts.labels.keys()
        for label, one in prompts.labels.items():
            assert again.labels[label].points == one.points
            assert again.labels[label].boxes == one.boxes


def test_the_written_text_is_that_of_the_challenge(tmp_path: Path) -> None:
    one = PromptSet((Point((2, 3, 1)),), (Box((1, 2, 1), (4, 6, 2)),))
    slices = {0: frozenset[int](), 1: frozenset({500})}
    write_prompts_json(tmp_path / "new" / "p.json", {"c": CasePrompts({500: one}, "PLS", slices)})
    check_form("tfm4media_prompts", tmp_path / "new" / "p.json")
    text = (tmp_path / "new" / "p.json").read_text()
    assert json.loads(text) == {"c": {"0": None, "1": {"500": [[1, 2, 4, 6], [[2, 3]]]}}}
    assert "." not in text  # whole numbers are written as such
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["p.json"]


def test_a_case_that_cannot_be_written_is_named_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(PromptFileError, match=r"p\.json: case 'c': .*PLS"):
        write_prompts_json(tmp_path / "p.json", {"c": CasePrompts()})
    assert list(tmp_path.iterdir()) == []


numbers = st.one_of(st.integers(-3, 9), st.floats(), st.booleans(), st.none(), st.just("1"))
anything = st.recursive(
    st.one_of(numbers, st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=6),
        st.dictionaries(
            st.one_of(st.sampled_from(["0", "1", "500", "-1"]), st.text(max_size=3)), inner
        ),
    ),
    max_leaves=12,
)
keys = st.sampled_from(["0", "1", "2", "7", "-1", "x", "01"])
nearly = st.dictionaries(
    st.text(max_size=3),
    st.dictionaries(
        keys,
        st.one_of(
            st.none(),
            anything,
            st.dictionaries(
                keys, st.tuples(st.lists(numbers, max_size=5), st.lists(st.lists(numbers)))
            ),
        ),
    ),
)


@pytest.mark.slow
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.one_of(anything, nearly))
def test_whatever_the_file_holds_the_answer_is_prompts_inside_the_image_or_one_line(
    tmp_path: Path, content: Any
) -> None:
    try:
        read = read_prompts_json(write(tmp_path, content))
    except NNUNetPromptError as error:
        assert "\n" not in str(error)
        return
    for case in read.cases.values():
        for convention in CONVENTIONS:
            prompts, problems = case.place(SHAPE, convention)
            assert all("\n" not in line for line in problems)
            for one in prompts.labels.values():
                one.check_inside(SHAPE)
