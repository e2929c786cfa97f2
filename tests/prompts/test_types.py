"""What a prompt may be, and what is refused in one line."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

from nnunet_prompt.common.errors import PromptError
from nnunet_prompt.prompts.types import VOXEL, Box, CasePrompts, Point, PromptSet, Scribble
from tests.helpers.each import each
from tests.helpers.nonsense import NONSENSE, refuses

SHAPE = (3, 4, 5)


def test_prompts_are_positive_and_one_voxel_large_unless_said_otherwise() -> None:
    assert Point((1.0, 2.0, 3.0)) == Point((1.0, 2.0, 3.0), True, (0.5, 0.5, 0.5))
    assert Scribble(((1.0, 2.0, 3.0),)).extent == VOXEL
    assert Box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)).positive


def test_prompts_cannot_be_changed() -> None:
    point: Any = Point((1.0, 2.0, 3.0))
    with pytest.raises(FrozenInstanceError):
        point.positive = False
    prompts: Any = PromptSet()
    with pytest.raises(FrozenInstanceError):
        prompts.points = (point,)


@each("bad", [math.nan, math.inf, -math.inf])
@each("axis", [0, 1, 2])
def test_coordinates_must_be_finite(bad: float, axis: int) -> None:
    position: Any = tuple(bad if a == axis else 1.0 for a in range(3))
    with pytest.raises(PromptError, match=r"^point: coordinates must be finite numbers, found \("):
        Point(position)
    with pytest.raises(PromptError, match=r"^scribble: coordinates must be finite"):
        Scribble(((1.0, 1.0, 1.0), position))
    with pytest.raises(PromptError, match=r"^box: coordinates must be finite"):
        Box((0.0, 0.0, 0.0), position)
    with pytest.raises(PromptError, match=r"^box: coordinates must be finite"):
        Box(position, (9.0, 9.0, 9.0))


@each("upper", [(2.0, 3.0, 1.0), (2.0, 3.0, 0.0)])
def test_swapped_and_empty_boxes_are_refused(upper: Any) -> None:
    with pytest.raises(PromptError, match="every lower corner must be below its upper corner"):
        Box((0.0, 0.0, 1.0), upper)


def test_a_scribble_needs_a_vertex() -> None:
    with pytest.raises(PromptError, match="a path needs at least one vertex"):
        Scribble(())


def test_empty_means_that_every_channel_is_zero() -> None:
    nothing = np.zeros(SHAPE, bool)
    something = nothing.copy()
    something[0, 0, 0] = True
    point, box = Point((0.0, 0.0, 0.0), False), Box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert PromptSet().empty
    assert PromptSet(mask=nothing).empty
    assert not PromptSet(mask=something).empty
    assert PromptSet(negative_mask=nothing).empty
    assert not PromptSet(negative_mask=something).empty
    assert not PromptSet(mask=nothing, negative_mask=something).empty
    assert not PromptSet((point,)).empty
    assert not PromptSet(boxes=(box,), mask=nothing).empty
    assert not PromptSet(scribbles=(Scribble(((0.0, 0.0, 0.0),)),)).empty


def test_positive_points_of_others_become_negatives() -> None:
    mask = np.ones(SHAPE, bool)
    box = Box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    own = PromptSet((Point((0.0, 0.0, 0.0)),), (box,), (Scribble(((1.0, 1.0, 1.0),)),), mask, ~mask)
    thick = (2.0, 0.5, 0.5)
    first = PromptSet((Point((1.0, 0.0, 0.0), True, thick), Point((2.0, 0.0, 0.0), False)), (box,))
    second = PromptSet((Point((0.0, 3.0, 4.0)),))
    both = own.with_negatives([first, second, PromptSet()])
    assert both.points == (
        Point((0.0, 0.0, 0.0)),
        Point((1.0, 0.0, 0.0), False, thick),
        Point((0.0, 3.0, 4.0), False),
    )
    assert (both.boxes, both.scribbles, both.mask) == (own.boxes, own.scribbles, mask)
    assert both.negative_mask is own.negative_mask
    assert len(own.points) == 1
    assert PromptSet().with_negatives([PromptSet()]).empty


@each("position", [(-0.5, -0.5, -0.5), (0.0, 0.0, 0.0), (2.0, 3.0, 4.49)])
def test_positions_inside(position: Any) -> None:
    PromptSet((Point(position),), scribbles=(Scribble((position,)),)).check_inside(SHAPE)


@each("position", [(-0.51, 0.0, 0.0), (3.0, 0.0, 0.0), (0.0, 4.0, 0.0), (0.0, 0.0, 4.5)])
def test_an_index_equal_to_the_size_is_outside(position: Any) -> None:
    with pytest.raises(
        PromptError, match=r"^point \(.*\) lies outside .*shape is \(3, 4, 5\)$"
    ) as e:
        PromptSet((Point((0.0, 0.0, 0.0)), Point(position))).check_inside(SHAPE)
    assert "\n" not in str(e.value)
    with pytest.raises(PromptError, match=r"^scribble vertex"):
        PromptSet(scribbles=(Scribble(((0.0, 0.0, 0.0), position)),)).check_inside(SHAPE)


def test_boxes_may_touch_every_edge_and_not_leave() -> None:
    PromptSet(boxes=(Box((0.0, 0.0, 0.0), (3.0, 4.0, 5.0)),)).check_inside(SHAPE)
    for lower, upper in [
        ((-0.1, 0.0, 0.0), (3.0, 4.0, 5.0)),
        ((0.0, 0.0, 0.0), (3.0, 4.0, 5.1)),
    ]:
        with pytest.raises(PromptError, match=r"^box .* leaves the image"):
            PromptSet(boxes=(Box(lower, upper),)).check_inside(SHAPE)


def test_a_mask_has_the_shape_of_the_image() -> None:
    PromptSet(mask=np.zeros(SHAPE, bool)).check_inside(SHAPE)
    with pytest.raises(PromptError, match=r"mask: expected .* \(3, 4, 5\), found \(5, 4, 3\)") as e:
        PromptSet(mask=np.zeros((5, 4, 3), bool)).check_inside(SHAPE)
    assert "\n" not in str(e.value)
    assert not str(e.value).startswith("negative")


def test_a_negative_mask_has_the_shape_of_the_image() -> None:
    PromptSet(negative_mask=np.zeros(SHAPE, bool)).check_inside(SHAPE)
    with pytest.raises(
        PromptError, match=r"^negative mask: expected .* \(3, 4, 5\), found \(5, 4, 3\)$"
    ):
        PromptSet(negative_mask=np.zeros((5, 4, 3), bool)).check_inside(SHAPE)


def test_a_case_without_prompts() -> None:
    case = CasePrompts()
    assert dict(case.labels) == {}
    assert case.frame == "file"
    assert case.slices is None
    assert CasePrompts().labels is not case.labels


def test_coordinates_become_tuples_of_floats() -> None:
    for given in ([1, 2, 3], np.array([1, 2, 3]), (np.int8(1), 2, 3.0)):
        wanted: Any = given
        point = Point(wanted, np.True_, np.ones(3))  # type: ignore[arg-type]
        assert point == Point((1.0, 2.0, 3.0), True, (1.0, 1.0, 1.0))
        assert {type(n) for n in (*point.position, *point.extent)} == {float}
        assert point.positive is True
        assert Box(wanted, [4, 5, 6]) == Box((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))  # type: ignore[arg-type]
        assert Scribble([wanted]).path == ((1.0, 2.0, 3.0),)  # type: ignore[arg-type]
    assert Scribble(np.arange(6).reshape(2, 3)).path[1] == (3.0, 4.0, 5.0)  # type: ignore[arg-type]


def test_what_is_exact_is_kept_as_it_is() -> None:
    position, path = (1.0, 2.0, 3.0), ((1.0, 2.0, 3.0),)
    assert Point(position).position is position and Scribble(path).path is path
    mask, points = np.ones(SHAPE, bool), (Point(position),)
    prompts = PromptSet(points, mask=mask)
    assert prompts.mask is mask and prompts.points is points
    labels = {500: prompts}
    assert CasePrompts(labels).labels is labels


def test_what_no_prompt_can_be_made_of() -> None:
    fine = (1.0, 2.0, 3.0)
    refuses(Point)  # type: ignore[arg-type]
    refuses(lambda v: Point(fine, True, v))
    refuses(lambda v: Point(fine, v), [1, 0, None, "yes", 500, np.int64(1)])
    refuses(lambda v: Box(v, fine))
    refuses(lambda v: Box(fine, v))
    refuses(Scribble)
    refuses(lambda v: Scribble((fine, v)))
    with pytest.raises(PromptError, match="extent: expected three numbers from 0 on"):
        Point(fine, True, (-1.0, 1.0, 1.0))


def test_a_set_takes_lists_and_refuses_other_members() -> None:
    point, box = Point((0.0, 0.0, 0.0)), Box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    lists: Any = [point, (1, 2, 3)]
    assert PromptSet(lists).points == (point, Point((1.0, 2.0, 3.0)))
    rest = [v for v in NONSENSE if not (isinstance(v, (tuple, list)) and not v)]
    refuses(PromptSet, [v for v in rest if not isinstance(v, np.ndarray) or v.dtype != float])
    refuses(lambda v: PromptSet(boxes=v), [*rest, [point], box])
    refuses(lambda v: PromptSet(scribbles=v), [*rest, [point]])
    refuses(lambda v: PromptSet(mask=v), [v for v in NONSENSE if v is not None])
    refuses(PromptSet().with_negatives, [1, [1], "ab", None, point])
    refuses(PromptSet((point,)).check_inside, [v for v in NONSENSE if not isinstance(v, range)])


def test_a_case_takes_whole_numbers_and_refuses_the_rest() -> None:
    prompts = PromptSet((Point((0.0, 0.0, 0.0)),))
    said = CasePrompts({np.int64(500): prompts}, "PLS", {np.int8(2): [np.int64(500)]})  # type: ignore[dict-item]
    assert said.labels == {500: prompts} and said.slices == {2: frozenset({500})}
    assert {type(k) for k in (*said.labels, *(said.slices or {}))} == {int}
    refuses(lambda v: CasePrompts({500: v}))
    refuses(CasePrompts, [*(v for v in NONSENSE if not isinstance(v, dict)), {1: 2}])
    refuses(lambda v: CasePrompts({v: prompts}), [0, -1, "LV", None, 1.5, True, (1,)])
    refuses(lambda v: CasePrompts({}, v))
    refuses(lambda v: CasePrompts({}, "file", v), ["LV", 3, [1], {1: 5}, {-1: {5}}, {1: {0}}])
    refuses(lambda v: CasePrompts({}, "file", None, v), [-1, 3, True, None, "0"])
