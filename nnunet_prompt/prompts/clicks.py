"""Where a user clicks: deep inside an object, and into the largest errors of a mask.

Masks have three axes. Depth is the distance to the border in voxels; axes of one voxel have no border.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage

from nnunet_prompt.prompts.checks import BoolArray
from nnunet_prompt.prompts.types import Point
from nnunet_prompt.prompts.voxels import bounding_box

Position = tuple[int, int, int]
_LONGEST = 32  # sides of a mask beyond this are looked at in steps, to bound the time


def deep_point(
    mask: BoolArray,
    rng: np.random.Generator | None = None,
    *,
    least: float = 1.0,
    spacing: Sequence[float] | None = None,
) -> Position | None:
    """A voxel of `mask` at least `least` times as deep as its deepest voxel; None for an empty mask.

    Without a generator that of them which lies closest to the middle of them all. `spacing` is that of the axes;
    without it depth counts voxels. A long mask is looked at in steps of a few voxels.
    """
    box = bounding_box(mask)
    if box is None:
        return None
    steps = [-(-(side.stop - side.start) // _LONGEST) for side in box]
    part = mask[box][tuple(slice(None, None, step) for step in steps)]
    if not part.any():  # thinner than the steps
        steps, part = [1, 1, 1], mask[box]
    border = [(1, 1) if n > 1 else (0, 0) for n in mask.shape]
    inner = tuple(slice(a, a + n) for (a, _), n in zip(border, part.shape, strict=True))
    sampling = [step * width for step, width in zip(steps, spacing or (1, 1, 1), strict=True)]
    depth = ndimage.distance_transform_edt(np.pad(part, border), sampling=sampling)[inner]
    if not np.isfinite(depth).all() or depth.max() == 0:  # no axis has a border
        depth = part.astype(float)
    candidates = np.flatnonzero(depth >= least * depth.max() - 1e-9)
    places = np.stack(np.unravel_index(candidates, part.shape), 1)
    if rng is None:
        apart = ((places - places.mean(0)) * sampling) ** 2
        index = places[apart.sum(1).argmin()]
    else:
        index = places[rng.integers(len(places))]
    z, y, x = (int(i) * step + side.start for i, step, side in zip(index, steps, box, strict=True))
    return z, y, x


def largest_components(mask: BoolArray) -> Iterator[BoolArray]:
    """The connected components (by faces) of a mask, the largest first, each as a mask of the same shape."""
    box = bounding_box(mask)
    if box is None:
        return
    labelled, count = ndimage.label(mask[box])
    sizes = np.bincount(labelled.ravel(), minlength=count + 1)[1:]
    for index in np.argsort(-sizes, kind="stable"):
        component = np.zeros_like(mask)
        component[box] = labelled == index + 1
        yield component


def error_components(
    target: BoolArray, mask: BoolArray, count: int = 1
) -> list[tuple[BoolArray, bool]]:
    """The `count` largest connected errors of a mask, and whether each is missing (True) or spurious (False)."""
    errors: list[tuple[BoolArray, bool]] = []
    for error, positive in ((target & ~mask, True), (mask & ~target, False)):
        for component, _ in zip(largest_components(error), range(count), strict=False):
            errors.append((component, positive))
    errors.sort(key=lambda error: -np.count_nonzero(error[0]))
    return errors[:count]


def corrective_clicks(
    target: BoolArray,
    mask: BoolArray,
    rng: np.random.Generator | None = None,
    *,
    count: int = 1,
    least: float = 1.0,
) -> tuple[Point, ...]:
    """A click in each of the `count` largest errors of `mask`: positive where the target is missed, else negative.

    Each lies as `deep_point` places it; a mask without errors gets none.
    """
    clicks = []
    for component, positive in error_components(target, mask, count):
        place = deep_point(component, rng, least=least)
        assert place is not None  # a component has voxels
        clicks.append(Point(as_position(place), positive))
    return tuple(clicks)


def as_position(voxel: Position) -> tuple[float, float, float]:
    """The centre of a voxel, as prompts have it."""
    z, y, x = (float(v) for v in voxel)
    return z, y, x
