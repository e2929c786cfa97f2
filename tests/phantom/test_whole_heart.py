"""The whole heart: seven structures, each in one piece and at the place where it belongs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, label

from nnunet_prompt.phantom.whole_heart import TISSUE_OF, Tissue, whole_heart
from tests.helpers.each import each

pytestmark = pytest.mark.slow

LV, RV, LA, RA, MYO, AORTA, PA = 500, 600, 420, 550, 205, 820, 850
SHAPE, MM = (44, 46, 41), 3.0


@each("seed", range(4))
def test_where_everything_lies(seed: int) -> None:
    labels, tissue = whole_heart(np.random.default_rng(seed), SHAPE, (MM, MM, MM))
    assert labels.shape == tissue.shape == SHAPE
    assert labels.dtype == np.uint16 and tissue.dtype == np.uint8
    assert set(np.unique(labels)) == {0, LV, RV, LA, RA, MYO, AORTA, PA}
    assert set(np.unique(tissue)) <= set(Tissue)
    at = {v: np.argwhere(labels == v).mean(axis=0) for v in (LV, RV, LA, RA, MYO, AORTA, PA)}
    posterior, left, superior = 0, 1, 2
    chambers = (LV, RV, LA, RA, MYO)
    assert max(chambers, key=lambda v: at[v][posterior]) == LA
    assert min(chambers, key=lambda v: at[v][posterior]) == RV
    assert at[RA][left] < at[RV][left] < at[LV][left] and at[RA][left] < at[LA][left]
    assert min(at[AORTA][superior], at[PA][superior]) > max(at[v][superior] for v in chambers)
    assert at[AORTA][left] < at[PA][left]
    # most of what surrounds the cavity is its muscle
    shell = binary_dilation(labels == LV) & (labels != LV)
    assert (labels[shell] == MYO).mean() > 0.6
    millilitres = {v: (labels == v).sum() * MM**3 / 1000 for v in at}
    for value, (low, high) in {
        LV: (35, 110),
        MYO: (40, 130),
        RV: (45, 140),
        LA: (20, 70),
        RA: (30, 80),
        AORTA: (12, 45),
        PA: (10, 40),
    }.items():
        assert low < millilitres[value] < high
        pieces, _ = label(labels == value)
        assert np.bincount(pieces.ravel())[1:].max() > 0.95 * (labels == value).sum()


def test_tissues_belong_to_the_labels_and_to_others_as_well() -> None:
    labels, tissue = whole_heart(np.random.default_rng(0), SHAPE, (MM, MM, MM))
    for value, kind in TISSUE_OF.items():
        inside = tissue[labels == value] == kind
        assert inside.mean() > (0.9 if value == LV else 0.999)  # but for papillary muscles
        assert ((tissue == kind) & (labels == 0)).any()


def test_the_same_seed_gives_the_same_heart() -> None:
    one, two, other = (
        whole_heart(np.random.default_rng(s), (20, 21, 22), (6.0, 6.0, 6.0))[0] for s in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
