"""Whether x runs along the first or the second axis of a slice, and whether boxes hold their second corner.

A vote is a number per case: above 0 for "xy", below for "yx", about 1 for what would be wrong in one case of three.
They are added over the cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nnunet_prompt.data.care_labels import table_for
from nnunet_prompt.prompt_files.case_view import CaseView

BAD = 0.05  # share of prompts that may lie anywhere
MOST = 6.0  # what a case can decide by its bounds, and
ANATOMY = 2.0  # by its anatomy
LIVER_MM = 90.0  # no left atrium is as wide, whose label might be 1 too
_WHS = {s.name: s.official for s in table_for("whs").structures}
# In an axial slice the first chamber lies more to the back and the right of the second: (row - column) is larger.
_BEHIND_AND_RIGHT = tuple(
    (_WHS[a], _WHS[b]) for a, b in (("la", "rv"), ("la", "lv"), ("ra", "lv"), ("ra", "rv"))
)
_LIVER = table_for("liqa").find("liver").official


def by_bounds(view: CaseView) -> float:
    """Prompts that lie in the slice under one order only; so many as may be bad hardly count."""
    xy, yx = view.fits("xy"), view.fits("yx")
    more = int((xy & ~yx).sum()) - int((yx & ~xy).sum())
    may_be_bad = BAD * len(xy)
    vote = max(0.0, abs(more) - may_be_bad) + 0.2 * min(abs(more), may_be_bad)
    return float(np.copysign(min(vote, MOST), more)) if more else 0.0


def by_anatomy(view: CaseView, labels: frozenset[int]) -> float:
    """Where the chambers of a whole heart lie to each other, or the liver in the image; 0 for any other labels.

    `labels` are all of the file: they show which task it is. Only axial slices know back and left.
    """
    is_liver, is_heart = labels == {_LIVER}, len(labels & set(_WHS.values())) >= 3
    if view.axis != 2 or not (is_liver or is_heart):
        return 0.0
    centres = _centres(view)
    if is_liver:
        return _liver(view, centres[_LIVER]) if centres else 0.0
    pairs = [(a, b) for a, b in _BEHIND_AND_RIGHT if a in centres and b in centres]
    if not pairs:
        return 0.0
    away = np.mean([centres[a] - centres[b] for a, b in pairs], axis=0)
    row_mm, column_mm = view.plane_mm
    as_xy = away[0] * row_mm - away[1] * column_mm
    as_yx = away[1] * row_mm - away[0] * column_mm
    return ANATOMY * float(np.tanh((as_xy - as_yx) / 2 / 15))


@dataclass(frozen=True, slots=True)
class EndVotes:
    """How many boxes and points show that the second corner is the last pixel, and that it is one past it."""

    inclusive: int
    exclusive: int

    @property
    def answer(self) -> bool | None:
        """Whether it is inclusive; None if too few show it, or too many the other."""
        low, high = sorted((self.inclusive, self.exclusive))
        return None if high < 3 or high < 4 * low else self.inclusive > self.exclusive


def vote_ends(views: Iterable[CaseView], *, swapped: bool) -> EndVotes:
    """Boxes that end at the border of the slice or have no width, and points on the edges of their boxes.

    Points are as likely on the last pixel of a box as on its first. `swapped` is for the order "yx".
    """
    inclusive = exclusive = first = last = 0
    for view in views:
        size = np.array(view.plane[::-1] if swapped else view.plane)
        exclusive += int((view.boxes[:, 2:] == size).any(axis=1).sum())
        inclusive += int((view.boxes[:, 2:] == view.boxes[:, :2]).any(axis=1).sum())
        boxes, points = _points_with_boxes(view)
        first += int((points == boxes[:, :2]).sum())
        last += int((points == boxes[:, 2:]).sum())
    return EndVotes(inclusive + last, exclusive + max(0, first - 3 * last))


def outside_their_boxes(views: Sequence[CaseView]) -> tuple[int, int, int]:
    """How many points have a box, lie more than two pixels outside of it, and would lie inside with x and y swapped."""
    total = outside = swapped = 0
    for view in views:
        boxes, points = _points_with_boxes(view)
        away = ~_inside(boxes, points)
        total += len(points)
        outside += int(away.sum())
        swapped += int((away & _inside(boxes, points[:, ::-1])).sum())
    return total, outside, swapped


def _inside(
    boxes: npt.NDArray[np.float64], points: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    return np.asarray(((points >= boxes[:, :2] - 2) & (points <= boxes[:, 2:] + 2)).all(axis=1))


def _points_with_boxes(
    view: CaseView,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """For each point whose slice and label have a box: this box, (P, 4), and the point, (P, 2)."""
    of = np.concatenate([view.box_of, view.point_of])
    prompts = np.unique(of, axis=0, return_inverse=True)[1].reshape(-1)
    box_at = np.full(len(of), -1)
    box_at[prompts[: len(view.boxes)]] = np.arange(len(view.boxes))
    boxes = box_at[prompts[len(view.boxes) :]]
    return view.boxes[boxes[boxes >= 0]], view.points[boxes >= 0]


def _centres(view: CaseView) -> dict[int, npt.NDArray[np.float64]]:
    """The centre (x, y) of each label over all slices: of its boxes by their area, or of its points."""
    centres = {}
    for label in view.labels:
        boxes = view.boxes[view.box_of[:, 1] == label]
        places, weights = view.points[view.point_of[:, 1] == label], None
        if len(boxes):
            places = (boxes[:, :2] + boxes[:, 2:]) / 2
            weights = np.prod(boxes[:, 2:] - boxes[:, :2] + 1, axis=1)
        centres[label] = np.average(places, axis=0, weights=weights)
    return centres


def _liver(view: CaseView, centre: npt.NDArray[np.float64]) -> float:
    """The liver lies at the right of the body, and near its middle from front to back."""
    boxes = view.boxes[view.box_of[:, 1] == _LIVER]
    widest = (boxes[:, 2:] - boxes[:, :2]).max(initial=0) * max(view.plane_mm)
    if widest < LIVER_MM:
        return 0.0
    rows, columns = view.plane
    as_xy = centre[0] / rows - centre[1] / columns
    as_yx = centre[1] / rows - centre[0] / columns
    return ANATOMY * float(np.tanh((as_xy - as_yx) / 2 / 0.05))
