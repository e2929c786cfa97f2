"""Cases divided among sites, for studies in which one data set stands for several sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nnunet_prompt.common.errors import DatasetError


def unequal_sites(
    cases: Sequence[str], shares: Mapping[str, float], rng: np.random.Generator
) -> dict[str, list[str]]:
    """Divides cases among sites in about the given shares; each site has at least one, each case one site.

    The order of `cases` does not matter. Raises `DatasetError` for fewer cases than sites, cases named twice, and
    shares that are not positive.
    """
    if len(set(cases)) != len(cases):
        raise DatasetError("cases of sites: a case is named twice; name each once")
    if not shares or not all(np.isfinite(s) and s > 0 for s in shares.values()):
        raise DatasetError(f"shares of sites: expected positive numbers, found {dict(shares)}")
    if len(cases) < len(shares):
        raise DatasetError(
            f"cases of sites: expected at least {len(shares)}, one a site, found {len(cases)}"
        )
    order = [sorted(cases)[i] for i in rng.permutation(len(cases))]
    counts = _counts(len(cases), list(shares.values()))
    ends = np.cumsum([0, *counts])
    return {
        site: sorted(order[int(a) : int(b)])
        for site, a, b in zip(shares, ends[:-1], ends[1:], strict=True)
    }


def _counts(total: int, shares: Sequence[float]) -> list[int]:
    """Whole numbers that sum to `total`, at least one each, by the largest remainders of what is left."""
    exact = np.asarray(shares, float) / sum(shares) * (total - len(shares))
    counts = np.floor(exact).astype(int)
    rest = total - len(shares) - int(counts.sum())
    for index in np.argsort(counts - exact, kind="stable")[:rest]:
        counts[index] += 1
    return [int(c) + 1 for c in counts]
