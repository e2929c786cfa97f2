"""A case as `prompt_files.infer_convention` looks at it: the numbers of its prompts beside the grid of its image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.io.image_files import read_image_grid
from nnunet_prompt.prompt_files.prompts_json_convention import Order, RawCase, plane_axes
from nnunet_prompt.prompts.checks import Shape
from nnunet_prompt.prompts.frames import ANISOTROPY, AxisMap, pls_map

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class CaseView:
    """One case: `shape` and `spacing_mm` are those of the PLS frame, slices lie along `axis` of it.

    `numbers` are those of its slices, as in the file, and `n_empty` how many of them have no prompt. `boxes` is (B, 4),
    x, y, x2, y2, and `points` (P, 2), x, y; `box_of` (B, 2) and `point_of` (P, 2) hold slice number and label of each.
    """

    key: str
    path: Path
    to_pls: AxisMap
    spacing_mm: tuple[float, float, float]
    numbers: tuple[int, ...]
    n_empty: int
    boxes: FloatArray
    box_of: IntArray
    points: FloatArray
    point_of: IntArray
    axis: int = 2

    @property
    def shape(self) -> Shape:
        return self.to_pls.target_shape

    @property
    def plane(self) -> tuple[int, int]:
        """The size of a slice in pixels."""
        first, second = plane_axes(self.axis)
        return self.shape[first], self.shape[second]

    @property
    def plane_mm(self) -> tuple[float, float]:
        """The pixel size of a slice."""
        first, second = plane_axes(self.axis)
        return self.spacing_mm[first], self.spacing_mm[second]

    @property
    def labels(self) -> frozenset[int]:
        """Those that have a prompt."""
        used = np.unique(np.concatenate([self.box_of[:, 1], self.point_of[:, 1]]))
        return frozenset(int(label) for label in used)

    @property
    def through_plane(self) -> int | None:
        """The axis with a spacing at least twice the others, if there is one."""
        order = np.argsort(self.spacing_mm)
        thick = self.spacing_mm[order[2]] >= (ANISOTROPY - 1e-3) * self.spacing_mm[order[1]]
        return int(order[2]) if thick else None

    def fits(self, order: Order) -> npt.NDArray[np.bool_]:
        """Which boxes and points (B + P,) lie in the slice if x and y are in this order; a corner may be one past."""
        n, m = self.plane if order == "xy" else self.plane[::-1]
        x2, y2 = self.boxes[:, 2], self.boxes[:, 3]
        x, y = self.points[:, 0], self.points[:, 1]
        return np.concatenate([(x2 <= n) & (y2 <= m), (x < n - 0.5) & (y < m - 0.5)])


def view_case(key: str, path: Path, raw: RawCase) -> CaseView:
    """Reads the header of the image; raises `ImageError`."""
    grid = read_image_grid(path)
    to_pls = pls_map(grid.affine, grid.shape)
    a, b, c = (grid.spacing_mm[axis] for axis in to_pls.axes)
    boxes, points = list(_boxes(raw)), list(_points(raw))
    return CaseView(
        key,
        path,
        to_pls,
        (a, b, c),
        tuple(sorted(raw.slices)),
        sum(not labels for labels in raw.slices.values()),
        np.array([v for v, _ in boxes], np.float64).reshape(-1, 4),
        np.array([of for _, of in boxes], np.int64).reshape(-1, 2),
        np.array([v for v, _ in points], np.float64).reshape(-1, 2),
        np.array([of for _, of in points], np.int64).reshape(-1, 2),
    )


def _boxes(raw: RawCase) -> Iterator[tuple[Any, tuple[int, int]]]:
    for number, labels in raw.slices.items():
        for label, prompt in labels.items():
            if prompt.box is not None:
                yield prompt.box, (number, label)


def _points(raw: RawCase) -> Iterator[tuple[Any, tuple[int, int]]]:
    for number, labels in raw.slices.items():
        for label, prompt in labels.items():
            for point in prompt.points:
                yield point, (number, label)
