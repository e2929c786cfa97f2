"""The pairs of masks that other libraries have measured: pictures by hand and random ones, with their spacing in mm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

TOLERANCES_MM = (1.0, 2.0, 3.0)
Pair = tuple[Any, Any, tuple[float, ...]]


def drawn(rows: str) -> Any:
    return np.array([[c == "x" for c in row] for row in rows.split()])


def flat() -> Pair:
    truth = drawn("......... ..xxxx... ..xxxx... ..xxxx... ......... .........")
    prediction = drawn("......... ......... ...xxxx.. ...xxxx.. .......x. .........")
    return truth, prediction, (1.0, 1.0)


def stack() -> Pair:
    """A hollow box and a filled one that is cut at the border of the image, in thick slices."""
    truth = np.zeros((12, 10, 5), bool)
    truth[2:9, 2:8, 1:5] = True
    truth[4:7, 4:6, 2:4] = False
    prediction = np.zeros_like(truth)
    prediction[3:12, 1:7, 0:4] = True
    return truth, prediction, (1.25, 1.5, 8.0)


def far() -> Pair:
    """Two small structures far from each other, so that a distance map would cost more than a tree."""
    truth, prediction = (np.zeros((60, 50, 12), bool) for _ in range(2))
    truth[3:7, 4:9, 1:3] = True
    prediction[50:55, 40:44, 8:11] = True
    prediction[4, 5, 1] = True
    return truth, prediction, (0.9, 0.7, 3.3)


def blobs(seed: int, spacing: tuple[float, ...], shift: float, quiet: float) -> Pair:
    """Smooth noise above a threshold; the prediction is the same noise with other noise on it."""
    rng = np.random.default_rng(seed)
    noise = [gaussian_filter(rng.standard_normal((40, 36, 14)), (4, 4, 2)) for _ in range(2)]
    noise = [n / n.std() for n in noise]
    return noise[0] > shift, quiet * noise[0] + (1 - quiet) * noise[1] > shift, spacing


def speckle() -> Pair:
    """Voxels at random: all are surface."""
    rng = np.random.default_rng(7)
    truth, prediction = (rng.random((9, 8, 7)) < 0.2 for _ in range(2))
    return truth, prediction, (2.0, 0.5, 1.0)


SHAPES: dict[str, Callable[[], Pair]] = {
    "flat": flat,
    "stack": stack,
    "far": far,
    "speckle": speckle,
    "blobs alike": lambda: blobs(1, (1.0, 1.0, 1.0), 0.8, 0.9),
    "blobs in thick slices": lambda: blobs(2, (1.4, 1.4, 9.0), 1.0, 0.7),
    "blobs that differ": lambda: blobs(3, (0.6, 2.2, 3.1), 1.3, 0.4),
    "large blobs": lambda: blobs(4, (1.5, 1.5, 5.0), 0.0, 0.8),
}

# Pairs of scattered structures, whose connected components are matched.
IOUS = (0.1, 0.25, 0.5)


def lesions(seed: int, sure: float) -> Pair:
    """Scattered blobs; of the prediction some are lost, some new, some split or merged."""
    rng = np.random.default_rng(seed)
    noise = [gaussian_filter(rng.standard_normal((48, 44, 16)), (1.6, 1.6, 0.8)) for _ in range(2)]
    noise = [n / n.std() for n in noise]
    return noise[0] > 1.7, sure * noise[0] + (1 - sure) * noise[1] > 1.5 * sure, (1.5, 1.5, 5.0)


def corners() -> Pair:
    """Two components that touch by a corner in the reference, and are apart in the prediction."""
    truth, prediction = (np.zeros((8, 8, 6), bool) for _ in range(2))
    truth[1:3, 1:3, 1:3] = truth[3:5, 3:5, 3:5] = True
    prediction[1:3, 1:3, 1:3] = prediction[4:6, 4:6, 4:6] = True
    return truth, prediction, (1.0, 1.0, 1.0)


def one_for_two() -> Pair:
    """A predicted bar over two references of unlike size: it matches the larger one."""
    truth, prediction = (np.zeros((14, 5, 4), bool) for _ in range(2))
    truth[1:4, 1:4, 1:3] = truth[6:13, 1:4, 1:3] = True
    prediction[2:13, 1:4, 1:3] = True
    return truth, prediction, (1.0, 1.0, 2.0)


LESIONS: dict[str, Callable[[], Pair]] = {
    **{name: SHAPES[name] for name in ("stack", "far", "speckle", "blobs that differ")},
    "corners": corners,
    "one for two": one_for_two,
    "lesions, sure": lambda: lesions(11, 0.85),
    "lesions": lambda: lesions(12, 0.7),
    "lesions, unsure": lambda: lesions(13, 0.55),
}


def boxes(shift: tuple[int, int, int], spacing: tuple[float, float, float]) -> Pair:
    """A box, and its copy that is shifted by whole voxels."""
    truth = np.zeros((20, 18, 14), bool)
    truth[5:11, 4:12, 3:9] = True
    return truth, np.roll(truth, shift, (0, 1, 2)), spacing


# Pairs on which surface elements and surface voxels agree: of the shifted boxes, the largest distance is the shift.
BOXES: dict[str, Callable[[], Pair]] = {
    "the same": lambda: boxes((0, 0, 0), (1.2, 0.9, 3.0)),
    "one voxel": lambda: boxes((1, 0, 0), (0.8, 1.0, 1.0)),
    "three voxels": lambda: boxes((0, 3, 0), (1.0, 1.5, 4.0)),
    "a thick slice": lambda: boxes((0, 0, 1), (1.0, 1.0, 2.5)),
    "aside": lambda: boxes((2, 2, 0), (1.5, 2.0, 5.0)),
    "apart": lambda: boxes((8, 0, 0), (4.0, 1.0, 1.0)),
}
