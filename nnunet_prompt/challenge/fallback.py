"""Masks made from prompts alone, without a network, and the labels that a mask may hold at most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.inference.merge import label_type
from nnunet_prompt.prompt_files.prompts_json_convention import plane_axes
from nnunet_prompt.prompts.checks import Shape
from nnunet_prompt.prompts.types import CasePrompts, PromptSet

POINT_RADIUS = 4.0  # pixels
BYTES_PER_VOXEL = 12  # what a mask takes from the prompts to the file, at most
MARGIN = 0.25  # of a box on each side: what lies there shows how much intensities differ
TOLERANCE = 1 / 3  # of that difference, and at least as much as noise does
NOISE = 3.0  # standard deviations
LEAST_WITH_POINTS = 0.05  # of a region: a smaller cut is not believed
LEAST_WITHOUT = 0.3
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.unsignedinteger[Any]]
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class _Region:
    """Where a label may lie in slice k: `inside` is a box or discs, `seeds` its points there, of the same shape."""

    label: int
    k: int
    inside: BoolArray
    seeds: BoolArray

    @property
    def size(self) -> int:
        return int(np.count_nonzero(self.inside))


def mask_from_prompts(
    prompts: CasePrompts, pls_shape: Shape, image: npt.NDArray[Any] | None = None
) -> IntArray:
    """Label map (PLS) from the prompts alone: filled boxes, and discs around the points of slices without a box.

    Pixels around the points of other labels are left out. With an `image` (PLS), a region keeps only what looks like
    its points, or like its middle where it has none, and is connected to them; a region that would lose nearly all
    stays whole, so no prompt goes unanswered. Larger regions are drawn first, so that small structures stay visible on
    large ones. Without prompts all is 0.
    """
    axis = prompts.slice_axis
    labels = np.zeros(pls_shape, _smallest(prompts))
    planes = np.moveaxis(labels, axis, 2)
    values = None if image is None else np.moveaxis(image, axis, 2)
    first, second = plane_axes(axis)
    plane = (pls_shape[first], pls_shape[second])
    regions: dict[int, list[_Region]] = {}
    for label, one in prompts.labels.items():
        for region in _regions(label, one, plane, axis):
            regions.setdefault(region.k, []).append(region)
    for k, here in regions.items():
        for region in sorted(here, key=lambda r: -r.size):
            pixels = _without_others(region, here)
            if values is not None:
                pixels = _alike(values[..., k], pixels, region, here)
            planes[..., k][pixels] = region.label
    return labels


def keep_allowed(labels: npt.NDArray[Any], prompts: CasePrompts) -> IntArray:
    """The label map (PLS) without labels in slices where they were not prompted.

    `prompts` are those of a prompts.json, in the PLS frame with named slices.
    """
    kept = np.zeros(labels.shape, _smallest(prompts))
    source, target = (np.moveaxis(a, prompts.slice_axis, 2) for a in (labels, kept))
    for k, allowed in (prompts.slices or {}).items():
        plane = source[..., k]
        target[..., k] = np.where(np.isin(plane, sorted(allowed)), plane, 0)
    return kept


def _smallest(prompts: CasePrompts) -> np.dtype[Any]:
    """The smallest type for the labels: it is the memory of large volumes that runs out."""
    named = {label for allowed in (prompts.slices or {}).values() for label in allowed}
    return label_type({0, *prompts.labels, *named})


def _regions(label: int, one: PromptSet, plane: tuple[int, int], axis: int) -> Iterator[_Region]:
    """One for each box, and one for all points of each slice without a box."""
    first, second = plane_axes(axis)
    rows, columns = np.ogrid[: plane[0], : plane[1]]
    points: dict[int, list[tuple[float, float]]] = {}
    for p in one.points:
        at_k = points.setdefault(int(p.position[axis]), [])
        at_k.append((p.position[first], p.position[second]))
    boxed = set()
    for box in one.boxes:
        (a, c), (b, d) = ((box.lower[i], box.upper[i]) for i in (first, second))
        inside = (rows >= a) & (rows < c) & (columns >= b) & (columns < d)
        if not inside.any():  # narrower than a pixel
            inside = _near([((a + c - 1) / 2, (b + d - 1) / 2)], plane, 0.75)
        k = int(box.lower[axis])
        boxed.add(k)
        yield _Region(label, k, inside, _near(points.get(k, []), plane, 0.75))
    for k in sorted(points.keys() - boxed):
        discs = _near(points[k], plane, POINT_RADIUS)
        yield _Region(label, k, discs, _near(points[k], plane, 0.75))


def _near(points: list[tuple[float, float]], plane: tuple[int, int], radius: float) -> BoolArray:
    rows, columns = np.ogrid[: plane[0], : plane[1]]
    found = np.zeros(plane, bool)
    for a, b in points:
        found |= (rows - a) ** 2 + (columns - b) ** 2 <= radius**2
    return found


def _without_others(region: _Region, here: list[_Region]) -> BoolArray:
    """The region without the points of the other labels, and the pixels next to them; whole if that is nothing."""
    taken = np.zeros_like(region.inside)
    for other in here:
        if other.label != region.label:
            taken |= other.seeds
    if not taken.any():
        return region.inside
    from scipy import ndimage

    rest = region.inside & (~ndimage.binary_dilation(taken) | region.seeds)
    return rest if rest.any() else region.inside


def _alike(
    plane: npt.NDArray[Any], pixels: BoolArray, region: _Region, here: list[_Region]
) -> BoolArray:
    """The pixels that look like the seeds of the region and hang together with them."""
    from scipy import ndimage

    rows, columns = _bounds(region.inside)
    values = ndimage.median_filter(np.asarray(plane[rows, columns], np.float32), 3)
    inside, seeds = pixels[rows, columns], region.seeds[rows, columns] & pixels[rows, columns]
    start = seeds if seeds.any() else _middle(region, here)[rows, columns] & inside
    if not start.any():
        return pixels
    sample = values[ndimage.binary_dilation(start) & inside] if seeds.any() else values[start]
    centre = np.median(sample)
    noise = 1.4826 * float(np.median(np.abs(sample - centre)))
    low, high = np.percentile(values, (5, 95))
    tolerance = max(NOISE * noise, TOLERANCE * float(high - low))
    alike = (inside & (np.abs(values - centre) <= tolerance)) | seeds
    parts, _ = ndimage.label(alike)
    if seeds.any():
        kept = np.isin(parts, np.unique(parts[seeds])) & alike
    else:
        shares = np.bincount(parts[start & alike], minlength=1)
        kept = parts == int(shares.argmax()) if shares.any() else np.zeros_like(alike)
    least = LEAST_WITH_POINTS if seeds.any() else LEAST_WITHOUT
    if np.count_nonzero(kept) < max(1, least * np.count_nonzero(inside)):
        return pixels
    result = np.zeros_like(pixels)
    result[rows, columns] = kept
    return result


def _middle(region: _Region, here: list[_Region]) -> BoolArray:
    """The middle half of a region along each axis, without the regions of other labels that lie in it."""
    spans = []
    for axis in (0, 1):
        used = np.flatnonzero(region.inside.any(1 - axis))
        low, n = int(used[0]), int(used[-1]) + 1 - int(used[0])
        spans.append(slice(low + n // 4, low + n - n // 4))
    middle = np.zeros_like(region.inside)
    middle[tuple(spans)] = True
    for other in here:
        if other.label != region.label and other.size < region.size:
            middle &= ~other.inside
    return middle


def _bounds(inside: BoolArray) -> tuple[slice, slice]:
    """The rows and columns of a region, and some of what is around it."""
    spans = []
    for axis, n in enumerate(inside.shape):
        used = np.flatnonzero(inside.any(1 - axis))
        low, high = int(used[0]), int(used[-1]) + 1
        more = max(1, round((high - low) * MARGIN))
        spans.append(slice(max(low - more, 0), min(high + more, n)))
    return spans[0], spans[1]
