"""A structure is one component where every label map that annotates and shows it says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.training.components import FEWEST_CASES, find_one_component

HEART = StructureTable(
    (
        Structure("LV", 1, (1,), 500),
        Structure("myocardium", 2, (2, 3), 200),
        Structure("scar", 3, (3,), 2221),
    ),
    annotated={"partial": frozenset({"scar"})},
)


def one() -> Any:
    """The ventricle, and muscle that its scar cuts in two."""
    labels = np.zeros((8, 20, 20), np.int16)
    labels[1:7, 2:8, 2:8] = 1
    labels[1:7, 9:12, 2:18] = 2
    labels[1:7, 9:12, 8:10] = 3
    labels[2, 18, 18] = 3
    return labels


def cases(*last: Any, names: str = "case") -> Iterator[tuple[str, Any]]:
    for index in range(FEWEST_CASES):
        yield f"{names}{index}", one()
    for index, labels in enumerate(last):
        yield f"last{index}", labels


def test_a_union_is_one_and_a_scattered_part_is_not() -> None:
    # the one voxel of scar apart is 3 % of it, and of the muscle less than 1 %
    assert find_one_component(cases(), HEART) == ("LV", "myocardium")


def test_one_label_map_in_two_pieces_decides() -> None:
    split = one()
    split[1:7, 4:6, 2:8] = 0
    assert find_one_component(cases(split), HEART) == ("myocardium",)


def test_a_few_voxels_apart_are_forgiven() -> None:
    loose = one()
    loose[0, 19, 0:2] = 1
    assert "LV" in find_one_component(cases(loose), HEART)  # 2 of 218 voxels
    loose[0, 19, 0:3] = 1
    assert "LV" not in find_one_component(cases(loose), HEART)


def test_label_maps_that_do_not_annotate_a_structure_do_not_count() -> None:
    split = one()
    split[1:7, 4:6, 2:8] = 0
    pairs = [*cases(), ("partial", split)]
    assert "LV" in find_one_component(pairs, HEART)
    empty = [(f"empty{i}", np.zeros((4, 4, 4), np.int16)) for i in range(9)]
    assert find_one_component(empty, HEART) == ()


def test_too_few_cases_make_no_rule() -> None:
    few = list(cases())[:-1]
    assert find_one_component(few, HEART) == ()
