"""Federated averaging: the mean of products, what the cut to a rank loses, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.federated.average import average, naive_gap
from nnunet_prompt.federated.part import Factors, Part, add, nearest
from tests.helpers.each import each

pytestmark = pytest.mark.slow


def array(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)


def part(bias: float, up: np.ndarray, down: np.ndarray) -> Part:
    return Part({"norm.bias": np.array([bias], np.float32)}, {"conv": Factors(up, down)})


# two sites of rank 1: one changes the corner at the top left, the other that at the bottom right
TOP = part(2.0, array([1], [0]), array([4, 0]))
BOTTOM = part(6.0, array([0], [1]), array([0, 2]))


def random_part(seed: int, *, rank: int = 2) -> Part:
    rng = np.random.default_rng(seed)
    up, down = rng.normal(size=(6, rank)), rng.normal(size=(rank, 9))
    dense = {"head": rng.normal(size=(3, 2)).astype(np.float32)}
    return Part(dense, {"conv": Factors(up.astype(np.float32), down.astype(np.float32))})


def test_dense_tensors_are_averaged_by_cases() -> None:
    assert average([TOP, BOTTOM], [3, 1]).part.dense["norm.bias"].tolist() == [3.0]


def test_products_are_averaged_and_not_their_factors() -> None:
    found = average([TOP, BOTTOM], [1, 1])
    # the mean of the products is diag(2, 1); of rank 1 the nearest is diag(2, 0), which loses 1 of 5
    np.testing.assert_allclose(found.part.low["conv"].product, [[2, 0], [0, 0]], atol=1e-6)
    assert found.lost == pytest.approx(1 / 5)
    # the means of the factors have the product [[1, .5], [1, .5]]
    error = (1**2 + 0.5**2 + 1**2 + 0.5**2) / 5
    assert naive_gap([TOP, BOTTOM], [1, 1]) == pytest.approx(error**0.5)


def test_products_that_share_their_directions_lose_nothing() -> None:
    twice = part(0.0, array([1], [0]), array([8, 0]))
    found = average([TOP, twice], [1, 3])
    np.testing.assert_allclose(found.part.low["conv"].product, [[7, 0], [0, 0]], rtol=1e-6)
    assert found.lost == pytest.approx(0.0, abs=1e-12)


def test_parts_that_are_alike_stay_so() -> None:
    one = random_part(0)
    found = average([one, one, one], [5, 2, 1]).part
    np.testing.assert_allclose(found.dense["head"], one.dense["head"], rtol=1e-6)
    np.testing.assert_allclose(found.low["conv"].product, one.low["conv"].product, atol=1e-5)
    assert naive_gap([one, one], [1, 1]) == pytest.approx(0, abs=1e-6)


def test_one_part_is_returned_as_it_is() -> None:
    assert average([TOP], [4]).part is TOP


def test_the_order_of_the_sites_does_not_matter() -> None:
    parts = [random_part(s) for s in range(3)]
    one, other = average(parts, [1, 2, 3]).part, average(parts[::-1], [3, 2, 1]).part
    np.testing.assert_allclose(one.low["conv"].product, other.low["conv"].product, atol=1e-5)


def test_twice_the_same_is_the_same_to_the_bit() -> None:
    parts = [random_part(s) for s in range(3)]
    one, other = (average(parts, [1, 2, 3]).part for _ in range(2))
    assert one.low["conv"].up.tobytes() == other.low["conv"].up.tobytes()


def test_a_full_rank_mean_is_exact() -> None:
    parts = [random_part(s, rank=6) for s in range(2)]
    exact = sum(0.5 * p.low["conv"].product for p in parts)
    found = average(parts, [1, 1])
    np.testing.assert_allclose(found.part.low["conv"].product, exact, atol=1e-5)
    assert found.lost < 1e-12


def test_a_direction_without_size_can_still_be_trained() -> None:
    zero = Factors(np.zeros((4, 2), np.float32), np.zeros((2, 5), np.float32))
    found, lost = nearest(zero, 2)
    assert not found.up.any() and lost == 0
    np.testing.assert_allclose(np.linalg.norm(found.down, axis=1), 1, rtol=1e-6)


def test_the_sum_of_two_parts_is_exact() -> None:
    one, other = random_part(0), random_part(1)
    both = add(one, other)
    assert both.low["conv"].up.shape == (6, 4)
    wanted = one.low["conv"].product + other.low["conv"].product
    np.testing.assert_allclose(both.low["conv"].product, wanted, atol=1e-5)
    # more columns than the matrix has rank are cut to it, which loses nothing
    more = add(both, add(one, one))
    assert more.low["conv"].up.shape == (6, 6)
    wanted = wanted + 2 * one.low["conv"].product
    np.testing.assert_allclose(more.low["conv"].product, wanted, atol=1e-4)
    assert both.dense["head"].tolist() == (one.dense["head"] + other.dense["head"]).tolist()


@each(
    "parts, weights, message",
    [
        ([], [], "at least one"),
        ([TOP], [1, 2], "1 parts and 2 weights"),
        ([TOP], [0], "positive weights"),
        ([TOP], [float("nan")], "positive weights"),
        ([TOP, random_part(0)], [1, 1], "different names or shapes"),
    ],
)
def test_what_cannot_be_averaged_is_refused(
    parts: list[Part], weights: list[float], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        average(parts, weights)


def test_parts_of_different_networks_are_not_added() -> None:
    with pytest.raises(ModelError, match="tensor conv: only one"):
        add(TOP, Part(TOP.dense, {}))
