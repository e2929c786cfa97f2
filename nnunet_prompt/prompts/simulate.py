"""Makes prompts from masks, as a user or the challenge would give them.

Draw, then do: every function takes the generator and returns new prompts; nothing here touches a global random state.
Masks have three axes; `slice_axis` is the axis through the slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from nnunet_prompt.prompts.model import BoolArray, Box, Point, PromptSet

Kind = Literal["slices", "volume", "mask", "none"]
KINDS: tuple[Kind, ...] = ("slices", "volume", "mask", "none")


@dataclass(frozen=True, slots=True)
class SimulationOptions:
    """How prompts are drawn. Lengths are in voxels, `p_` are probabilities.

    `max_points` per slice (or per volume); a slice below `min_voxels` gets no prompt; `jitter` moves box edges by up
    to that many voxels either way, and points that stay in the image likewise; `p_drop` leaves a slice out; `p_wrong`
    puts a point outside the object; `p_negatives` adds points of other structures as negatives.
    """

    boxes: bool = True
    points: bool = True
    max_points: int = 5
    fixed_points: bool = False
    min_voxels: int = 1
    jitter: int = 0
    p_drop: float = 0.0
    p_wrong: float = 0.0
    p_negatives: float = 1.0
    slice_axis: int = 0


EXACT = SimulationOptions()


def simulate(
    target: BoolArray,
    rng: np.random.Generator,
    *,
    kind: Kind,
    others: Sequence[BoolArray] = (),
    options: SimulationOptions = EXACT,
) -> PromptSet:
    """Prompts of one kind for the object `target`; `others` are structures whose points serve as negatives.

    An empty target gives an empty set for `slices` and `volume`, and possibly invented blobs for `mask`. Raises
    `ValueError` for an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}, found {kind!r}")
    if kind == "none" or (kind != "mask" and not target.any()):
        return PromptSet()
    if kind == "slices":
        return _slices(target, rng, others, options)
    if kind == "volume":
        return _volume(target, rng, others, options)
    mask = corrupt(target, rng, slice_axis=options.slice_axis)
    clicks = rng.random() < 0.5
    return PromptSet(
        points=_clicks_on_errors(target, mask, rng, options) if clicks else (), mask=mask
    )


def random_points(
    mask: BoolArray, count: int, rng: np.random.Generator, *, deep: bool = False
) -> npt.NDArray[np.int64]:
    """Up to `count` distinct voxels of `mask`, (n, 3). With `deep` they come from the inside: from the voxels that
    are farther from the border than half of them, where there are any; in an image of one slice that is the border
    in the plane. Never a centroid, which may lie outside. An empty mask gives none.
    """
    voxels = np.flatnonzero(mask)
    if deep and voxels.size > 1:
        border = [(1, 1) if n > 1 else (0, 0) for n in mask.shape]
        inner = tuple(slice(a, a + n) for (a, _), n in zip(border, mask.shape, strict=True))
        depth = ndimage.distance_transform_edt(np.pad(mask, border))[inner].ravel()[voxels]
        inner = depth > np.median(depth)
        voxels = voxels[inner] if inner.any() else voxels
    if voxels.size > count:
        voxels = rng.choice(voxels, count, replace=False)
    return np.stack(np.unravel_index(voxels, mask.shape), axis=1)


def corrupt(mask: BoolArray, rng: np.random.Generator, *, slice_axis: int = 0) -> BoolArray:
    """A rough version of `mask`: components dropped, shifted, grown, shrunk, holes and invented blobs.

    One time in ten the mask is perfect, so that a good mask is also trusted. Something of a mask is always left.
    """
    if rng.random() < 0.1:
        return mask.copy()
    result = np.zeros_like(mask)
    labelled, count = ndimage.label(mask)
    for index, box in enumerate(ndimage.find_objects(labelled), start=1):
        if count > 1 and rng.random() < 0.2:
            continue
        _paste_changed(labelled[box] == index, box, rng, result, slice_axis=slice_axis)
    if rng.random() < 0.25:
        _blob(result, rng, value=True)
    if rng.random() < 0.15 and result.any():
        _blob(result, rng, value=False, inside=result)
    return result if result.any() else mask.copy()


def _slices(
    target: BoolArray,
    rng: np.random.Generator,
    others: Sequence[BoolArray],
    options: SimulationOptions,
) -> PromptSet:
    axis = options.slice_axis
    areas = target.sum(axis=tuple(a for a in range(3) if a != axis))
    boxes: list[Box] = []
    points: list[Point] = []
    negatives = [o for o in others if options.points and rng.random() < options.p_negatives]
    for index in np.flatnonzero(areas >= max(1, options.min_voxels)):
        if rng.random() < options.p_drop:
            continue
        here = np.take(target, [index], axis)
        if options.boxes:
            boxes.append(_box(here, rng, options, _at(axis, int(index))))
        if options.points:
            points += _points(here, rng, options, _at(axis, int(index)))
        for other in negatives:
            slice_of = np.take(other, [index], axis)
            points += _points(slice_of & ~here, rng, options, _at(axis, int(index)), positive=False)
    return PromptSet(tuple(points), tuple(boxes))


def _volume(
    target: BoolArray,
    rng: np.random.Generator,
    others: Sequence[BoolArray],
    options: SimulationOptions,
) -> PromptSet:
    """One to `max_points` points in 3D, or a box in one slice, or a 3D box; sometimes with points beside it."""
    boxes: list[Box] = []
    points: list[Point] = []
    forms = ["points"] * options.points + ["slice box", "3D box"] * options.boxes
    if not forms:
        return PromptSet()
    form = rng.choice(forms)
    if form == "slice box":
        axis = options.slice_axis
        areas = target.sum(axis=tuple(a for a in range(3) if a != axis)).astype(float)
        index = int(rng.choice(len(areas), p=areas / areas.sum()))
        boxes.append(_box(np.take(target, [index], axis), rng, options, _at(axis, index)))
    elif form == "3D box":
        boxes.append(_box(target, rng, options, (0, 0, 0)))
    if form == "points" or (options.points and rng.random() < 0.5):
        points += _points(target, rng, options, (0, 0, 0), deep=True)
    for other in others:
        if options.points and rng.random() < options.p_negatives * 0.5:
            points += _points(other & ~target, rng, options, (0, 0, 0), positive=False)
    return PromptSet(tuple(points), tuple(boxes))


def _at(axis: int, index: int) -> tuple[int, int, int]:
    a, b, c = (index if a == axis else 0 for a in range(3))
    return a, b, c


def _box(
    mask: BoolArray,
    rng: np.random.Generator,
    options: SimulationOptions,
    shift: tuple[int, int, int],
) -> Box:
    """The tight box of `mask` (not empty), its edges jittered where the mask has more than one voxel.

    Empty results are drawn again, axis by axis, which favours neither direction.
    """
    lower, upper = [], []
    for axis in range(3):
        line = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        low, high = int(line[0]), int(line[-1]) + 1
        start, stop = low, high
        while options.jitter and mask.shape[axis] > 1:
            a, b = rng.integers(-options.jitter, options.jitter + 1, 2)
            start, stop = max(low + int(a), 0), min(high + int(b), mask.shape[axis])
            if start < stop:
                break
        lower.append(float(start + shift[axis]))
        upper.append(float(stop + shift[axis]))
    return Box((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2]))


def _points(
    mask: BoolArray,
    rng: np.random.Generator,
    options: SimulationOptions,
    shift: tuple[int, int, int],
    *,
    positive: bool = True,
    deep: bool = False,
) -> list[Point]:
    count = options.max_points
    if not options.fixed_points:
        count = int(rng.integers(1, options.max_points + 1))
    found = random_points(mask, count, rng, deep=deep and bool(rng.random() < 0.5))
    if options.jitter and len(found):
        size = np.array(mask.shape)
        reach = np.where(size > 1, options.jitter, 0)
        found = np.clip(found + rng.integers(-reach, reach + 1, found.shape), 0, size - 1)
    if positive and len(found) and rng.random() < options.p_wrong:
        outside = random_points(~mask, 1, rng)
        found[: len(outside)] = outside
    return [
        Point((float(z + shift[0]), float(y + shift[1]), float(x + shift[2])), positive)
        for z, y, x in found
    ]


def _clicks_on_errors(
    target: BoolArray, mask: BoolArray, rng: np.random.Generator, options: SimulationOptions
) -> tuple[Point, ...]:
    count = int(rng.integers(1, options.max_points + 1))
    missing = random_points(target & ~mask, count, rng)
    spurious = random_points(mask & ~target, count, rng)
    return tuple(Point((float(z), float(y), float(x)), True) for z, y, x in missing) + tuple(
        Point((float(z), float(y), float(x)), False) for z, y, x in spurious
    )


def _paste_changed(
    component: BoolArray,
    box: tuple[slice, ...],
    rng: np.random.Generator,
    result: BoolArray,
    *,
    slice_axis: int = 0,
) -> None:
    """Shrinks or grows one component, moves it a little, and adds it to `result`.

    By up to a fifth of its width and at most three voxels, so that something of it is always left.
    """
    reach = int(np.clip(round(np.count_nonzero(component) ** (1 / 3) / 5), 1, 3))
    radius = int(rng.integers(1, reach + 1))
    room = [radius if n > 1 else 0 for n in result.shape]
    padded = np.pad(component, [(r, r) for r in room])
    near = ndimage.generate_binary_structure(3, 1)
    flat = [axis for axis, n in enumerate(result.shape) if n == 1]
    if component.shape[slice_axis] == 1 or rng.random() < 0.3:  # thick slices grow within the slice
        flat.append(slice_axis)
    for axis in flat:
        near.swapaxes(0, axis)[[0, 2]] = False
    draw = rng.random()
    if draw < 0.4:
        shrunk = ndimage.binary_erosion(padded, near, radius)
        padded = shrunk if shrunk.any() else padded
    elif draw < 0.8:
        padded = ndimage.binary_dilation(padded, near, radius)
    shift = [
        int(rng.integers(-reach, reach + 1)) if n > 1 and rng.random() < 0.5 else 0
        for n in result.shape
    ]
    corner = [b.start - r + s for b, r, s in zip(box, room, shift, strict=True)]
    _paste(padded, corner, result)


def _paste(part: BoolArray, corner: Sequence[int], result: BoolArray) -> None:
    """Adds `part` to `result` with its first voxel at `corner`; what leaves `result` is cut off."""
    target, source = [], []
    for start, n, size in zip(corner, result.shape, part.shape, strict=True):
        low, high = max(start, 0), min(start + size, n)
        if low >= high:
            return
        target.append(slice(low, high))
        source.append(slice(low - start, high - start))
    result[tuple(target)] |= part[tuple(source)]


def _blob(
    mask: BoolArray, rng: np.random.Generator, *, value: bool, inside: BoolArray | None = None
) -> None:
    """Writes an ellipsoid of 2 to 6 voxels radius into `mask`, in place."""
    centre = (
        [int(rng.integers(0, n)) for n in mask.shape]
        if inside is None
        else [int(v) for v in random_points(inside, 1, rng)[0]]
    )
    radii = [min(float(rng.uniform(2, 6)), n / 2) for n in mask.shape]
    window = tuple(
        slice(max(0, int(c - r)), int(c + r) + 1) for c, r in zip(centre, radii, strict=True)
    )
    grid = np.ogrid[
        tuple(slice(w.start, min(w.stop, n)) for w, n in zip(window, mask.shape, strict=True))
    ]
    distance = sum(((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radii, strict=True))
    mask[window][np.asarray(distance) <= 1.0] = value
