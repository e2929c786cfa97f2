"""Images that a caller has in memory, as the volumes that the package works with.

    nibabel image           where its `affine` states, RAS+; a fourth axis holds the channels
    SimpleITK image         where its spacing, origin and direction state, with axes in the order (x, y, z)
    (array, affine)         array (X, Y, Z) in nibabel's order; affine 4x4, from voxels to mm, RAS+
    (array, spacing)        three numbers in mm, one per axis; the axes count as right, anterior, superior

Arrays become float32; integers of at most 16 bits stay what they are. Nothing is copied without need, and nothing that
the caller has is changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.arguments import finite_number, items, shown
from nnunet_prompt.common.errors import ImageError, NNUNetPromptError
from nnunet_prompt.io.itk_file import EXACT, finite, volumes_of
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.io.nifti_file import usable_affine

KINDS = "a path, a nibabel or SimpleITK image, (array, affine) or (array, spacing)"
_NIBABEL, _ITK, _ARRAY = (
    Path(f"<{name}>") for name in ("nibabel image", "SimpleITK image", "array")
)


def is_in_memory(image: Any) -> bool:
    """Whether `volumes_in_memory` takes it: no path, no array alone and no list."""
    return _is_pair(image) or _is_itk(image) or isinstance(image, nib.spatialimages.SpatialImage)


def volumes_in_memory(image: Any) -> tuple[NiftiVolume, ...]:
    """The channels of such an image, each (X, Y, Z) in the order of its axes; NaN of an image object becomes 0.

    Raises `ImageError` for another number of axes, for what is not one real number per voxel, and for an affine that
    no voxels can have.
    """
    if _is_itk(image):
        return volumes_of(_ITK, image)
    if _is_pair(image):
        array, geometry = image
        return (_volume(_ARRAY, array, _affine_of(geometry), None, array.shape),)
    return _of_nibabel(image)


def _of_nibabel(image: Any) -> tuple[NiftiVolume, ...]:
    array = np.asanyarray(image.dataobj)
    if array.ndim not in (2, 3, 4):
        raise ImageError(f"{_NIBABEL}: expected two to four axes, found shape {array.shape}")
    channels = [array[..., k] for k in range(array.shape[3])] if array.ndim == 4 else [array]
    affine = np.eye(4) if image.affine is None else np.array(image.affine, np.float64)
    header = image.header if isinstance(image.header, nib.Nifti1Header) else None
    return tuple(
        _volume(_NIBABEL, c if c.ndim == 3 else c[..., None], affine, header, array.shape[:3])
        for c in channels
    )


def _volume(
    path: Path,
    array: npt.NDArray[Any],
    affine: npt.NDArray[np.float64],
    header: Any,
    file_shape: tuple[int, ...],
) -> NiftiVolume:
    if array.ndim != 3 or array.dtype.kind not in "buif" or 0 in array.shape:
        raise ImageError(
            f"{path}: expected an array (X, Y, Z) of real numbers, found {shown(array)}; give several channels as a"
            " list"
        )
    affine = usable_affine(affine, one_slice=array.shape[2] == 1, path=path)
    replaced = 0
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    elif array.dtype.str[1:] not in EXACT:
        array = array.astype(np.float32, copy=False)
        if header is not None:  # an array alone with NaN is refused where it is used
            array, replaced = finite(array)
    return NiftiVolume(path, array, affine, header, file_shape, replaced)


def _affine_of(geometry: Any) -> npt.NDArray[np.float64]:
    """A 4x4 affine as it is, and three voxel sizes in mm as a diagonal one."""
    if np.shape(geometry) == (4, 4):
        try:
            return np.array(geometry, np.float64)
        except (TypeError, ValueError):
            pass
    parts = items(geometry)
    try:
        sizes = [finite_number("spacing", one, 1.5) for one in parts or ()]
    except NNUNetPromptError:
        sizes = []
    if len(sizes) != 3 or min(sizes) <= 0:
        raise ImageError(
            f"{_ARRAY}: expected a 4x4 affine, or three voxel sizes in mm such as (1.5, 1.5, 8.0), found"
            f" {shown(geometry)}"
        )
    return np.diag([*sizes, 1.0])


def _is_pair(image: Any) -> bool:
    """A tuple of an array and what is no image; two arrays are no two channels, as they would have no geometry."""
    pair = isinstance(image, tuple) and len(image) == 2
    return pair and isinstance(image[0], np.ndarray) and image[0].ndim >= 2


def _is_itk(image: Any) -> bool:
    return type(image).__module__.split(".")[0] == "SimpleITK" and hasattr(image, "GetDirection")
