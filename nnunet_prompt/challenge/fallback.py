"""What can be said of a case without a network, and what a mask may hold at most."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from nnunet_prompt.data.nifti import NiftiVolume
from nnunet_prompt.errors import ImageError
from nnunet_prompt.prompts.model import CasePrompts, PromptSet, Shape

MAX_VOXELS = 2**29  # a header that claims more is damaged
POINT_RADIUS = 4.0  # pixels
IntArray = npt.NDArray[np.int32]


def mask_from_prompts(prompts: CasePrompts, pls_shape: Shape) -> IntArray:
    """Label map (PLS) from the prompts alone: filled boxes, and discs round the points of slices without a box.

    Larger prompts are drawn first, so that small structures stay visible on large ones. Without prompts all is 0.
    """
    labels = np.zeros(pls_shape, np.int32)
    regions = []
    for label, one in prompts.labels.items():
        regions += [(label, *region) for region in _regions(one, pls_shape)]
    for label, k, pixels in sorted(regions, key=lambda r: -int(np.count_nonzero(r[2]))):
        labels[..., k][pixels] = label
    return labels


def keep_allowed(labels: npt.NDArray[Any], prompts: CasePrompts) -> IntArray:
    """The label map (PLS) without labels in slices where they were not prompted.

    `prompts` are those of a prompts.json, in the PLS frame with named slices.
    """
    kept = np.zeros(labels.shape, np.int32)
    for k, allowed in (prompts.slices or {}).items():
        plane = labels[..., k]
        kept[..., k] = np.where(np.isin(plane, sorted(allowed)), plane, 0)
    return kept


def read_grid(path: Path) -> NiftiVolume:
    """The grid of an image whose voxels cannot be read: a volume of zeros that takes no memory.

    Raises `ImageError` if the header cannot be read either, or is not that of one volume of a sane size.
    """
    try:
        image: Any = nib.load(path)
        file_shape = tuple(int(n) for n in image.shape)
        affine = np.asarray(image.affine, np.float64)
    except Exception as error:  # a damaged header can raise anything
        raise ImageError(f"{path}: its header cannot be read either") from error
    x, y, z, *rest = (*file_shape, 1, 1, 1)[: max(3, len(file_shape))]
    sane = len(file_shape) >= 2 and 0 < x * y * z <= MAX_VOXELS and all(n == 1 for n in rest)
    if not sane or not np.isfinite(affine).all():
        raise ImageError(f"{path}: its header claims the shape {file_shape}: no usable grid")
    zeros = np.broadcast_to(np.float32(0), (x, y, z))
    return NiftiVolume(path, zeros, affine, image.header, file_shape)


def _regions(one: PromptSet, shape: Shape) -> list[tuple[int, npt.NDArray[np.bool_]]]:
    """(slice, pixels) of each box, and of all points of each slice without a box."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    regions = []
    for box in one.boxes:
        (a, b, k), (c, d, _) = box.lower, box.upper
        inside = (rows >= a) & (rows < c) & (columns >= b) & (columns < d)
        regions.append((int(k), inside))
    boxed = {k for k, _ in regions}
    for k in sorted({int(p.position[2]) for p in one.points} - boxed):
        disc = np.zeros(shape[:2], bool)
        for a, b, _ in (p.position for p in one.points if int(p.position[2]) == k):
            disc |= (rows - a) ** 2 + (columns - b) ** 2 <= POINT_RADIUS**2
        regions.append((k, disc))
    return regions
