"""The mixture of prompts: how often which kind is drawn, and how clean it is."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from nnunet_prompt.prompts.simulate import KINDS
from nnunet_prompt.training.mixture import PromptMixture


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_alone_is_always_drawn(kind: str) -> None:
    weights = {other: 1.0 if other == kind else 0.0 for other in KINDS}
    weights["continued"] = weights.pop("continue")  # which is no name in Python
    mixture = PromptMixture(**weights)
    generator = rng()
    assert {mixture.draw_kind(generator) for _ in range(20)} == {kind}


def test_weights_need_not_sum_to_one() -> None:
    mixture = PromptMixture(slices=6, volume=2, mask=1, continued=1, none=0)
    generator = rng()
    drawn = Counter(mixture.draw_kind(generator) for _ in range(4000))
    assert drawn["none"] == 0
    assert drawn["slices"] / 4000 == pytest.approx(0.6, abs=0.03)
    assert drawn["volume"] / 4000 == pytest.approx(0.2, abs=0.03)
    assert drawn["continue"] / 4000 == pytest.approx(0.1, abs=0.03)


def test_growing_takes_its_share_from_the_masks_alone() -> None:
    """The same draws as before there was such a kind, but for some of the masks."""
    now, before = PromptMixture(), PromptMixture(mask=0.10, continued=0.0)
    a, b = rng(), rng()
    pairs = Counter((now.draw_kind(a), before.draw_kind(b)) for _ in range(4000))
    assert {pair for pair in pairs if pair[0] != pair[1]} == {("continue", "mask")}
    assert pairs[("continue", "mask")] / 4000 == pytest.approx(0.03, abs=0.01)


def test_boxes_alone_points_alone_and_both() -> None:
    mixture = PromptMixture(p_box_only=0.2, p_points_only=0.3)
    generator = rng()
    options = [mixture.draw_options(generator) for _ in range(4000)]
    forms = Counter((o.boxes, o.points) for o in options)
    assert forms[(False, False)] == 0
    assert forms[(True, False)] / 4000 == pytest.approx(0.2, abs=0.03)
    assert forms[(False, True)] / 4000 == pytest.approx(0.3, abs=0.03)


def test_the_noise_stays_within_its_bounds() -> None:
    mixture = PromptMixture(p_jitter=0.5, max_jitter=3, p_sparse=0.5, max_points=4)
    generator = rng()
    options = [mixture.draw_options(generator, slice_axis=2) for _ in range(500)]
    assert {o.jitter for o in options} == {0, 1, 2, 3}
    assert {o.max_points for o in options} == {4}  # the simulator draws how many, up to that
    assert all(0 <= o.p_drop < 0.5 for o in options)
    assert 0.3 < np.mean([o.p_drop == 0 for o in options]) < 0.7
    assert {o.slice_axis for o in options} == {2}


def test_without_noise_everything_is_exact() -> None:
    mixture = PromptMixture(p_jitter=0, p_sparse=0, p_wrong=0, p_negatives=0)
    generator = rng()
    for options in [mixture.draw_options(generator) for _ in range(50)]:
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
