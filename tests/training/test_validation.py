"""The prompts of full-volume validation, and the summary of what they gave."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.training.validation import summarise
from nnunet_prompt.training.validation_prompts import VALIDATION_KINDS, simulated_prompts
from tests.helpers.each import each

TABLE = StructureTable(
    (Structure("cavity", 1, (1,), 500), Structure("wall", 2, (2,), 200)),
)


def masks() -> dict[int, npt.NDArray[np.bool_]]:
    cavity, wall = np.zeros((2, 5, 6, 7), bool)
    cavity[1:4, 1:4, 1:4] = True
    wall[2:5, 1:5, 4:6] = True
    return {1: cavity, 2: wall}


def inside(position: tuple[float, ...], mask: npt.NDArray[np.bool_]) -> bool:
    z, y, x = (int(v) for v in position)
    return bool(mask[z, y, x])


class TestSimulatedPrompts:
    def test_boxes_are_tight_and_in_every_slice(self) -> None:
        sets = simulated_prompts(masks(), "box in slices", "case")
        assert [(b.lower, b.upper) for b in sets[1].boxes] == [
            ((z, 1, 1), (z + 1, 4, 4)) for z in (1, 2, 3)
        ]
        assert all(not s.points and s.mask is None for s in sets.values())

    @each("kind", ["points in slices", "box + points in slices"])
    def test_points_lie_in_their_mask_and_serve_the_other_as_negatives(self, kind: str) -> None:
        found = masks()
        sets = simulated_prompts(found, kind, "case")
        for label, other in ((1, 2), (2, 1)):
            positive = [p for p in sets[label].points if p.positive]
            negative = [p for p in sets[label].points if not p.positive]
            assert positive and all(inside(p.position, found[label]) for p in positive)
            assert negative and all(inside(p.position, found[other]) for p in negative)
            assert {p.position for p in negative} == {
                p.position for p in sets[other].points if p.positive
            }
            for z in range(5):
                count = sum(p.position[0] == z for p in positive)
                assert (count > 0) == found[label][z].any() and count <= 5
            assert bool(sets[label].boxes) == (kind == "box + points in slices")

    def test_a_rough_mask_is_not_far_from_the_mask(self) -> None:
        sets = simulated_prompts(masks(), "mask", "case")
        assert all(s.mask is not None and s.mask.shape == (5, 6, 7) for s in sets.values())
        assert all(not s.boxes and not s.points for s in sets.values())

    def test_a_case_has_the_same_prompts_in_every_training(self) -> None:
        def points(case: str) -> list[Any]:
            return [s.points for s in simulated_prompts(masks(), "points in slices", case).values()]

        assert points("a") == points("a")
        assert points("a") != points("b")

    def test_slices_may_lie_along_another_axis(self) -> None:
        sets = simulated_prompts(masks(), "box in slices", "case", slice_axis=2)
        assert [b.lower[2] for b in sets[2].boxes] == [4, 5]

    def test_nothing_to_prompt(self) -> None:
        assert simulated_prompts({}, "box in slices", "case") == {}
        empty = simulated_prompts({1: np.zeros((2, 3, 4), bool)}, "box + points in slices", "case")
        assert empty[1].empty


def row(case: str, kind: str, label: int, dice: float | None, hd: float = 1.0) -> dict[str, Any]:
    metrics = {"Dice": dice, "HD": hd, "HD95": hd / 2}
    return {"case": case, "kind": kind, "label": label, "metrics": metrics}


class TestSummary:
    def test_means_are_over_cases_and_then_over_structures(self) -> None:
        rows = [
            row("a", "none", 1, 0.5),
            row("b", "none", 1, 1.0, 3.0),
            row("a", "none", 2, 0.25),
            row("a", "box in slices", 1, 0.75),
        ]
        summary = summarise(rows, TABLE)
        assert summary["mean"]["1"] == {"Dice": 0.75, "HD": 2.0, "HD95": 1.0}
        assert summary["mean"]["2"]["Dice"] == 0.25  # one case annotates it
        assert summary["foreground_mean"]["Dice"] == 0.5
        assert summary["prompt_kinds"]["none"]["mean"] == summary["mean"]
        assert summary["prompt_kinds"]["box in slices"]["foreground_mean"]["Dice"] == 0.75
        first, second = summary["metric_per_case"]
        assert (first["case"], second["case"]) == ("a", "b")
        assert set(first["metrics"]) == {"1", "2"} and set(second["metrics"]) == {"1"}
        assert first["prompt_kinds"]["box in slices"]["1"]["Dice"] == 0.75
        assert second["prompt_kinds"]["box in slices"] == {}

    def test_undefined_values_stay_out_of_the_means(self) -> None:
        rows = [row("a", "none", 1, None), row("b", "none", 1, 0.5), row("a", "none", 2, None)]
        summary = summarise(rows, TABLE)
        assert summary["mean"]["1"]["Dice"] == 0.5
        assert summary["mean"]["2"]["Dice"] is None
        assert summary["foreground_mean"]["Dice"] == 0.5

    def test_without_a_case_it_is_still_a_summary(self) -> None:
        summary = summarise([], TABLE)
        assert tuple(summary["prompt_kinds"]) == VALIDATION_KINDS
        gated = {k for k, result in summary["prompt_kinds"].items() if result["gated"]}
        assert gated == {"points in slices", "box in slices", "box + points in slices"}
        assert summary["mean"] == {} and summary["foreground_mean"]["Dice"] is None
        assert summary["metric_per_case"] == []
        json.dumps(summary, allow_nan=False)
