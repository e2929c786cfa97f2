from __future__ import annotations

from typing import Any

import pytest

from nnunet_prompt.common.errors import PromptError, PromptFileError
from nnunet_prompt.prompt_files.prompts_json_convention import (
    ALL_OPEN,
    GivenConvention,
    JsonConvention,
    RawCase,
    RawPrompt,
    given_convention,
    raw_slices,
)
from nnunet_prompt.prompts.types import Box, CasePrompts, Point, PromptSet, Scribble
from tests.helpers.each import each

SHAPE = (4, 6, 3)  # P, L, S


def raw(slices: dict[int, dict[int, RawPrompt]], problems: tuple[str, ...] = ()) -> RawCase:
    return RawCase("prompts.json: case 'Case1'", slices, problems)


def one(prompt: RawPrompt, slice_: int = 1) -> RawCase:
    return raw({slice_: {500: prompt}})


def test_x_is_axis_0_and_the_upper_end_is_exclusive_by_default() -> None:
    prompts = one(RawPrompt((1, 2, 3, 6), ((1, 5),))).to_prompts(SHAPE)
    assert prompts.frame == "PLS"
    assert prompts.slices == {1: frozenset({500})}
    assert prompts.labels[500].boxes == (Box((1, 2, 1), (3, 6, 2)),)
    assert prompts.labels[500].points == (Point((1, 5, 1)),)


def test_yx_swaps_the_axes() -> None:
    prompts = one(RawPrompt((2, 1, 6, 3), ((5, 1),))).to_prompts(SHAPE, JsonConvention("yx"))
    assert prompts.labels[500].boxes == (Box((1, 2, 1), (3, 6, 2)),)
    assert prompts.labels[500].points == (Point((1, 5, 1)),)


def test_an_inclusive_box_holds_its_second_corner() -> None:
    convention = JsonConvention(inclusive=True)
    prompts = one(RawPrompt((1, 2, 1, 5))).to_prompts(SHAPE, convention)
    assert prompts.labels[500].boxes == (Box((1, 2, 1), (2, 6, 2)),)


def test_the_base_counts_slices_and_not_pixels() -> None:
    prompts = one(RawPrompt((0, 0, 1, 1)), 3).to_prompts(SHAPE, JsonConvention(base=1))
    assert prompts.labels[500].boxes == (Box((0, 0, 2), (1, 1, 3)),)


def test_labels_join_their_slices_and_null_slices_stay_empty() -> None:
    a, b = RawPrompt((0, 0, 1, 1)), RawPrompt(None, ((2, 2),))
    prompts = raw({2: {1: b, 2: b}, 0: {1: a}, 1: {}}).to_prompts(SHAPE)
    assert prompts.slices == {0: frozenset({1}), 1: frozenset(), 2: frozenset({1, 2})}
    assert prompts.labels[1].boxes == (Box((0, 0, 0), (1, 1, 1)),)
    assert prompts.labels[1].points == prompts.labels[2].points == (Point((2, 2, 2)),)


@each(
    ("prompt", "message", "repaired"),
    [
        (RawPrompt((-1, 2, 3, 6)), "leaves the image", Box((0, 2, 1), (3, 6, 2))),
        (RawPrompt((1, 2, 5, 6)), "leaves the image", Box((1, 2, 1), (4, 6, 2))),
        (RawPrompt((1, 2, 3, 7)), "leaves the image", Box((1, 2, 1), (3, 6, 2))),
        (RawPrompt((4, 0, 6, 2)), "leaves the image", None),
        (RawPrompt((1, 2, 1, 4)), "is empty", Box((1, 2, 1), (2, 4, 2))),
        (RawPrompt((-5, -5, -5, -5)), "is empty", None),
    ],
)
def test_a_bad_box_is_an_error_or_mended_and_told(
    prompt: RawPrompt, message: str, repaired: Box | None
) -> None:
    with pytest.raises(PromptFileError, match=message) as error:
        one(prompt).to_prompts(SHAPE)
    assert str(error.value).startswith("prompts.json: case 'Case1' slice '1' label '500': box [")
    prompts, problems = one(prompt).place(SHAPE)
    assert problems
    boxes = [box for labels in prompts.labels.values() for box in labels.boxes]
    assert boxes == ([repaired] if repaired else [])
    assert prompts.slices == {1: frozenset({500} if repaired else ())}


@each("point", [(4, 0), (0, 6), (-1, 0), (0, -0.6), (3.5, 0)])
def test_a_point_outside_is_an_error_or_left_out_and_told(point: tuple[float, float]) -> None:
    case = one(RawPrompt((0, 0, 1, 1), (point, (3, 5))))
    with pytest.raises(PromptFileError, match="outside the image"):
        case.to_prompts(SHAPE)
    prompts, problems = case.place(SHAPE)
    assert prompts.labels[500].points == (Point((3, 5, 1)),)
    assert len(problems) == 1


def test_the_image_size_in_a_message_is_that_of_x_and_y() -> None:
    with pytest.raises(PromptFileError, match="6 pixels along x and 4 along y"):
        one(RawPrompt((0, 0, 7, 1))).to_prompts(SHAPE, JsonConvention("yx"))


@each(("slice_", "base"), [(3, 0), (-1, 0), (0, 1), (4, 1)])
def test_a_slice_that_the_image_lacks(slice_: int, base: int) -> None:
    case = raw({slice_: {500: RawPrompt((0, 0, 1, 1))}, 1: {}})
    convention = JsonConvention(base=1 if base else 0)
    with pytest.raises(PromptFileError, match=f"slice '{slice_}': the image has the slices {base}"):
        case.to_prompts(SHAPE, convention)
    prompts, problems = case.place(SHAPE, convention)
    assert (dict(prompts.labels), prompts.slices) == ({}, {1 - base: frozenset()})
    assert len(problems) == 1


def test_problems_of_reading_are_errors_too_and_counted() -> None:
    case = raw({1: {500: RawPrompt((0, 0, 9, 1))}}, ("first thing", "second thing"))
    with pytest.raises(PromptFileError, match=r"^first thing \(and 2 more\)$"):
        case.to_prompts(SHAPE)


@each(
    ("axis", "order", "box", "point"),
    [
        (0, "xy", Box((1, 2, 0), (2, 5, 2)), (1, 3, 1)),  # x is axis 1, y is axis 2
        (0, "yx", Box((1, 0, 2), (2, 2, 5)), (1, 1, 3)),
        (1, "xy", Box((2, 1, 0), (5, 2, 2)), (3, 1, 1)),
        (1, "yx", Box((0, 1, 2), (2, 2, 5)), (1, 1, 3)),
        (2, "xy", Box((2, 0, 1), (5, 2, 2)), (3, 1, 1)),
    ],
)
def test_slices_along_any_axis(axis: int, order: Any, box: Box, point: Any) -> None:
    case = one(RawPrompt((2, 0, 5, 2), ((3, 1),)))
    convention = JsonConvention(order)
    prompts = case.to_prompts((5, 6, 7), convention, axis)
    assert prompts.labels[500].boxes == (box,)
    assert prompts.labels[500].points == (Point(point),)
    assert (prompts.slices, prompts.slice_axis) == ({1: frozenset({500})}, axis)
    assert raw_slices(prompts, convention) == case.slices


@each(("axis", "name"), [(0, "first"), (1, "second"), (2, "third")])
def test_the_slices_of_a_message_are_those_of_the_axis(axis: int, name: str) -> None:
    shape = (4, 6, 3)
    with pytest.raises(
        PromptFileError, match=f"slices 0 to {shape[axis] - 1} along its {name} PLS"
    ):
        one(RawPrompt((0, 0, 1, 1)), shape[axis]).to_prompts(shape, slice_axis=axis)
    assert one(RawPrompt((0, 0, 1, 1)), shape[axis] - 1).to_prompts(shape, slice_axis=axis).labels


def test_the_words_of_the_command_line() -> None:
    assert given_convention("auto", "auto", "auto") == ALL_OPEN == GivenConvention()
    assert given_convention("yx", "1", "yes") == GivenConvention("yx", 1, True)
    assert given_convention("xy", "0", "no") == GivenConvention("xy", 0, False)


def test_a_convention_must_be_known() -> None:
    with pytest.raises(PromptError, match="order must be xy or yx"):
        JsonConvention("ij")  # type: ignore[arg-type]


BOX = Box((0, 0, 0), (1, 1, 1))


@each(
    ("prompts", "message"),
    [
        (CasePrompts({}, "file", {}), "PLS"),
        (CasePrompts({}, "PLS", None), "named slices"),
        (CasePrompts({1: PromptSet((Point((0, 0, 1)),))}, "PLS", {0: frozenset({1})}), "not name"),
        (
            CasePrompts({1: PromptSet((Point((0, 0, 0), False),))}, "PLS", {0: frozenset()}),
            "positive",
        ),
        (CasePrompts({1: PromptSet(boxes=(BOX, BOX))}, "PLS", {0: frozenset()}), "one box"),
        (CasePrompts({1: PromptSet((Point((0, 0, 0)),) * 6)}, "PLS", {0: frozenset()}), "5 points"),
        (
            CasePrompts(
                {1: PromptSet(boxes=(Box((0, 0, 0), (1, 1, 2)),))}, "PLS", {0: frozenset()}
            ),
            "one slice",
        ),
        (
            CasePrompts(
                {1: PromptSet(scribbles=(Scribble(((0, 0, 0),)),))}, "PLS", {0: frozenset()}
            ),
            "points and boxes only",
        ),
    ],
)
def test_what_the_file_cannot_say_is_refused(prompts: CasePrompts, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        raw_slices(prompts)


@each("given", [("zy",), ("xy", 2), ("xy", 0, "yes")])
def test_a_given_convention_is_checked(given: Any) -> None:
    with pytest.raises(PromptError, match="expected the order xy or yx, the base 0 or 1"):
        GivenConvention(*given)
