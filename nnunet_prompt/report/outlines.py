"""Outlines of masks, and prompts, as SVG paths over a slice.

Paths count in half pixels of the picture: pixel i of a row reaches from 2 i to 2 i + 2 and has its centre at 2 i + 1,
so that outlines, which pass between centres, have whole numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.prompts.types import Box, PromptSet, Scribble

Mask = npt.NDArray[np.bool_]
LONGEST = 2000  # characters of an outline; that of a smooth structure has some hundreds
FEW_EDGES = 2  # boxes seen from their edge that are shown one by one


@dataclass(frozen=True, slots=True)
class Cut:
    """The part of a slice that a picture shows: every `step`-th of these rows and columns."""

    rows: slice
    columns: slice
    step: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the picture."""
        sides = ((s.start, s.stop) for s in (self.rows, self.columns))
        height, width = (len(range(start, stop, self.step)) for start, stop in sides)
        return height, width

    def of(self, plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The picture of a slice (rows, columns)."""
        rows, columns = (slice(s.start, s.stop, self.step) for s in (self.rows, self.columns))
        return plane[rows, columns]

    def place(self, row: float, column: float) -> tuple[int, int]:
        """The x and y of a voxel position, in half pixels."""
        x = 2 * (column - self.columns.start) / self.step + 1
        y = 2 * (row - self.rows.start) / self.step + 1
        return round(x), round(y)


@dataclass(frozen=True, slots=True)
class Marks:
    """The prompts of one sign in a slice, each kind as one path; "" where there is none."""

    points: str = ""
    lines: str = ""  # boxes and scribbles
    areas: str = ""  # outlines of masks


def outline(mask: Mask) -> str:
    """The outline of a mask (rows, columns) of a picture; "" for an empty one.

    A mask so ragged that its outline would take more than `LONGEST` characters is outlined by every second pixel, or
    by every fourth.
    """
    path = ""
    for step in (1, 2, 4):
        path = _outline(mask[::step, ::step], step)
        if len(path) <= LONGEST:
            break
    return path


def _outline(mask: Mask, step: int) -> str:
    if not mask.any():
        return ""
    from contourpy import contour_generator

    lines: Any = contour_generator(z=np.pad(mask, 1).astype(np.float32)).lines(0.5)
    # a position of the padded mask is one pixel further
    return "".join(_closed(np.rint((line - 1) * 2 * step + 1).astype(int)) for line in lines)


def marks(prompts: Iterable[PromptSet], slice_index: int, cut: Cut, *, positive: bool) -> Marks:
    """The prompts of a slice, of one sign; coordinates are (slice, row, column)."""
    points, lines, areas = [], [], []
    for one in prompts:
        for point in one.points:
            if point.positive == positive and round(point.position[0]) == slice_index:
                x, y = cut.place(point.position[1], point.position[2])
                points.append(f"M{x} {y}h0")
        boxes = [b for b in one.boxes if b.positive == positive]
        boxes = [b for b in boxes if b.lower[0] <= slice_index < b.upper[0]]
        lines += _boxes(boxes, cut)
        lines += [_stroke(s, slice_index, cut) for s in one.scribbles if s.positive == positive]
        mask = one.mask if positive else one.negative_mask
        if mask is not None:
            areas.append(outline(cut.of(mask[slice_index])))
    return Marks("".join(points), "".join(lines), "".join(areas))


def _closed(line: npt.NDArray[np.int64]) -> str:
    """A closed line (N, 2) of x and y, whose last point is its first, without points on straight parts."""
    line = line[:-1]
    before, after = line - np.roll(line, 1, axis=0), np.roll(line, -1, axis=0) - line
    bends = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    line = line[bends] if bends.any() else line
    (x, y), *steps = [line[0], *np.diff(line, axis=0)]
    return f"M{x} {y}l{_numbers(steps)}z" if steps else ""


def _numbers(steps: Sequence[Iterable[int]]) -> str:
    """The numbers of a path, with as few blanks as it can be read with."""
    return " ".join(str(int(n)) for step in steps for n in step).replace(" -", "-")


def _boxes(boxes: Sequence[Box], cut: Cut) -> list[str]:
    """The boxes of a slice; where many are seen from their edge, one after the other, they are one outline."""
    flat = [b for b in boxes if min(b.upper[i] - b.lower[i] for i in (1, 2)) <= 1]
    if len(flat) <= FEW_EDGES:
        return [_box(b, cut) for b in boxes]
    union = np.zeros((cut.rows.stop, cut.columns.stop), bool)
    for box in flat:
        (first, left), (last, right) = ((int(c[1]), int(c[2])) for c in (box.lower, box.upper))
        union[first:last, left:right] = True
    return [outline(cut.of(union)), *(_box(b, cut) for b in boxes if b not in flat)]


def _box(box: Box, cut: Cut) -> str:
    # half-open: the edges are half a voxel before both corners
    x, y = cut.place(box.lower[1] - 0.5, box.lower[2] - 0.5)
    x2, y2 = cut.place(box.upper[1] - 0.5, box.upper[2] - 0.5)
    return f"M{x} {y}H{x2}V{y2}H{x}z"


def _stroke(scribble: Scribble, slice_index: int, cut: Cut) -> str:
    """The parts of a scribble that pass through a slice."""
    text, down = "", False
    for level, row, column in scribble.path:
        if round(level) != slice_index:
            down = False
            continue
        x, y = cut.place(row, column)
        text += f"{'L' if down else 'M'}{x} {y}{'' if down else 'h0'}"
        down = True
    return text
