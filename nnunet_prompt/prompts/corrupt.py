"""Masks that serve as prompts: rough ones, and those that stop where the object continues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from nnunet_prompt.prompts.checks import BoolArray
from nnunet_prompt.prompts.spans import intersection, is_empty, slices_in, spans_at, spans_of
from nnunet_prompt.prompts.voxels import bounding_box, random_points

SHOWN = (1 / 8, 3 / 4)  # the share of a patch that lies before the plane at which a mask stops
ACROSS = (1 / 2, 7 / 8)  # the same of a second plane: a tile is centred on the face it grows from


def corrupt(mask: BoolArray, rng: np.random.Generator, *, slice_axis: int = 0) -> BoolArray:
    """A rough version of `mask`: components dropped, shifted, grown, shrunk, holes and invented blobs.

    One time in ten the mask is perfect, so that a good mask is also trusted. Something of a mask is always left.
    """
    if rng.random() < 0.1:
        return mask.copy()
    result = np.zeros_like(mask)
    box = bounding_box(mask)
    if box is not None:
        labelled, count = ndimage.label(mask[box])
        for index, part in enumerate(ndimage.find_objects(labelled), start=1):
            if count > 1 and rng.random() < 0.2:
                continue
            corner = [b.start + p.start for b, p in zip(box, part, strict=True)]
            _paste_changed(labelled[part] == index, corner, rng, result, slice_axis=slice_axis)
    if rng.random() < 0.25:
        _blob(result, rng, value=True)
    if rng.random() < 0.15 and result.any():
        _blob(result, rng, value=False, inside=result)
    return result if result.any() else mask.copy()


def disturbed(mask: BoolArray, rng: np.random.Generator, *, slice_axis: int = 0) -> BoolArray:
    """`mask` as a whole moved by up to three voxels, or one or two voxels of its border removed or added.

    In an image of thick slices (one time in two) only within the slices. Something of a mask is always left.
    """
    draw = rng.random()
    if draw < 0.4:
        result = np.zeros_like(mask)
        reach = [3 if n > 1 else 0 for n in mask.shape]
        if rng.random() < 0.5:
            reach[slice_axis] = 0
        _paste(mask, [int(rng.integers(-r, r + 1)) for r in reach], result)
        return result if result.any() else mask.copy()
    near = ndimage.generate_binary_structure(3, 1)
    flat = {axis for axis, n in enumerate(mask.shape) if n == 1}
    if rng.random() < 0.5:
        flat.add(slice_axis)
    for axis in flat:
        near.swapaxes(0, axis)[[0, 2]] = False
    change = ndimage.binary_erosion if draw < 0.7 else ndimage.binary_dilation
    changed: BoolArray = change(mask, near, int(rng.integers(1, 3)))
    return changed if changed.any() else mask.copy()


def continued(
    mask: BoolArray, rng: np.random.Generator, *, slice_axis: int = 0, p_rough: float = 0.3
) -> BoolArray | None:
    """The part of `mask` that a tile is shown when an object grows into it out of the tiles beside it.

    It enters at a face of the patch, one that the object touches if it touches any, and stops at a plane across that
    axis after 1/8 to 3/4 of the patch; one time in four at a second plane, too, as where tiles are not in line.
    Beyond the planes there is nothing. An object that ends before the deepest plane does so, one time in four, at the
    plane or up to two voxels behind it, so that growing also learns to stop. In `p_rough` it has the errors of
    `corrupt`. Axes of one voxel have no faces. None for an empty mask, or where no axis has faces.
    """
    axes = [axis for axis, size in enumerate(mask.shape) if size > 1]
    known = [slice(0, size) for size in mask.shape]
    first = _plane(mask, axes, rng, SHOWN)
    if first is None:
        return None
    axis, known[axis] = first
    if rng.random() < 0.25:
        axes.remove(axis)
        second = _plane(_only(mask, known), axes, rng, ACROSS)
        if second is not None:
            axis, known[axis] = second
    if rng.random() < p_rough:
        rough = _only(corrupt(mask, rng, slice_axis=slice_axis), known)
        if rough.any():
            return rough
    return _only(mask, known)


@dataclass(frozen=True, slots=True)
class _Face:
    """A face of the patch as one looks in from it: the mask begins `start` voxels behind it and ends before `stop`."""

    axis: int
    low: bool
    start: int
    stop: int


def _plane(
    mask: BoolArray, axes: Sequence[int], rng: np.random.Generator, share: tuple[float, float]
) -> tuple[int, slice] | None:
    """One of `axes` and what lies before a plane across it, with something of `mask`; None if there is no such plane.

    `share` are the bounds of its depth; a mask that ends before the first of them has its plane where it ends.
    """
    faces = _faces(mask, axes, share[1])
    if not faces:
        return None
    faces = [face for face in faces if face.start == 0] or faces
    face = faces[int(rng.integers(len(faces)))]
    size = mask.shape[face.axis]
    deepest = _deepest(size, share[1])
    if face.stop <= deepest and rng.random() < 0.25:
        depth = max(face.stop - int(rng.integers(0, 3)), face.start + 1)
    else:
        low = min(max(face.start + 1, int(size * share[0])), face.stop)
        depth = int(rng.integers(low, max(low, min(face.stop, deepest)) + 1))
    return face.axis, slice(0, depth) if face.low else slice(size - depth, size)


def _faces(mask: BoolArray, axes: Sequence[int], most: float) -> list[_Face]:
    """The faces behind which `mask` begins before the deepest plane."""
    box = bounding_box(mask)
    if box is None:
        return []
    faces = []
    for axis in axes:
        start, stop, size = box[axis].start, box[axis].stop, mask.shape[axis]
        faces += [_Face(axis, True, start, stop), _Face(axis, False, size - stop, size - start)]
    return [face for face in faces if face.start < _deepest(mask.shape[face.axis], most)]


def _deepest(size: int, most: float) -> int:
    return max(int(size * most), 1)


def _only(mask: BoolArray, known: Sequence[slice]) -> BoolArray:
    """`mask` inside a box, a new array."""
    part = np.zeros_like(mask)
    part[tuple(known)] = mask[tuple(known)]
    return part


def _paste_changed(
    component: BoolArray,
    corner: Sequence[int],
    rng: np.random.Generator,
    result: BoolArray,
    *,
    slice_axis: int = 0,
) -> None:
    """Shrinks or grows one component, which begins at `corner`, moves it a little, and adds it to `result`.

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
    moved = [c - r + s for c, r, s in zip(corner, room, shift, strict=True)]
    _paste(padded, moved, result)


def _paste(part: BoolArray, corner: Sequence[int], result: BoolArray) -> None:
    """Adds `part` to `result` with its first voxel at `corner`; what leaves `result` is cut off."""
    place, whole = spans_at(corner, part.shape), spans_of(result.shape)
    inside = intersection(place, whole)
    if not is_empty(inside):
        result[slices_in(inside, whole)] |= part[slices_in(inside, place)]


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
