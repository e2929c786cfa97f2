"""Which object a patch is about, and which heads may learn from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nnunet_prompt.prompts.types import PromptSet
from nnunet_prompt.training.mixture import PromptMixture
from nnunet_prompt.training.transform import (
    Targets,
    draw_object,
    head_targets,
)
from tests.helpers.each import each
from tests.training.samples import CLEAN, LABELS, TABLE, targets


def drawn(
    heads: Any, labels: Any, rng: np.random.Generator, setup: Targets, **prompted: Any
) -> tuple[Any, PromptSet]:
    """The target of the object head, which `draw_object` writes into `heads`, and the prompts."""
    others = heads[1:].copy()
    prompts = draw_object(heads, labels, rng, setup, **prompted)
    for before, after in zip(others, heads[1:], strict=True):  # hidden, or as it was
        assert np.array_equal(before, after) or (setup.mixture.hide and (after == -1).all())
    return heads[0], prompts


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
        target, _ = drawn(heads.copy(), LABELS, np.random.default_rng(seed), setup)
        seen.add(expected[(target == 1).tobytes()])
    assert seen == set(expected.values())


def test_only_annotated_structures_are_pointed_at() -> None:
    setup = targets()
    for seed in range(50):
        heads = head_targets(LABELS, setup, "partly")
        target, _ = drawn(heads, LABELS, np.random.default_rng(seed), setup)
        assert not np.array_equal(target == 1, LABELS == 3)
    nothing = head_targets(LABELS, setup, "nothing")
    target, prompts = drawn(nothing, LABELS, np.random.default_rng(0), setup)
    assert prompts.empty and (target == -1).all()  # as in a sample that is shown nothing


def test_what_the_label_map_shows_is_pointed_at_though_its_head_does_not_learn_it() -> None:
    """Scar in a sequence that does not show it: a prompt for it is answered, its own head stays unknown."""
    table = replace(TABLE, prompted={"partly": frozenset(TABLE.names)})
    setup = targets(table=table)
    before = head_targets(LABELS, setup, "partly")
    shown = table.prompted_labels("partly")
    found = set()
    for seed in range(50):
        heads, rng = before.copy(), np.random.default_rng(seed)
        target, prompts = drawn(heads, LABELS, rng, setup, prompted=shown)
        assert np.array_equal(heads[1:], before[1:]) and (heads[3] == -1).all()
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
        target, _ = drawn(heads, LABELS, rng, setup, prompted=frozenset({2}))
        assert (target[LABELS == 4] == -1).all()
        found.add((target == 1).tobytes())
    assert found == {np.isin(LABELS, (2, 3)).tobytes(), (LABELS == 2).tobytes()}


def test_chance_goes_on_as_before_where_nothing_more_is_shown() -> None:
    setup = targets(PromptMixture())
    for case in ("full", "partly", "nothing"):
        states = []
        for prompted in (frozenset(), TABLE.prompted_labels(case)):
            rng = np.random.default_rng(5)
            heads = [head_targets(LABELS, setup, case) for _ in range(10)]
            for one in heads:
                draw_object(one, LABELS, rng, setup, prompted=prompted)
            states.append((rng.random(), [one.tobytes() for one in heads]))
        assert states[0] == states[1]


def test_heads_whose_structure_is_pointed_at_are_hidden() -> None:
    """A head that saw its structure pointed at would learn to read the prompt, and be lost without one."""
    setup = targets(replace(CLEAN, hide=True, p_negatives=0), ignore_label=4)
    seen = set()
    for seed in range(60):
        heads = head_targets(LABELS, setup, "full")
        before = heads.copy()
        target, prompts = drawn(heads, LABELS, np.random.default_rng(seed), setup)
        assert says_no(prompts) is False
        for k in range(1, 4):
            hidden = (target == 1)[before[k] == 1].any()
            expected = np.full_like(before[k], -1) if hidden else before[k]
            assert np.array_equal(heads[k], expected)
            seen.add((k, bool(hidden)))
        assert (target[LABELS != 4] >= 0).all()  # the object itself is known
    assert seen == {(k, hidden) for k in (1, 2, 3) for hidden in (True, False)}


def says_no(prompts: PromptSet) -> bool:
    said = (*prompts.points, *prompts.boxes, *prompts.scribbles)
    return prompts.negative_mask is not None or not all(p.positive for p in said)


@each(
    "changes",
    [
        {"slices": 1, "p_points_only": 1.0},
        {"few": 1},
        {"scribbles": 1},
        {"few": 1, "p_negatives": 0, "p_negative_area": 1.0},
        {"mask": 1, "p_negatives": 0},
    ],
    ids=["slices", "few", "scribbles", "area", "mask"],
)
def test_what_says_no_points_at_all_that_is_present(changes: dict[str, Any]) -> None:
    """A negative prompt tells where another structure is; an absent one is pointed at by nothing."""
    absent = np.where(LABELS == 1, 0, LABELS)  # no cavity
    kinds = {"slices": 0, "p_negatives": 1.0}
    setup = targets(replace(CLEAN, **{**kinds, **changes}, hide=True))
    said = set()
    for seed in range(80):
        labels = absent if seed % 3 == 0 else LABELS
        heads = head_targets(labels, setup, "full")
        before = heads.copy()
        target, prompts = drawn(heads, labels, np.random.default_rng(seed), setup)
        negative = says_no(prompts)
        for k in (1, 2, 3):
            present = (before[k] == 1).any()
            pointed = (target == 1)[before[k] == 1].any()
            hidden = pointed or (present and negative)
            assert np.array_equal(heads[k], np.full_like(before[k], -1) if hidden else before[k])
        said.add(negative)
    assert True in said


def test_nothing_is_hidden_where_the_mixture_says_so() -> None:
    setup = targets(replace(CLEAN, p_points_only=1.0, p_negatives=1.0))
    for seed in range(20):
        heads = head_targets(LABELS, setup, "full")
        _, prompts = drawn(heads, LABELS, np.random.default_rng(seed), setup)
        assert not prompts.empty and (heads >= 0).all()


def test_nothing_is_hidden_where_nothing_is_said() -> None:
    """An empty patch in a sample that is to be shown prompts is one without."""
    setup = targets(PromptMixture(hide=True))
    empty = np.zeros_like(LABELS)
    for seed in range(20):
        heads = head_targets(empty, setup, "full")
        target, prompts = drawn(heads, empty, np.random.default_rng(seed), setup)
        assert prompts.empty and (target == -1).all()
        assert not heads[1:].any()  # known, and nowhere
    dropped = targets(replace(CLEAN, p_sparse=1.0, hide=True))
    silent = 0
    for seed in range(60):  # both slices may be left out
        heads = head_targets(LABELS, dropped, "full")
        target, prompts = drawn(heads, LABELS, np.random.default_rng(seed), dropped)
        if prompts.empty:
            assert (target == -1).all() and (heads[1:] >= 0).all()
            silent += 1
    assert 0 < silent < 30


def test_what_only_says_no_is_not_shown() -> None:
    """Where all slices of the object are left out and others say where it is not, nothing is asked for."""
    setup = targets(
        replace(CLEAN, p_points_only=1, p_negatives=1, p_beyond=1, p_sparse=1, hide=True)
    )
    for seed in range(200):
        heads = head_targets(LABELS, setup, "full")
        target, prompts = drawn(heads, LABELS, np.random.default_rng(seed), setup)
        assert prompts.empty or any(p.positive for p in prompts.points)
        assert prompts.empty == (target == -1).all()


def test_a_union_of_two_structures() -> None:
    setup = targets(replace(CLEAN, p_union=1.0))
    both = []
    for seed in range(30):
        heads = head_targets(LABELS, setup, "partly")  # cavity and wall
        target, _ = drawn(heads, LABELS, np.random.default_rng(seed), setup)
        both.append(np.array_equal(target == 1, np.isin(LABELS, (1, 2, 3))))
    assert any(both)


def test_one_component() -> None:
    labels = np.zeros((1, 3, 8), np.int16)
    labels[0, 1, :2] = labels[0, 1, 5:] = 1
    setup = targets(replace(CLEAN, p_component=1.0))
    heads = head_targets(labels, setup, "full")
    sizes = {
        int((drawn(heads.copy(), labels, np.random.default_rng(seed), setup)[0] == 1).sum())
        for seed in range(30)
    }
    assert sizes == {2, 3}


def test_negatives_are_points_of_the_other_labels() -> None:
    setup = targets(replace(CLEAN, p_negatives=1.0, p_points_only=1.0))
    heads = head_targets(LABELS, setup, "full")
    some = 0
    for seed in range(50):
        target, prompts = drawn(heads.copy(), LABELS, np.random.default_rng(seed), setup)
        for point in prompts.points:
            z, y, x = (int(v) for v in point.position)
            assert (target[z, y, x] == 1) == point.positive
            if not point.positive:
                some += 1
                assert LABELS[z, y, x] in (1, 2, 3)
    assert some > 20
