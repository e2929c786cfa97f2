"""Of a structure that is one component, what lies apart is left out, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.inference.components import keep_largest
from nnunet_prompt.inference.consistent import keep_pointed_at
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.prompts.types import CasePrompts, Point, PromptSet
from nnunet_prompt.sliding_window.canvas import LabelLogits
from tests.helpers.predictors import Answers, predictor, stored

HEART = StructureTable(
    (
        Structure("LV", 1, (1,), 500),
        Structure("myocardium", 2, (2, 3), 200),
        Structure("scar", 3, (3,), 2221),
    )
)
NAMES = {".": 0, "L": 500, "m": 200, "s": 2221}


def label_map(*rows: str) -> Any:
    return np.array([[[NAMES[c] for c in row] for row in rows]], np.uint16)


def rows(labels: Any) -> list[str]:
    letters = {v: k for k, v in NAMES.items()}
    return ["".join(letters[int(v)] for v in row) for row in labels[0]]


def test_only_the_named_structures_lose_what_lies_apart() -> None:
    labels = label_map("LL..L", "L..mm", "....m", "m....")
    keep_largest(labels, HEART, {"LV"})
    assert rows(labels) == ["LL...", "L..mm", "....m", "m...."]


def test_a_structure_is_connected_through_its_members_and_these_stay() -> None:
    labels = label_map("mmsmm.m", ".....s.", "mm.....")
    keep_largest(labels, HEART, {"myocardium"})
    assert rows(labels) == ["mmsmm.m", ".....s.", "......."]
    alone = label_map("mmmm..s", "....m..")
    keep_largest(alone, HEART, {"myocardium"})
    assert rows(alone) == ["mmmm..s", "....m.."]  # corners connect; a part is not the structure's


@pytest.mark.parametrize("names", [(), ("LV", "scar", "myocardium")])
def test_a_map_without_anything_stays_so(names: tuple[str, ...]) -> None:
    labels = label_map("....", "....")
    keep_largest(labels, HEART, names)
    assert not labels.any()


def test_a_view_in_another_order_is_changed_in_place() -> None:
    labels = np.zeros((4, 5, 6), np.uint16, order="F")
    labels[:2, :2, :2], labels[3, 4, 5] = 500, 500
    keep_largest(labels[:, ::-1], HEART, {"LV"})
    assert np.count_nonzero(labels) == 8 and not labels[3, 4, 5]


def pointed(row: str, *boxes: tuple[int, int], origin: int = 0) -> str:
    values = np.array([[[2.0 if c == "#" else -3.0 for c in row]]], np.float32)
    found = LabelLogits((0, 0, origin), torch.from_numpy(values))
    given = np.array([[(0, 1), (0, 1), box] for box in boxes], np.int64).reshape(-1, 3, 2)
    kept = keep_pointed_at(found, given).logits.numpy()
    assert (found.logits.numpy() == values).all()  # a tile cache may hold it, too
    return "".join("#" if v > 0 else "." for v in kept[0, 0])


def test_prompts_keep_what_they_touch() -> None:
    assert pointed("##.###.#", (0, 1)) == "##......"
    assert pointed("##.###.#", (0, 1), (7, 8)) == "##.....#"
    assert pointed("##.###.#", (10, 11), (17, 18), origin=10) == "##.....#"


def test_prompts_beside_everything_keep_the_largest() -> None:
    assert pointed("##.###.#", (2, 3)) == "...###.."
    assert pointed("##.###.#") == "...###.."
    assert pointed("##.###.#", (-5, -2), (90, 99)) == "...###.."


def test_one_component_stays_as_it_is() -> None:
    assert pointed(".####...", (6, 7)) == ".####..."
    nothing = LabelLogits((0, 0, 0), torch.zeros((0, 0, 0)))
    assert keep_pointed_at(nothing, np.zeros((0, 3, 2), np.int64)) is nothing


def two_blobs() -> NiftiVolume:
    """A bright block, and a smaller one apart from it."""
    volume = stored()
    array = np.where(volume.array > 0, 1.0, 0.0).astype(np.float32)
    array[3:7, 4:8, 2:5] = array[10:12, 10:12, 2:4] = 5.0
    return replace(volume, array=array)


@pytest.mark.parametrize("all_components", [False, True])
def test_a_predictor_keeps_the_largest_of_what_its_training_saw_in_one(
    all_components: bool,
) -> None:
    volume = two_blobs()
    loaded = predictor()
    knows = replace(loaded.model.capability, one_component=("wall", "undocumented"))
    options = PredictOptions(one_component=not all_components)
    once = PromptPredictor(replace(loaded.model, capability=knows), options)
    bright = volume.array > 2
    assert np.array_equal(loaded.predict_structures([volume], ["wall"]) > 0, bright)
    if not all_components:
        bright[8:] = False
    assert np.array_equal(once.predict_structures([volume], ["wall"]) > 0, bright)


class Bright(Answers):
    """Its object head claims all that is bright, whatever is pointed at."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)[:, [2, 1, 2, 3]]


@pytest.mark.parametrize(("label", "kept"), [(200, 1), (500, 2)])
def test_of_a_structure_in_one_component_prompts_keep_what_they_touch(
    label: int, kept: int
) -> None:
    volume = two_blobs()
    loaded = predictor(Bright())
    knows = replace(loaded.model.capability, one_component=("wall",))
    model = replace(loaded.model, capability=knows)
    small = Point((11.0, 11.0, 3.0))
    prompts = CasePrompts({label: PromptSet(points=(small,))})
    found = PromptPredictor(model, PredictOptions(window="full")).predict_prompts([volume], prompts)
    bright = volume.array > 2
    if kept == 1:
        bright[:8] = False
    assert np.array_equal(found > 0, bright)
