"""Which object a patch is about, and which heads may learn from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.prompts.encode import style_for
from nnunet_prompt.training.mixture import PromptMixture
from nnunet_prompt.training.transform import (
    Targets,
    draw_object,
    head_targets,
)

# wall = wall + scar; the scar is decoded first
TABLE = StructureTable(
    (
        Structure("cavity", 1, (1,), 1),
        Structure("wall", 2, (2, 3), 2),
        Structure("scar", 3, (3,), 3),
    ),
    annotated={"partly": frozenset({"cavity", "wall"}), "nothing": frozenset()},
)
LABELS = np.array(
    [
        [[0, 0, 0, 0], [0, 1, 1, 2], [0, 0, 3, 2]],
        [[0, 0, 0, 0], [0, 1, 2, 2], [0, 0, 2, 4]],
    ],
    np.int16,
)  # (2, 3, 4)
STYLE = style_for((4.0, 1.5, 1.25))
CLEAN = PromptMixture(
    slices=1,
    volume=0,
    mask=0,
    continued=0,
    none=0,
    p_jitter=0,
    p_sparse=0,
    p_wrong=0,
    p_union=0,
    p_component=0,
    p_hide=0,
)


def targets(mixture: PromptMixture = CLEAN, **changes: Any) -> Targets:
    return replace(Targets(TABLE, STYLE, mixture), **changes)


def test_the_object_is_one_structure_whole_or_its_own_label() -> None:
    setup = targets()
    heads = head_targets(LABELS, setup, "full")
    expected = {
        (LABELS == 1).tobytes(): "cavity",
        np.isin(LABELS, (2, 3)).tobytes(): "wall",
        (LABELS == 2).tobytes(): "own wall",
        (LABELS == 3).tobytes(): "scar",
    }
    seen = set()
    for seed in range(100):
        target, _ = draw_object(heads.copy(), LABELS, np.random.default_rng(seed), setup)
        seen.add(expected[(target == 1).tobytes()])
    assert seen == set(expected.values())


def test_only_annotated_structures_are_pointed_at() -> None:
    setup = targets()
    heads = head_targets(LABELS, setup, "partly")
    for seed in range(50):
        target, _ = draw_object(heads, LABELS, np.random.default_rng(seed), setup)
        assert not np.array_equal(target == 1, LABELS == 3)
    nothing = head_targets(LABELS, setup, "nothing")
    target, prompts = draw_object(nothing, LABELS, np.random.default_rng(0), setup)
    assert prompts.empty and not target.any()


def test_what_the_label_map_shows_is_pointed_at_though_its_head_does_not_learn_it() -> None:
    """Scar in a sequence that does not show it: a prompt for it is answered, its own head stays unknown."""
    table = replace(TABLE, prompted={"partly": frozenset(TABLE.names)})
    setup = targets(table=table)
    before = head_targets(LABELS, setup, "partly")
    shown = table.prompted_labels("partly")
    found = set()
    for seed in range(50):
        heads, rng = before.copy(), np.random.default_rng(seed)
        target, prompts = draw_object(heads, LABELS, rng, setup, prompted=shown)
        assert np.array_equal(heads, before) and (heads[3] == -1).all()
        assert not prompts.empty
        found.add((target == 1).tobytes())
    masks = (LABELS == 1, np.isin(LABELS, (2, 3)), LABELS == 2, LABELS == 3)
    assert found == {mask.tobytes() for mask in masks}


def test_a_union_that_is_shown_but_not_taught_is_whole_or_its_own_label() -> None:
    table = replace(TABLE, annotated={"none": frozenset()}, prompted={"none": frozenset({"wall"})})
    setup = targets(table=table, ignore_label=4)
    found = set()
    for seed in range(20):
        heads = head_targets(LABELS, setup, "none")
        rng = np.random.default_rng(seed)
        target, _ = draw_object(heads, LABELS, rng, setup, prompted=frozenset({2}))
        assert (target[LABELS == 4] == -1).all()
        found.add((target == 1).tobytes())
    assert found == {np.isin(LABELS, (2, 3)).tobytes(), (LABELS == 2).tobytes()}


def test_chance_goes_on_as_before_where_nothing_more_is_shown() -> None:
    setup = targets(PromptMixture())
    for case in ("full", "partly", "nothing"):
        states = []
        for prompted in (frozenset(), TABLE.prompted_labels(case)):
            rng = np.random.default_rng(5)
            drawn = [
                draw_object(
                    head_targets(LABELS, setup, case), LABELS, rng, setup, prompted=prompted
                )
                for _ in range(10)
            ]
            states.append((rng.random(), [target.tobytes() for target, _ in drawn]))
        assert states[0] == states[1]


def test_heads_whose_structure_is_pointed_at_are_hidden() -> None:
    """A head that saw its structure pointed at would learn to read the prompt, and be lost without one."""
    setup = targets(replace(CLEAN, p_hide=1.0), ignore_label=4)
    seen = set()
    for seed in range(60):
        heads = head_targets(LABELS, setup, "full")
        before = heads.copy()
        target, _ = draw_object(heads, LABELS, np.random.default_rng(seed), setup)
        for k in range(1, 4):
            hidden = (target == 1)[before[k] == 1].any()
            expected = np.full_like(before[k], -1) if hidden else before[k]
            assert np.array_equal(heads[k], expected)
            seen.add((k, bool(hidden)))
        assert (target[LABELS != 4] >= 0).all()  # the object itself is known
    assert seen == {(k, hidden) for k in (1, 2, 3) for hidden in (True, False)}


def test_nothing_is_hidden_where_nothing_is_said() -> None:
    setup = targets(PromptMixture(slices=0, volume=0, mask=0, continued=0, none=1, p_hide=1.0))
    heads = head_targets(LABELS, setup, "full")
    draw_object(heads, LABELS, np.random.default_rng(0), setup)
    assert (heads >= 0).all()


def test_a_union_of_two_structures() -> None:
    setup = targets(replace(CLEAN, p_union=1.0))
    heads = head_targets(LABELS, setup, "partly")  # cavity and wall
    both = [
        np.array_equal(target == 1, np.isin(LABELS, (1, 2, 3)))
        for seed in range(30)
        for target, _ in (draw_object(heads, LABELS, np.random.default_rng(seed), setup),)
    ]
    assert any(both)


def test_one_component() -> None:
    labels = np.zeros((1, 3, 8), np.int16)
    labels[0, 1, :2] = labels[0, 1, 5:] = 1
    setup = targets(replace(CLEAN, p_component=1.0))
    heads = head_targets(labels, setup, "full")
    sizes = {
        int((draw_object(heads, labels, np.random.default_rng(seed), setup)[0] == 1).sum())
        for seed in range(30)
    }
    assert sizes == {2, 3}


def test_negatives_are_points_of_the_other_labels() -> None:
    setup = targets(replace(CLEAN, p_negatives=1.0, p_points_only=1.0))
    heads = head_targets(LABELS, setup, "full")
    some = 0
    for seed in range(50):
        target, prompts = draw_object(heads, LABELS, np.random.default_rng(seed), setup)
        for point in prompts.points:
            z, y, x = (int(v) for v in point.position)
            assert (target[z, y, x] == 1) == point.positive
            if not point.positive:
                some += 1
                assert LABELS[z, y, x] in (1, 2, 3)
    assert some > 20
