"""Whether a file is the finished mask of an image: the one rule of `predict --c`, of restarts and of `submit --check`.

Finished means: readable to its end, integers, with the shape and the affine of its image, and no other labels than
those that were asked for. A file that is merely there may be what a killed program left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.io.geometry import rounded_rows, same_geometry
from nnunet_prompt.io.image_files import image_ending, is_mask_of
from nnunet_prompt.io.nifti import NiftiVolume, read_nifti
from nnunet_prompt.io.nifti_file import ENDINGS
from nnunet_prompt.io.nifti_header import bare_header
from nnunet_prompt.io.repair import read_mended, read_mended_grid


def is_finished(target: Path, images: Sequence[Path], allowed: Collection[int]) -> bool:
    """Whether `target` is the mask of the first of `images` that can be read, with `allowed` labels and 0 only.

    Reads the mask and the header of the image. False for anything that cannot be read.
    """
    try:
        if not target.is_file() or target.stat().st_size == 0:
            return False
        if image_ending(target.name) not in ENDINGS or images[0].is_dir():
            return is_mask_of(target, images[0], allowed)
        mask = read_mended(target)
        image = image_of(mask, images)
    except (ImageError, OSError):
        return False
    strays = set(np.unique(mask.array).tolist()) - {0, *allowed}
    return not strays and next(mask_problems(mask, image), None) is None


def image_of(mask: NiftiVolume, images: Sequence[Path]) -> NiftiVolume:
    """The image whose grid the mask must have; raises the `ImageError` of the first if none can be read.

    It is the first, unless its voxels cannot be read and the mask has the grid of another.
    """
    grids, errors = [], []
    for path in images:
        try:
            grids.append(read_mended_grid(path))
        except ImageError as error:
            errors.append(error)
    if not grids:
        raise errors[0]
    fitting = [grid for grid in grids if _lie_together(mask, grid)]
    if not fitting or fitting[0] is grids[0]:
        return grids[0]
    try:
        read_nifti(grids[0].path)
    except ImageError:
        return fitting[0]
    return grids[0]


def mask_problems(mask: NiftiVolume, image: NiftiVolume) -> Iterator[str]:
    """Lists the problems of a mask that was read with `read_mended`, apart from its labels, one line each."""
    for note in mask.notes:
        if note not in image.notes:
            yield note
    yield from _type_problems(mask)
    if mask.file_shape != image.file_shape:
        yield f"has the shape {mask.file_shape}, expected that of {image.path.name}, {image.file_shape}"
    elif not _lie_together(mask, image):
        yield (
            f"has the affine {rounded_rows(mask.affine)}, expected that of {image.path.name},"
            f" {rounded_rows(image.affine)}"
        )


def _type_problems(mask: NiftiVolume) -> Iterator[str]:
    header = bare_header(mask.path)  # as it is stored: nibabel's forgets the scaling
    dtype = header.get_data_dtype()
    if dtype.kind not in "ui":
        yield f"has the type {dtype}, expected integers"
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if np.isfinite(slope) and slope != 0 and (slope, inter) != (1, 0):
        yield f"is scaled by its header (slope {slope:g}, intercept {inter:g}), expected plain values"
    if mask.replaced:
        yield f"holds {mask.replaced} voxels that are not finite"


def _lie_together(mask: NiftiVolume, image: NiftiVolume) -> bool:
    return mask.file_shape == image.file_shape and same_geometry(mask, image)
