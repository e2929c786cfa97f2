"""Calibration of small pictures, computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nnunet_prompt.evaluation.calibration import (
    BINS,
    Levels,
    brier_score,
    count_levels,
    expected_calibration_error,
    reliability_table,
    summary,
)


def levels(**of: tuple[int, int]) -> Levels:
    """Voxels and those inside of levels: p51=(10, 2)."""
    made = Levels.none()
    for name, (voxels, inside) in of.items():
        made.voxels[int(name[1:])], made.inside[int(name[1:])] = voxels, inside
    return made


def test_perfectly_calibrated() -> None:
    # 51 / 255 = 0.2: two of ten are inside; 204 / 255 = 0.8: eight of ten
    good = levels(p0=(5, 0), p51=(10, 2), p204=(10, 8), p255=(5, 5))
    assert expected_calibration_error(good) == pytest.approx(0, abs=1e-12)
    # 2 * 0.8^2 + 8 * 0.2^2 = 1.6 in each of both
    assert brier_score(good) == pytest.approx(3.2 / 30)


def test_over_confident() -> None:
    # states 1.0 where half is inside, 0.2 where none is
    bad = levels(p255=(10, 5), p51=(30, 0))
    assert expected_calibration_error(bad) == pytest.approx((10 * 0.5 + 30 * 0.2) / 40)
    assert brier_score(bad) == pytest.approx((5 * 1 + 30 * 0.04) / 40)


def test_levels_of_one_bin_are_averaged_and_of_two_are_not() -> None:
    # 0 / 255 and 16 / 255 share the first bin, 17 / 255 has the second one
    one = levels(p0=(16, 1), p16=(1, 0))
    assert expected_calibration_error(one) == pytest.approx(abs(16 / 255 - 1) / 17)
    two = levels(p16=(17, 17), p17=(16, 0))
    assert expected_calibration_error(two) == pytest.approx((17 * (1 - 16 / 255) + 16 / 15) / 33)


def test_nothing() -> None:
    assert summary(Levels.none()) == {"voxels": 0, "ece": None, "brier": None}
    rows = reliability_table(Levels.none())
    assert len(rows) == BINS and all(r["probability"] is r["reference"] is None for r in rows)
    empty = count_levels(np.zeros((3, 3, 3), np.uint8), np.zeros((3, 3, 3), bool), (1, 1, 1))
    assert not empty.voxels.any()


def test_the_table_counts_every_voxel_once() -> None:
    rows = reliability_table(levels(p0=(4, 1), p238=(3, 2), p255=(5, 5)))
    assert [r["voxels"] for r in rows] == [4, *[0] * 13, 8]
    assert rows[0]["from"] == 0 and rows[-1]["to"] == 1
    assert rows[0]["reference"] == 0.25 and rows[-1]["reference"] == 7 / 8
    assert rows[-1]["probability"] == pytest.approx((3 * 238 / 255 + 5) / 8)


def test_only_voxels_near_reference_or_probability_count() -> None:
    probability = np.zeros((40, 1, 1), np.uint8)
    reference = np.zeros((40, 1, 1), bool)
    reference[10] = True
    probability[30] = 6  # 0.0235
    probability[38] = 5  # 0.0196, below the least
    # 5 mm at 2 mm: two voxels to either side
    counted = count_levels(probability, reference, (2.0, 1.0, 1.0))
    assert counted.voxels[0] == 9 and counted.voxels[6] == 1 and counted.voxels.sum() == 10
    assert counted.inside[0] == counted.inside.sum() == 1
    # voxels of 6 mm have no neighbour within the margin
    assert count_levels(probability, reference, (6.0, 1.0, 1.0)).voxels.sum() == 2


def test_ignored_voxels_do_not_count() -> None:
    probability = np.full((4, 1, 1), 255, np.uint8)
    reference = np.array([1, 1, 0, 0], bool).reshape(4, 1, 1)
    ignored = np.array([0, 0, 1, 0], bool).reshape(4, 1, 1)
    counted = count_levels(probability, reference, (1, 1, 1), ignored)
    assert counted.voxels[255] == 3 and counted.inside[255] == 2


def test_pooled_counts_are_those_of_all_voxels_at_once() -> None:
    rng = np.random.default_rng(0)
    p = rng.integers(6, 256, (4, 5, 6)).astype(np.uint8)  # everything counts
    inside = rng.random(p.shape) < 0.3
    both = sum(
        (count_levels(p[i : i + 2], inside[i : i + 2], (1, 1, 1)) for i in (0, 2)), Levels.none()
    )
    assert summary(both) == summary(count_levels(p, inside, (1, 1, 1)))
    q = p / 255
    assert brier_score(both) == pytest.approx(float(((q - inside) ** 2).mean()))
    index = np.minimum((p.astype(int) * BINS) // 255, BINS - 1)
    gaps = [
        abs(q[index == b].mean() - inside[index == b].mean()) * (index == b).mean()
        for b in np.unique(index)
    ]
    assert expected_calibration_error(both) == pytest.approx(sum(gaps))
