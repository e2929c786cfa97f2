"""One look: do these cases come from where the reference comes from?

Each feature is ranked over reference and batch together. Of the batch, the mean normal score of its ranks states
whether it lies higher or lower, and the mean distance of its ranks from the middle whether it is wider or narrower.
The largest of these, in standard errors, over all features is compared with what it is for batches that are chosen at
random from both together (Westfall and Young's max-T): whatever the features' distributions and correlations, the
error rate of a look is held where batch and reference are exchangeable. That is so only where a case counts once: a
batch that names a case twice, or shares one with the reference, is not chosen like that. Looks at one reference depend
on each other; dividing the error rate by their planned number (Bonferroni) holds it over all of them all the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri
from scipy.stats import rankdata

from nnunet_prompt.common.errors import NNUNetPromptError

FloatArray = npt.NDArray[np.float64]
FEWEST = 5  # cases of a batch, and of a reference
SPREAD = 0.8  # weight of a spread beside a shift, which is the rule: the shifts keep more of the error rate
_CHUNK = 2000  # permutations at a time
_MOST = 200_000


@dataclass(frozen=True, slots=True)
class Look:
    """`p` of the whole, and of each feature the larger of shift and weighted spread, in standard errors."""

    p: float
    statistics: tuple[float, ...]

    @property
    def strongest(self) -> int:
        return int(np.argmax(self.statistics))


def permutations_for(level: float) -> int:
    """So many that a look of this level can reject, with some to spare. Raises `NNUNetPromptError` if too many."""
    wanted = max(1999, math.ceil(4 / level) - 1)
    if wanted > _MOST:
        raise NNUNetPromptError(
            f"a level of {level:.2g} for each look needs {wanted} permutations, at most {_MOST} are made:"
            " plan fewer looks, or give a larger alpha"
        )
    return wanted


def look(
    reference: FloatArray, batch: FloatArray, rng: np.random.Generator, *, permutations: int
) -> Look:
    """Compares a batch (m, features) with a reference (n, features). NaN is a rank in the middle.

    Features without any spread have the statistic 0. Raises `NNUNetPromptError` for fewer than five cases in either.
    """
    for name, rows in (("reference", reference), ("batch", batch)):
        if len(rows) < FEWEST:
            raise NNUNetPromptError(f"{name}: {len(rows)} case(s), expected at least {FEWEST}")
    scores = _scores(np.concatenate([reference, batch]))  # (N, 2 F)
    n, m = len(scores), len(batch)
    error = scores.std(0, ddof=1) * math.sqrt((1 / m) * (1 - m / n))
    error[error < 1e-12] = np.inf
    error[error.size // 2 :] /= SPREAD
    own = np.abs(scores[len(reference) :].mean(0)) / error
    least = own.max() - 1e-9
    beyond = 0
    for start in range(0, permutations, _CHUNK):
        count = min(_CHUNK, permutations - start)
        chosen = np.zeros((count, n))
        order = rng.random((count, n)).argpartition(m - 1, axis=1)[:, :m]
        np.put_along_axis(chosen, order, 1 / m, axis=1)
        beyond += int((np.abs(chosen @ scores) / error).max(1).__ge__(least).sum())
    shift, spread = np.split(own, 2)
    return Look((beyond + 1) / (permutations + 1), tuple(np.maximum(shift, spread).tolist()))


def _scores(values: FloatArray) -> FloatArray:
    """Centred normal scores of each feature, and centred distances of its ranks from the middle: (N, 2 F)."""
    scores, distance = np.zeros((2, *values.shape))
    for k, column in enumerate(values.T):
        known = ~np.isnan(column)
        if known.any():
            share = (rankdata(column[known]) - 0.5) / np.count_nonzero(known)
            scores[known, k], distance[known, k] = ndtri(share), np.abs(share - 0.5)
    return np.concatenate([scores - scores.mean(0), distance - distance.mean(0)], axis=1)
