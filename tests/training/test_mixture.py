"""The mixture of prompts: how often which kind is drawn, and how clean it is."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from nnunet_prompt.prompts.options import KINDS
from nnunet_prompt.training.mixture import PromptMixture
from tests.helpers.each import each


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


PROMPTED = tuple(kind for kind in KINDS if kind != "none")


def weights(**shares: float) -> dict[str, float]:
    """No kind but these."""
    nothing = dict.fromkeys(("few", "slices", "scribbles", "mask", "continued"), 0.0)
    return {**nothing, **shares}


@each("kind", PROMPTED)
def test_a_kind_alone_is_always_drawn(kind: str) -> None:
    name = "continued" if kind == "continue" else kind  # which is no name in Python
    mixture = PromptMixture(**weights(**{name: 1.0}))
    generator = rng()
    assert {mixture.draw_kind(generator) for _ in range(20)} == {kind}


def test_weights_need_not_sum_to_one() -> None:
    mixture = PromptMixture(**weights(slices=6, few=2, mask=1, continued=1))
    generator = rng()
    drawn = Counter(mixture.draw_kind(generator) for _ in range(4000))
    assert drawn["scribbles"] == drawn["none"] == 0
    assert drawn["slices"] / 4000 == pytest.approx(0.6, abs=0.03)
    assert drawn["few"] / 4000 == pytest.approx(0.2, abs=0.03)
    assert drawn["continue"] / 4000 == pytest.approx(0.1, abs=0.03)


def test_the_default_draws_every_kind_as_often_as_it_says() -> None:
    mixture, generator = PromptMixture(), rng()
    drawn = Counter(mixture.draw_kind(generator) for _ in range(4000))
    shares = {"few": 0.2, "slices": 0.7, "scribbles": 0.03, "mask": 0.05, "continue": 0.02}
    assert set(drawn) == set(PROMPTED) == set(shares)
    for kind, share in shares.items():
        assert drawn[kind] / 4000 == pytest.approx(share, abs=0.03)


def slots(mixture: PromptMixture, batch_size: int, batches: int) -> list[list[bool]]:
    """Which slots of each batch are shown nothing, as the transform counts them."""
    return [
        [mixture.is_promptless(slot + batch) for slot in range(batch_size)]
        for batch in range(batches)
    ]


@each("batch_size", [1, 2, 3, 4, 5])
def test_every_slot_is_shown_prompts_and_none_in_turn(batch_size: int) -> None:
    drawn = slots(PromptMixture(), batch_size, 20)
    for first, second in pairwise(drawn):
        assert [not here for here in first] == second
        assert sum(first) + sum(second) == batch_size  # of two batches exactly half
    for batch in drawn:
        assert abs(2 * sum(batch) - batch_size) <= 1
        assert all(a != b for a, b in pairwise(batch))  # and so do neighbours


@each("share", [0.0, 0.1, 0.25, 1 / 3, 0.5, 0.75, 0.9, 1.0])
def test_the_share_of_samples_without_prompts_is_exact(share: float) -> None:
    mixture = PromptMixture(promptless=share)
    drawn = [mixture.is_promptless(sample) for sample in range(1200)]
    assert abs(sum(drawn) - share * 1200) <= 1
    for start in range(0, 1180, 7):  # evenly spread
        assert abs(sum(drawn[start : start + 20]) - share * 20) <= 1


def test_boxes_alone_points_alone_and_both() -> None:
    mixture = PromptMixture(p_box_only=0.2, p_points_only=0.3)
    generator = rng()
    options = [mixture.draw_options(generator) for _ in range(4000)]
    forms = Counter((o.boxes, o.points) for o in options)
    assert forms[(False, False)] == 0
    assert forms[(True, False)] / 4000 == pytest.approx(0.2, abs=0.03)
    assert forms[(False, True)] / 4000 == pytest.approx(0.3, abs=0.03)


def test_the_noise_stays_within_its_bounds() -> None:
    mixture = PromptMixture(p_jitter=0.5, max_jitter=3, p_displaced=0, p_sparse=0.5, max_points=4)
    generator = rng()
    options = [mixture.draw_options(generator, slice_axis=2) for _ in range(500)]
    assert {o.jitter for o in options} == {0, 1, 2, 3}
    assert {o.max_points for o in options} == {4}  # the simulator draws how many, up to that
    assert all(0 <= o.p_drop < 0.5 for o in options)
    assert 0.3 < np.mean([o.p_drop == 0 for o in options]) < 0.7
    assert {o.slice_axis for o in options} == {2}


def test_some_prompts_are_moved_three_times_as_far() -> None:
    mixture = PromptMixture(p_jitter=1, max_jitter=2, p_displaced=0.25)
    generator = rng()
    jitter = Counter(mixture.draw_options(generator).jitter for _ in range(2000))
    assert set(jitter) == {1, 2, 3, 6}
    assert (jitter[3] + jitter[6]) / 2000 == pytest.approx(0.25, abs=0.03)
    none = PromptMixture(p_jitter=0, p_displaced=1)
    assert {none.draw_options(generator).jitter for _ in range(20)} == {0}


def test_shares_of_the_mixture_become_chances_of_the_simulator() -> None:
    mixture = PromptMixture(
        p_beyond=0.11, p_negative_area=0.12, p_beside=0.13, p_disturb=0.14, p_wrong=0.2
    )
    options = mixture.draw_options(rng())
    assert (options.p_beyond, options.p_negative_area) == (0.11, 0.12)
    assert (options.p_beside, options.p_disturb) == (0.13, 0.14)
    assert options.p_satisfied == 0.2 and options.p_contradict == pytest.approx(0.02)
    assert options.scribbles
    assert not PromptMixture(scribbles=0).draw_options(rng()).scribbles


def test_without_noise_everything_is_exact() -> None:
    mixture = PromptMixture(p_jitter=0, p_sparse=0, p_wrong=0, p_negatives=0)
    generator = rng()
    for options in [mixture.draw_options(generator) for _ in range(50)]:
        assert options.p_contradict == options.p_satisfied == 0
        assert (options.jitter, options.p_drop, options.p_wrong, options.p_negatives) == (
            0,
            0,
            0,
            0,
        )


def test_the_same_generator_draws_the_same() -> None:
    mixture = PromptMixture()
    a, b = rng(), rng()
    assert [mixture.draw_options(a) for _ in range(20)] == [
        mixture.draw_options(b) for _ in range(20)
    ]


class TestChannels:
    """Mask, boxes, points and scribbles, each but the mask positive and negative."""

    def test_the_default_fills_all(self) -> None:
        assert PromptMixture().channels() == (True,) * 7

    @each(
        ("changes", "expected"),
        [
            (weights(slices=1), (False, True, False, True, True, False, False)),
            (weights(slices=1) | {"p_box_only": 1.0, "p_points_only": 0.0}, (False, True, *[False] * 5)),
            (weights(few=1) | {"p_points_only": 1.0}, (False, False, False, True, True, False, False)),
            (weights(few=1) | {"p_negatives": 0.0, "p_wrong": 0.0}, (False, True, False, True, False, False, False)),
            (weights(few=1) | {"p_negatives": 0.0, "p_wrong": 0.1}, (False, True, False, True, True, False, False)),
            (weights(mask=1) | {"p_box_only": 1.0}, (True, False, False, True, True, False, False)),
            (weights(continued=1) | {"p_beside": 0.5}, (True, True, False, True, True, False, False)),
            (weights(scribbles=1) | {"p_negatives": 0.0, "refine": 0.1}, (True, False, False, True, True, True, True)),
            ({"promptless": 1.0}, (False,) * 7),
            (weights(scribbles=1), (False, False, False, False, False, True, True)),
            (weights(scribbles=1) | {"p_negatives": 0.0}, (False, False, False, False, False, True, False)),
            (weights(mask=1), (True, False, False, True, True, False, False)),
            (weights(mask=1) | {"p_negatives": 0.0}, (True, False, False, True, True, False, False)),
            (weights(continued=1) | {"p_beside": 0.0}, (True, *[False] * 6)),
        ],
    )  # fmt: skip
    def test_what_is_never_drawn_is_never_filled(
        self, changes: dict[str, float], expected: tuple[bool, ...]
    ) -> None:
        mixture = PromptMixture(**{"refine": 0.0, "p_negative_area": 0.0, **changes})
        assert mixture.channels() == expected

    def test_refinement_fills_the_mask_and_points_of_both_signs(self) -> None:
        changes = weights(slices=1) | {"p_box_only": 1.0, "p_points_only": 0.0, "p_negatives": 0.0}
        found = PromptMixture(**changes, refine=0.1, p_negative_area=0.0).channels()
        assert found == (True, True, False, True, True, False, False)

    def test_negative_areas_fill_negative_boxes(self) -> None:
        found = PromptMixture(**weights(slices=1), refine=0.0, p_negative_area=0.1).channels()
        assert found == (False, True, True, True, True, False, False)


def test_refinement_begins_when_masks_mean_something() -> None:
    mixture = PromptMixture(refine=0.3, refine_after=10)
    assert [mixture.refine_share(i) for i in (0, 9, 10, 1000)] == [0.0, 0.0, 0.3, 0.3]
    assert PromptMixture(refine=0.3, refine_after=0).refine_share(0) == 0.3


def test_a_training_begins_without_prompts() -> None:
    mixture = PromptMixture(promptless=0.5, prompts_after=100)
    assert all(mixture.is_promptless(sample, 99) for sample in range(8))
    late = [mixture.is_promptless(sample, 100) for sample in range(8)]
    assert late == [mixture.is_promptless(sample) for sample in range(8)] and sum(late) == 4
