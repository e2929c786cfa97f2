"""The atlas: of a support set the case that looks most like an image, rigidly aligned to it, and its label map there.

It needs no training and no network: what a learned adapter has to beat. Its masks are rough, and may be given to a
promptable model as mask prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.io.nifti import NiftiVolume

SHRINK = (4, 2, 1)  # of the grid, from coarse to fine
BINS = 32  # of Mattes' mutual information
SHARE, LEAST = 0.2, 50_000  # of the voxels, how many it looks at; of small images all
STEPS = 100


@dataclass(frozen=True, slots=True, eq=False)
class AtlasCase:
    """A support case: its image and its label map on the same grid."""

    name: str
    image: NiftiVolume
    labels: NiftiVolume


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The nearest case: its name, its similarity (mutual information, more is nearer), and its labels on the image."""

    name: str
    similarity: float
    labels: npt.NDArray[np.int32]


def nearest(cases: Sequence[AtlasCase], image: NiftiVolume, *, seed: int = 0) -> Found:
    """Aligns each case to the image and takes the most similar one; its labels are (X, Y, Z) on the image's grid.

    Where an alignment fails, the case is taken as it lies in the world. Raises `NNUNetPromptError` without a case.
    """
    if not cases:
        raise NNUNetPromptError("cases: expected at least one support case, found none")
    fixed = _image(image)
    found = [(_aligned(fixed, _image(case.image), seed), case) for case in cases]
    (similarity, transform), case = max(found, key=lambda one: one[0][0])
    return Found(case.name, similarity, _moved(case.labels, fixed, transform))


def _aligned(fixed: Any, moving: Any, seed: int) -> tuple[float, Any]:
    """The similarity after a rigid alignment, and the transform that takes points of `fixed` to `moving`."""
    import SimpleITK as sitk

    start = sitk.CenteredTransformInitializer(
        fixed, moving, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.GEOMETRY
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    share = min(1.0, max(SHARE, LEAST / fixed.GetNumberOfPixels()))
    method.SetMetricSamplingPercentage(share, seed + 1)  # of 0, ITK makes the time
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, STEPS)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(_shrink(fixed.GetSize()))
    method.SetSmoothingSigmasPerLevel([0.0] * len(_shrink(fixed.GetSize())))
    method.SetInitialTransform(start, inPlace=False)
    try:
        transform = method.Execute(fixed, moving)
    except RuntimeError:  # the images do not overlap, or are flat
        return -np.inf, sitk.Euler3DTransform()
    return -float(method.GetMetricValue()), transform


def _shrink(size: Sequence[int]) -> list[int]:
    """The factors that leave at least 16 voxels along the shortest axis, and 1."""
    return [factor for factor in SHRINK if factor == 1 or min(size) >= 16 * factor]


def _moved(labels: NiftiVolume, fixed: Any, transform: Any) -> npt.NDArray[np.int32]:
    import SimpleITK as sitk

    moving = _image(labels, np.int32)
    moved = sitk.Resample(moving, fixed, transform, sitk.sitkNearestNeighbor, 0)
    return sitk.GetArrayFromImage(moved).T.astype(np.int32)


def _image(volume: NiftiVolume, kind: Any = np.float32) -> Any:
    """An ITK image of a volume (X, Y, Z) with an affine in RAS."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.array.T, kind))
    to_lps = np.diag([-1.0, -1.0, 1.0]) @ volume.affine[:3, :3]
    sizes = np.linalg.norm(to_lps, axis=0)
    u, _, v = np.linalg.svd(to_lps / sizes)  # ITK takes no sheared directions
    image.SetSpacing(sizes.tolist())
    image.SetDirection((u @ v).ravel().tolist())
    image.SetOrigin((np.diag([-1.0, -1.0, 1.0]) @ volume.affine[:3, 3]).tolist())
    return image
