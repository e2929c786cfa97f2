"""Which order of x and y puts the prompts on the structures that the images show.

The prompts of a label point at one kind of tissue (liver, blood, muscle), and what lies around their boxes is another.
With x and y swapped they fall on whatever lies there: the intensities of a label scatter more, and inside and outside
of its boxes differ less.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.io.image_files import read_image_file
from nnunet_prompt.prompt_files.case_view import CaseView, FloatArray, IntArray
from nnunet_prompt.prompt_files.prompts_json_convention import Base, plane_axes

MOST_CASES = 20
MOST_VOXELS = 4 * 10**8  # of all images that are read, some seconds on two cores
MOST_OF_ONE = 15 * 10**7
FEWEST, MOST_PROMPTS = 4, 500  # boxes and points of a case
LEAST_EFFECT = 0.4  # mean of the votes of cases, below which they are taken for chance
MOST_OF_A_CASE = 2.0
RING = 2.0  # pixels around a box
_ANGLES = np.arange(16) * np.pi / 8
_SQUARE = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])
_SQUARE /= np.abs(_SQUARE).max(axis=1, keepdims=True)  # (16, 2)


def pick(views: Iterable[CaseView]) -> list[CaseView]:
    """The cases whose images are looked at: the smallest, as many as are read in a few seconds."""
    chosen: list[CaseView] = []
    voxels = 0
    for view in sorted(views, key=lambda v: (np.prod(v.shape, dtype=float), v.key)):
        size = int(np.prod(view.shape, dtype=np.int64))
        if len(chosen) == MOST_CASES or size > MOST_OF_ONE or voxels + size > MOST_VOXELS:
            break
        if len(view.boxes) + len(view.points) >= FEWEST:
            chosen.append(view)
            voxels += size
    return chosen


def by_tissue(view: CaseView, base: Base) -> float | None:
    """Above 0 where the image fits "xy" better, below where "yx"; None if it shows nothing.

    The sum of two logarithms of ratios: of contrasts between inside and outside of boxes, and of scatters within
    labels. Reads the image; one that cannot be read shows nothing.
    """
    try:
        image = view.to_pls.apply(read_image_file(view.path).array)
    except (NNUNetPromptError, MemoryError):
        return None
    image = np.moveaxis(image, (*plane_axes(view.axis), view.axis), (0, 1, 2))
    places = _places(view, base)
    swapped = places.voxels[:, [1, 0, 2]]
    in_both = (np.minimum(places.voxels, swapped) >= 0) & (
        np.maximum(places.voxels, swapped) < image.shape
    )
    here = np.asarray(in_both.all(axis=1))
    left, all_inside = np.count_nonzero(here & ~places.ring), np.count_nonzero(~places.ring)
    if left < max(FEWEST, all_inside / 2):  # too few that both orders have in the image
        return None
    places = places.where(here)
    values = np.concatenate([_at(image, places.voxels), _at(image, swapped[here])])
    ranks = np.unique(values, return_inverse=True)[1].astype(np.float64)
    as_xy, as_yx = (ranks / max(1.0, ranks.max())).reshape(2, -1)
    chance = 0.03 + 0.3 / np.sqrt(len(np.unique(places.prompt)))  # of uniform ranks
    ratio = np.log((_contrast(as_xy, places) + chance) / (_contrast(as_yx, places) + chance))
    ratio += np.log((_scatter(as_yx, places) + chance) / (_scatter(as_xy, places) + chance))
    return float(np.clip(ratio, -MOST_OF_A_CASE, MOST_OF_A_CASE))


def weigh(ratios: Sequence[float]) -> float:
    """One vote from those of cases: 1.7 times the root of their number if all agree, 0 if they show little.

    So four cases that agree decide the order (`evidence.DECIDED`), and three do not.
    """
    values = np.array(ratios, np.float64)
    if not len(values) or abs(values.mean()) < LEAST_EFFECT:
        return 0.0
    return float(np.clip(1.7 * values.sum() / np.sqrt((values**2).sum()), -6, 6))


@dataclass(frozen=True, slots=True, eq=False)
class _Places:
    """Voxels (N, 3) as x, y, slice: points or middles of boxes, and where `ring` is set, around boxes.

    `prompt` counts slices with a label, and `label` is that label.
    """

    voxels: IntArray
    prompt: IntArray
    label: IntArray
    ring: npt.NDArray[np.bool_]

    def where(self, chosen: npt.NDArray[np.bool_]) -> _Places:
        return _Places(
            self.voxels[chosen], self.prompt[chosen], self.label[chosen], self.ring[chosen]
        )


def _places(view: CaseView, base: Base) -> _Places:
    boxes, box_of = _some(view.boxes, view.box_of)
    points, point_of = _some(view.points, view.point_of)
    middle = (boxes[:, :2] + boxes[:, 2:] - 1) / 2
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 + RING
    ring = (middle[:, None] + half[:, None] * _SQUARE).reshape(-1, 2)
    of = np.concatenate([point_of, box_of, np.repeat(box_of, len(_SQUARE), axis=0)])
    plane = np.concatenate([points, middle, ring])
    is_ring = np.arange(len(of)) >= len(of) - len(ring)
    prompt = np.unique(of, axis=0, return_inverse=True)[1].reshape(-1)
    voxels = np.rint(np.column_stack([plane, of[:, 0] - base])).astype(np.int64)
    return _Places(voxels, prompt, of[:, 1], is_ring)


def _some(values: FloatArray, of: IntArray) -> tuple[FloatArray, IntArray]:
    """At most so many prompts, evenly from all."""
    step = -(-len(values) // MOST_PROMPTS) or 1
    return values[::step], of[::step]


def _at(image: npt.NDArray[Any], voxels: IntArray) -> FloatArray:
    """The median of the 3 x 3 pixels around each voxel."""
    near = []
    for dx in (-1, 0, 1):
        for dy in (-1, 0, 1):
            a = np.clip(voxels[:, 0] + dx, 0, image.shape[0] - 1)
            b = np.clip(voxels[:, 1] + dy, 0, image.shape[1] - 1)
            near.append(image[a, b, voxels[:, 2]])
    return np.asarray(np.median(np.stack(near).astype(np.float64), axis=0))


def _contrast(values: FloatArray, places: _Places) -> float:
    """How far inside and outside of the boxes of a label are apart, on average; 0 without boxes."""
    apart, weights = [], []
    for label in np.unique(places.label):
        of_label = places.label == label
        inside = _means(values, places.prompt, of_label & ~places.ring)
        outside = _means(values, places.prompt, of_label & places.ring)
        differences = [
            inside[prompt] - outside[prompt] for prompt in inside.keys() & outside.keys()
        ]
        if differences:
            apart.append(abs(float(np.mean(differences))))
            weights.append(len(differences))
    return float(np.average(apart, weights=weights)) if apart else 0.0


def _means(values: FloatArray, prompt: IntArray, chosen: npt.NDArray[np.bool_]) -> dict[int, float]:
    """The mean of the chosen values of each prompt that has some."""
    counts = np.bincount(prompt[chosen])
    sums = np.bincount(prompt[chosen], values[chosen])
    return {int(i): float(sums[i] / counts[i]) for i in np.flatnonzero(counts)}


def _scatter(values: FloatArray, places: _Places) -> float:
    """The mean distance of what lies inside from the median of its label."""
    away = []
    for label in np.unique(places.label[~places.ring]):
        inside = values[(places.label == label) & ~places.ring]
        away.append(np.abs(inside - np.median(inside)))
    return float(np.concatenate(away).mean())
