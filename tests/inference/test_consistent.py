"""What prompts say holds in the mask; nothing else of it changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from nnunet_prompt.inference.consistent import make_consistent, settle_points
from nnunet_prompt.prompts.encode import style_for
from nnunet_prompt.prompts.frames import flip_permute, identity
from nnunet_prompt.prompts.types import CasePrompts, Point, PromptSet, Scribble
from nnunet_prompt.sliding_window.canvas import LabelLogits
from nnunet_prompt.sliding_window.tiles import Boxes
from tests.helpers.each import each

STYLE = style_for((1.0, 1.0, 1.0), radius=2.0)
NO_BOXES: Boxes = np.zeros((0, 3, 2), np.int64)


def logits(*rows: str) -> Any:
    """One slice: "#" is 3, "+" 1, "-" -1, "." -6."""
    values = {"#": 3.0, "+": 1.0, "-": -1.0, ".": -6.0}
    return np.array([[[values[c] for c in row] for row in rows]], np.float32)


def changed(
    array: Any, prompts: PromptSet, boxes: Boxes = NO_BOXES, origin: Any = (0, 0, 0)
) -> Any:
    found = LabelLogits(origin, torch.from_numpy(array.copy()))
    (one,) = make_consistent([found], [prompts], [boxes], STYLE)
    return (one.logits.numpy() > 0)[0]


def picture(mask: Any) -> list[str]:
    return ["".join("#" if v else "." for v in row) for row in mask]


def point(y: int, x: int, positive: bool = True) -> Point:
    return Point((0.0, float(y), float(x)), positive)


def test_a_mask_that_agrees_stays_as_it_is() -> None:
    array = logits("##..", "##..")
    prompts = PromptSet(points=(point(0, 0), point(0, 3, False)))
    assert picture(changed(array, prompts)) == ["##..", "##.."]


def test_a_negative_point_removes_the_component_it_lies_in() -> None:
    array = logits("##.##", "##.##")
    prompts = PromptSet(points=(point(0, 0), point(1, 4, False)))
    assert picture(changed(array, prompts)) == ["##...", "##..."]


def test_a_component_with_both_is_cut_along_the_valley_of_the_logits() -> None:
    array = logits("###+###", "###+###")
    prompts = PromptSet(points=(point(0, 0), point(1, 6, False)))
    assert picture(changed(array, prompts))[0][:3] == "###"
    assert picture(changed(array, prompts))[1][4:] == "..."


def test_a_negative_stroke_counts_all_along_its_path() -> None:
    array = logits("##.##.##")
    stroke = Scribble(((0.0, 0.0, 3.0), (0.0, 0.0, 7.0)), positive=False)
    assert picture(changed(array, PromptSet(scribbles=(stroke,)))) == ["##......"]


def test_a_missed_point_adds_what_is_as_probable_as_it_is() -> None:
    array = logits("....", ".--.", ".-#.", "....")
    assert picture(changed(array, PromptSet(points=(point(1, 1),)))) == [
        "....",
        ".##.",
        ".##.",
        "....",
    ]


def test_a_point_that_the_network_rules_out_gets_its_voxel_and_no_ball() -> None:
    array = logits(".....", ".....", "..#..")
    assert picture(changed(array, PromptSet(points=(point(0, 0),)))) == ["#....", ".....", "..#.."]


def test_a_prompted_label_is_never_empty() -> None:
    array = logits("....", ".--.", "....")
    box = np.array([[(0, 1), (0, 3), (0, 4)]], np.int64)
    assert picture(changed(array, PromptSet(), box)) == ["....", ".##.", "...."]
    outside = np.array([[(0, 1), (0, 1), (0, 4)]], np.int64)  # the best part inside the prompts
    assert picture(changed(array, PromptSet(), outside))[0] == "####"


def test_what_was_computed_may_begin_elsewhere_and_points_beyond_it_are_left_alone() -> None:
    array = logits("#.", "..")
    prompts = PromptSet(points=(Point((5.0, 7.0, 9.0)), Point((0.0, 0.0, 0.0), False)))
    assert picture(changed(array, prompts, origin=(5, 6, 8))) == ["#.", ".#"]


def test_a_label_without_tiles_stays_empty() -> None:
    found = LabelLogits((0, 0, 0), torch.zeros(0, 0, 0))
    (one,) = make_consistent([found], [PromptSet(points=(point(0, 0),))], [NO_BOXES], STYLE)
    assert not one.logits.numel()


def test_a_label_that_others_claim_wins_where_its_claim_is_best() -> None:
    box = np.array([[(0, 1), (0, 1), (0, 5)]], np.int64)
    strong = LabelLogits((0, 0, 0), torch.from_numpy(logits("#####")))
    weak = LabelLogits((0, 0, 1), torch.from_numpy(np.array([[[0.5, 1.0, 2.5]]], np.float32)))
    first, second = make_consistent([strong, weak], [PromptSet()] * 2, [box, box], STYLE)
    wins = second.logits.numpy()[0, 0] > first.logits.numpy()[0, 0, 1:4]
    assert wins.tolist() == [False, False, True]
    assert np.array_equal(weak.logits.numpy()[0, 0], [0.5, 1.0, 2.5])  # what is given stays


@each("flip", [False, True])
def test_the_very_voxels_are_settled_on_the_file(flip: bool) -> None:
    labels = np.array([[[5, 5, 0, 7]]], np.uint8)
    prompts = CasePrompts(
        {
            5: PromptSet(points=(Point((0.0, 0.0, 3.0)), Point((0.0, 0.0, 0.0), False))),
            7: PromptSet(points=(Point((0.0, 0.0, 1.0), False),)),
        }
    )
    here = flip_permute((0, 1, 2), (False, False, flip), (1, 1, 4))
    array = here.apply(labels.copy()) if flip else labels.copy()
    settle_points(array, prompts, here if flip else identity((1, 1, 4)))
    assert (here.apply(array) if flip else array).tolist() == [[[0, 5, 0, 5]]]


def test_a_rule_about_slices_goes_before() -> None:
    labels = np.zeros((1, 1, 2), np.uint8)
    points = tuple(Point((0.0, 0.0, float(k))) for k in (0, 1))
    prompts = CasePrompts({5: PromptSet(points=points)}, slices={1: frozenset({5})}, slice_axis=2)
    settle_points(labels, prompts, identity((1, 1, 2)))
    assert labels.tolist() == [[[0, 5]]]


def test_points_just_outside_do_not_swell_the_object() -> None:
    """All voxels round it are as probable as the one that was clicked."""
    array = logits("-----", "-###-", "-###-", "-###-", "-----")
    assert picture(changed(array, PromptSet(points=(point(2, 4),)))) == [
        ".....",
        ".###.",
        ".####",
        ".###.",
        ".....",
    ]
