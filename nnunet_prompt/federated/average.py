"""Federated averaging of parts (McMahan et al. 2017, arXiv 1602.05629, algorithm 1), weighted by training cases.

The product rule: the mean of `up` times the mean of `down` is not the mean of `up @ down`. So the products are
averaged: the factors of all sites are put side by side, which is exactly the mean of the products, and the nearest
product of the rank that is sent takes its place. What that cuts off is measured and reported (`Averaged.lost`); it is
nothing where the sites' products share their directions. `naive_gap` measures what averaging the factors would have
done instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.federated.part import Factors, Part, layout_of, nearest


@dataclass(frozen=True, slots=True, eq=False)
class Averaged:
    """The mean of parts. `lost` is the largest share of a product's squared norm that the cut to its rank lost."""

    part: Part
    lost: float


def average(parts: Sequence[Part], weights: Sequence[float]) -> Averaged:
    """The weighted mean of the parts of a round, in the shapes of the parts.

    A single part is returned as it is. Raises `ModelError` without parts, for parts of different shapes, and for
    weights that are not positive and finite.
    """
    shares = _shares(parts, weights)
    if len(parts) == 1:
        return Averaged(parts[0], 0.0)
    dense = {
        name: sum(
            (s * p.dense[name].astype(np.float64) for s, p in zip(shares, parts, strict=True)),
            np.zeros(parts[0].dense[name].shape),
        ).astype(np.float32)
        for name in parts[0].dense
    }
    low, lost = {}, 0.0
    for name, first in parts[0].low.items():
        low[name], cut = nearest(_stacked(name, parts, shares), first.up.shape[1])
        lost = max(lost, cut)
    return Averaged(Part(dense, low), lost)


def naive_gap(parts: Sequence[Part], weights: Sequence[float]) -> float:
    """The relative error, over all products, of the means of the factors against the means of the products.

    0 without products.
    """
    shares = _shares(parts, weights)
    error = size = 0.0
    for name in parts[0].low:
        exact = _stacked(name, parts, shares).product
        ups = sum(s * p.low[name].up.astype(np.float64) for s, p in zip(shares, parts, strict=True))
        downs = sum(
            s * p.low[name].down.astype(np.float64) for s, p in zip(shares, parts, strict=True)
        )
        error += float(np.sum((exact - np.asarray(ups) @ np.asarray(downs)) ** 2))
        size += float(np.sum(exact**2))
    return float(np.sqrt(error / size)) if size else 0.0


def _stacked(name: str, parts: Sequence[Part], shares: Sequence[float]) -> Factors:
    """Factors whose product is the mean of the products of one layer."""
    ups = [np.float32(s) * p.low[name].up for s, p in zip(shares, parts, strict=True)]
    return Factors(np.hstack(ups), np.vstack([p.low[name].down for p in parts]))


def _shares(parts: Sequence[Part], weights: Sequence[float]) -> list[float]:
    if not parts or len(parts) != len(weights):
        raise ModelError(
            f"federated averaging: expected a weight for each part and at least one, found {len(parts)} parts and"
            f" {len(weights)} weights"
        )
    if not all(np.isfinite(w) and w > 0 for w in weights):
        raise ModelError(
            f"federated averaging: expected positive weights (training cases per site), found {list(weights)}"
        )
    layout = layout_of(parts[0])
    if any(layout_of(part) != layout for part in parts[1:]):
        raise ModelError(
            "federated averaging: the parts have different names or shapes; start all sites from the same base with the"
            " same trainer"
        )
    total = float(sum(weights))
    return [float(w) / total for w in weights]
