"""Lesion-wise detection: the connected components of one structure in the reference and in the prediction.

component  voxels that touch by faces, edges or corners (26 neighbours in 3D, 8 in 2D)
match      pairs of one reference and one predicted component, chosen by the largest intersection over union first,
           each component once; a pair counts if its IoU is at least the threshold
f1         2 matched / (reference + predicted); NaN if there is none in either, 0 if in one only
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import generate_binary_structure, label

from nnunet_prompt.evaluation.surfaces import Mask


@dataclass(frozen=True, slots=True)
class Lesions:
    """Numbers of connected components."""

    reference: int
    predicted: int
    matched: int

    @property
    def f1(self) -> float:
        total = self.reference + self.predicted
        return 2 * self.matched / total if total else float("nan")


def match_lesions(truth: Mask, prediction: Mask, *, iou: float) -> Lesions:
    """Counts and matches the components of two masks of one shape; `iou` is above 0 and at most 1."""
    touching = generate_binary_structure(truth.ndim, truth.ndim)
    (ours, n), (theirs, m) = (label(mask, touching) for mask in (truth, prediction))
    both = (ours > 0) & (theirs > 0)
    pairs, shared = np.unique(ours[both] * np.int64(m + 1) + theirs[both], return_counts=True)
    i, j = pairs // (m + 1), pairs % (m + 1)
    sizes = np.bincount(ours.ravel(), minlength=n + 1), np.bincount(theirs.ravel(), minlength=m + 1)
    overlap = shared / (sizes[0][i] + sizes[1][j] - shared)
    taken: tuple[set[int], set[int]] = set(), set()
    for k in np.argsort(-overlap, kind="stable"):
        if overlap[k] >= iou and i[k] not in taken[0] and j[k] not in taken[1]:
            taken[0].add(int(i[k]))
            taken[1].add(int(j[k]))
    return Lesions(n, m, len(taken[0]))
