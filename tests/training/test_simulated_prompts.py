"""Validation draws its prompts from the truth of the case and from nothing else (trap 14)."""

from __future__ import annotations

import numpy as np
import pytest

from nnunet_prompt.prompts.model import PromptSet
from nnunet_prompt.training.validation import VALIDATION_KINDS, simulated_prompts


def masks() -> dict[int, np.ndarray]:
    first = np.zeros((4, 9, 7), bool)
    first[1:3, 1:5, 1:4] = True
    second = np.zeros((4, 9, 7), bool)
    second[2:4, 5:8, 3:6] = True
    return {1: first, 2: second}


def said(prompts: dict[int, PromptSet]) -> list[object]:
    return [
        (k, p.points, p.boxes, p.scribbles, None if p.mask is None else p.mask.tolist())
        for k, p in prompts.items()
    ]


@pytest.mark.parametrize("kind", VALIDATION_KINDS[1:])
def test_the_same_case_gets_the_same_prompts_whatever_was_drawn_before(kind: str) -> None:
    first = simulated_prompts(masks(), kind, "case_1")
    np.random.default_rng().random(100)
    simulated_prompts(masks(), kind, "case_2")
    assert said(first) == said(simulated_prompts(masks(), kind, "case_1"))


def test_another_case_gets_other_points() -> None:
    assert said(simulated_prompts(masks(), "points", "a")) != said(
        simulated_prompts(masks(), "points", "b")
    )


def test_boxes_are_tight_in_every_slice_of_the_structure() -> None:
    boxes = simulated_prompts(masks(), "box", "case_1")[1].boxes
    assert [(b.lower, b.upper) for b in boxes] == [((1, 1, 1), (2, 5, 4)), ((2, 1, 1), (3, 5, 4))]


def test_points_are_one_to_five_per_slice_and_those_of_the_other_structure_are_negative() -> None:
    truth = masks()
    prompts = simulated_prompts(truth, "box + points", "case_1")
    for label, other in ((1, 2), (2, 1)):
        points = prompts[label].points
        for z in range(4):
            mine = [p for p in points if p.positive and p.position[0] == z]
            assert (1 <= len(mine) <= 5) == truth[label][z].any()
        for p in points:
            z, y, x = (int(v) for v in p.position)
            assert truth[label if p.positive else other][z, y, x]
        assert any(not p.positive for p in points)


def test_a_rough_mask_is_never_empty_and_brings_no_points() -> None:
    for case in map(str, range(30)):
        for prompts in simulated_prompts(masks(), "mask", case).values():
            assert prompts.mask is not None and prompts.mask.any()
            assert not prompts.points and not prompts.boxes
