"""Logits to label maps, on a row of voxels one can read."""

from __future__ import annotations

import numpy as np
import pytest

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.inference.merge import decode_structures, merge_objects, slice_gate
from nnunet_prompt.prompts.frames import crop, flip_permute, identity
from tests.helpers.each import each

TABLE = StructureTable(
    (
        Structure("cavity", 1, (1,), 500),
        Structure("wall", 2, (2, 3, 4), 200),
        Structure("edema", 3, (3,), 1220),
        Structure("scar", 4, (4,), 2221),
    ),
    priority=("scar", "edema"),
)


def row(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(1, 1, -1)


class TestMergeObjects:
    def test_the_highest_logit_above_zero_wins(self) -> None:
        logits = np.stack([row(3, 1, -1, -2, 0), row(2, 4, -2, 1, 0)])
        assert merge_objects(logits, [7, 500]).tolist() == [[[7, 500, 0, 500, 0]]]

    @each(("label", "kind"), [(1, np.uint8), (255, np.uint8), (256, np.uint16), (70000, np.uint32)])
    def test_the_result_has_the_labels_as_they_are(self, label: int, kind: type) -> None:
        merged = merge_objects(np.stack([row(1, -1), row(-1, -1)]), [label, 1])
        assert merged.dtype == kind
        assert merged.tolist() == [[[label, 0]]]

    def test_exactly_one_half_is_outside(self) -> None:
        assert not merge_objects(np.stack([row(0, -0.0)]), [1]).any()

    def test_without_labels_all_is_background(self) -> None:
        assert not merge_objects(np.zeros((0, 2, 3, 4)), []).any()
        assert merge_objects(np.zeros((0, 2, 3, 4)), []).shape == (2, 3, 4)

    def test_a_gate_keeps_a_label_out_and_lets_the_next_best_in(self) -> None:
        logits = np.stack([row(3, 3, 3), row(1, 1, -1)])
        gate = np.array([[[[True, False, False]]], [[[True, True, True]]]])
        assert merge_objects(logits, [1, 2], gate).tolist() == [[[1, 2, 0]]]

    def test_the_inputs_are_left_alone(self) -> None:
        logits = np.stack([row(3, 3)])
        before = logits.copy()
        merge_objects(logits, [1], np.zeros((1, 1, 1, 2), bool))
        assert np.array_equal(logits, before)


class TestSliceGate:
    def test_the_third_axis_of_pls_counts_the_slices(self) -> None:
        slices = {0: frozenset({5}), 2: frozenset({5, 6})}
        gate = slice_gate(slices, [5, 6], identity((2, 3, 4)))
        assert gate.shape == (2, 1, 1, 4)
        assert gate[:, 0, 0].tolist() == [
            [True, False, True, False],
            [False, False, True, False],
        ]

    def test_it_follows_a_permutation_and_a_flip(self) -> None:
        # target axis 2 is source axis 0, reversed: source index i is slice 2 - i
        to_pls = flip_permute((1, 2, 0), (False, False, True), (3, 4, 5))
        gate = slice_gate({0: frozenset({1}), 1: frozenset()}, [1], to_pls)
        assert gate.shape == (1, 3, 1, 1)
        assert gate.ravel().tolist() == [False, False, True]

    def test_it_follows_a_crop(self) -> None:
        from_crop = crop((4, 4, 6), [(0, 4), (1, 3), (2, 5)]).inverse()
        gate = slice_gate({3: frozenset({1})}, [1], from_crop)
        assert gate.ravel().tolist() == [False, True, False]  # slices 2, 3 and 4

    def test_another_axis_may_count_the_slices(self) -> None:
        gate = slice_gate({1: frozenset({1})}, [1], identity((2, 3, 4)), slice_axis=0)
        assert gate.shape == (1, 2, 1, 1)
        assert gate.ravel().tolist() == [False, True]

    def test_nothing_prompted_lets_nothing_in(self) -> None:
        assert not slice_gate({}, [1, 2], identity((2, 3, 4))).any()
        assert slice_gate({}, [], identity((2, 3, 4))).shape == (0, 1, 1, 4)


class TestDecodeStructures:
    def test_priority_settles_overlaps_before_probability(self) -> None:
        logits = np.stack([row(9, -1, -1), row(9, 9, 9), row(-1, 0.5, 5), row(-1, -1, 1e-4)])
        # cavity and wall are not named: the first of equals; edema over wall; scar over edema and wall
        assert decode_structures(logits, TABLE).tolist() == [[[500, 1220, 2221]]]

    def test_structures_without_priority_go_by_probability(self) -> None:
        logits = np.stack([row(1, 3, -1), row(2, 1, 30), row(-1, -1, -1), row(-1, -1, -1)])
        assert decode_structures(logits, TABLE).tolist() == [[[200, 500, 200]]]

    def test_nothing_above_one_half_is_background(self) -> None:
        logits = np.stack([row(0, -3), row(-1, -0.1), row(-5, 0), row(-1, -40)])
        assert not decode_structures(logits, TABLE).any()

    def test_a_certain_structure_does_not_beat_a_named_one(self) -> None:
        logits = np.stack([row(1e6), row(-1), row(-1), row(0.01)])
        assert decode_structures(logits, TABLE).tolist() == [[[2221]]]

    def test_only_what_is_wanted_appears(self) -> None:
        logits = np.stack([row(1, -1), row(5, 5), row(-1, -1), row(-1, 5)])
        assert decode_structures(logits, TABLE, ["wall"]).tolist() == [[[200, 200]]]
        assert decode_structures(logits, TABLE, ["500", "scar"]).tolist() == [[[500, 2221]]]

    def test_an_unknown_name_says_what_there_is(self) -> None:
        with pytest.raises(DatasetError, match=r"'liver'.*cavity \(500\)"):
            decode_structures(np.zeros((4, 1, 1, 1)), TABLE, ["liver"])

    def test_half_precision_logits(self) -> None:
        logits = np.stack([row(1, -1), row(-1, 2), row(-1, -1), row(-1, 1)]).astype(np.float16)
        assert decode_structures(logits, TABLE).tolist() == [[[500, 2221]]]
