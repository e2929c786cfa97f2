"""Bytes per site, and cases divided among sites."""

from __future__ import annotations

import numpy as np
import pytest

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.federated.sites import unequal_sites
from nnunet_prompt.federated.traffic import Exchange, Traffic, traffic
from tests.helpers.each import each

pytestmark = pytest.mark.slow


def test_bytes_are_counted_per_site_and_both_ways() -> None:
    sent = [Exchange("a", 1, 40, 10), Exchange("b", 1, 40, 20), Exchange("a", 2, 40, 50)]
    assert traffic(sent, weight_bytes=1000) == {
        "a": Traffic(2, 80, 60, 0.05),
        "b": Traffic(1, 40, 20, 0.04),
    }
    assert traffic([], weight_bytes=1) == {}
    with pytest.raises(ValueError, match="weight_bytes"):
        traffic(sent, weight_bytes=0)


def test_cases_are_divided_unequally_and_all_of_them() -> None:
    cases = [f"case_{i:02d}" for i in range(20)]
    shares = {"large": 0.75, "middle": 0.2, "small": 0.05}
    found = unequal_sites(cases, shares, np.random.default_rng(0))
    assert {site: len(own) for site, own in found.items()} == {"large": 14, "middle": 4, "small": 2}
    assert sorted(c for own in found.values() for c in own) == cases
    assert unequal_sites(cases[::-1], shares, np.random.default_rng(0)) == found
    assert unequal_sites(cases, shares, np.random.default_rng(1)) != found


@each(
    "cases, shares, message",
    [
        (["a"], {"x": 1.0, "y": 1.0}, "expected at least 2"),
        (["a", "a"], {"x": 1.0}, "named twice"),
        (["a"], {}, "positive numbers"),
        (["a"], {"x": 0.0}, "positive numbers"),
    ],
)
def test_what_cannot_be_divided_is_refused(
    cases: list[str], shares: dict[str, float], message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        unequal_sites(cases, shares, np.random.default_rng(0))
