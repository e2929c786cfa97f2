"""The scanner: from a synthetic body to an image with a centre's contrast, noise, voxel size and orientation.

Bodies are generated as maps of tissues in the frame (row, column, slice): rows towards posterior, columns towards left,
slices towards superior, or from base to apex in a short-axis stack. Files are written in the frame of their centre.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, zoom
from scipy.spatial.transform import Rotation

from nnunet_prompt.prompts.frames import flip_permute

FloatArray = npt.NDArray[np.float64]
Spacing = tuple[float, float, float]
Shape = tuple[int, int, int]
HU_RANGE = (-1024, 3071)  # twelve bits, as CT scanners store them


@dataclass(frozen=True, slots=True)
class Site:
    """How a centre scans and stores.

    `contrast` gives the mean signal of each tissue in each sequence: Hounsfield units in CT, else shares of a bright
    tissue's signal, in which `noise` is measured as well. `bias` is the strength of the receive field, `gain` what a
    signal of 1 is stored as (both unused in CT). A volume in the file has the axes `axes` of the generated one,
    reversed where `flips` is set; `tilt_deg` is the spread of the angles between generated axes and scanner axes.
    """

    name: str
    contrast: Mapping[str, Mapping[int, float]]
    in_plane_mm: tuple[float, float]
    slice_mm: tuple[float, float]
    axes: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)
    tilt_deg: float = 0.0
    noise: float = 0.05
    texture: float = 0.07
    bias: float = 0.22
    gain: float = 1000.0
    modality: Literal["MR", "CT"] = "MR"
    dtype: str = "int16"


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """One file to write: `array` (three axes, file frame) in the type that the file shall have, `affine` RAS+, mm.

    `fourth_axis` gives the file a trailing axis of length one.
    """

    array: npt.NDArray[Any]
    affine: FloatArray
    fourth_axis: bool = False


def by_name(*sites: Site) -> Mapping[str, Site]:
    """The centres of a task by their names."""
    return MappingProxyType({site.name: site for site in sites})


def darker(
    signals: Mapping[str, Sequence[float]], gamma: float
) -> Mapping[str, Mapping[int, float]]:
    """The contrast of a centre from the signals of the tissues 0, 1, ... in each sequence.

    Signals are raised to `gamma`: the larger it is, the darker what is not bright.
    """
    return {name: {t: v**gamma for t, v in enumerate(own)} for name, own in signals.items()}


def draw_spacing(rng: np.random.Generator, site: Site) -> Spacing:
    """Row, column and slice spacing in mm: one of those that the centre scans with."""
    in_plane = float(rng.uniform(*site.in_plane_mm))
    return in_plane, in_plane, float(rng.uniform(*site.slice_mm))


def scan(
    rng: np.random.Generator,
    tissue: npt.NDArray[np.integer[Any]],
    contrast: Mapping[int, float],
    site: Site,
) -> npt.NDArray[Any]:
    """The image (`site.dtype`) of a tissue map of the same shape and frame: every voxel names a tissue of `contrast`.

    Tissues scatter by a tenth from case to case and have texture; edges are blurred. MR is a magnitude with a
    receive field and Rician noise, CT is in Hounsfield units with Gaussian noise. Raises `KeyError` for a tissue that
    `contrast` does not name.
    """
    means = np.zeros(int(tissue.max(initial=0)) + 1)
    for value in np.unique(tissue):
        mean = contrast[int(value)]
        scatter = rng.uniform(-0.1, 0.1)
        means[value] = mean + scatter * (100 if site.modality == "CT" else mean)
    signal = gaussian_filter(means[tissue], _blur(tissue.shape), truncate=3)
    grain = gaussian_filter(rng.standard_normal(tissue.shape), (1.5, 1.5, 0.5), truncate=2)
    grain /= max(float(grain.std()), 1e-9)
    if site.modality == "CT":
        signal += 300 * site.texture * grain + rng.normal(0, site.noise, signal.shape)
        return np.asarray(np.clip(np.rint(signal), *HU_RANGE), site.dtype)
    signal *= (1 + site.texture * grain) * np.exp(site.bias * smooth_field(rng, tissue.shape))
    return magnitude(rng, signal, site)


def magnitude(rng: np.random.Generator, signal: FloatArray, site: Site) -> npt.NDArray[Any]:
    """The magnitude image (`site.dtype`) of a signal: Rician noise, and a gain that varies from case to case."""
    real, imaginary = rng.normal(0, site.noise, (2, *signal.shape))
    gain = site.gain * rng.uniform(0.8, 1.25)
    return np.asarray(np.rint(gain * np.hypot(signal + real, imaginary)), site.dtype)


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, ...], sigma: tuple[float, float, float]
) -> FloatArray:
    """White noise blurred by a Gaussian of `sigma` voxels: mean 0 and standard deviation 1."""
    field = gaussian_filter(rng.standard_normal(shape), sigma, truncate=3)
    return np.asarray((field - field.mean()) / field.std())


def smooth_field(
    rng: np.random.Generator, shape: tuple[int, ...], knots: tuple[int, int, int] = (4, 4, 3)
) -> FloatArray:
    """A field with mean 0 and standard deviation 1, interpolated between so many random knots along each axis."""
    knots_here = [min(k, n) for k, n in zip(knots, shape, strict=True)]
    coarse = rng.standard_normal(knots_here)
    field = zoom(coarse, [n / k for n, k in zip(shape, knots_here, strict=True)], order=1)
    return np.asarray((field - field.mean()) / max(float(field.std()), 1e-9))


def scanner_affine(
    rng: np.random.Generator,
    shape: Shape,
    spacing_mm: Spacing,
    *,
    plane: Literal["axial", "short axis"] = "axial",
    tilt_deg: float = 0.0,
) -> FloatArray:
    """The affine of a generated volume (RAS+, mm). Its middle lies near the isocentre.

    An axial volume has axes towards posterior, left and superior. The slices of a short-axis stack go left, forward
    and down. Both are rotated by about `tilt_deg` at random.
    """
    directions = _SHORT_AXIS if plane == "short axis" else np.diag([1.0, 1.0, 1.0])[:, [1, 0, 2]]
    if plane == "axial":
        directions = directions * [-1.0, -1.0, 1.0]
    turned = Rotation.from_euler("xyz", rng.normal(0, tilt_deg, 3), degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turned @ directions * spacing_mm
    affine[:3, 3] = rng.normal(0, 15, 3) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def scan_to_file(
    rng: np.random.Generator,
    tissue: npt.NDArray[np.integer[Any]],
    site: Site,
    affine: FloatArray,
    *,
    sequence: str = "",
) -> Volume:
    """The image that a centre stores of a tissue map and its affine (RAS+, mm)."""
    return to_file_frame(scan(rng, tissue, site.contrast[sequence], site), affine, site)


def to_file_frame(array: npt.NDArray[Any], affine: FloatArray, site: Site) -> Volume:
    """The volume that a centre stores of a generated array and its affine."""
    turn = flip_permute(site.axes, site.flips, array.shape)
    moved = affine @ np.linalg.inv(turn.matrix())
    return Volume(np.ascontiguousarray(turn.apply(array)), moved)


def positions(shape: Shape, spacing_mm: Spacing) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Row, column and slice position in mm from the middle of the volume, shaped to broadcast to `shape`."""
    row, column, through = (
        (np.arange(n, dtype=np.float64) - (n - 1) / 2) * mm
        for n, mm in zip(shape, spacing_mm, strict=True)
    )
    return row[:, None, None], column[None, :, None], through[None, None, :]


def _blur(shape: tuple[int, ...]) -> Spacing:
    """Partial volume, in voxels; thin stacks have less of it across their slices."""
    return (0.7, 0.7, 0.2 if shape[2] * 3 < shape[0] else 0.7)


def _short_axis() -> FloatArray:
    normal = np.array([-0.60, 0.55, -0.58])
    normal /= np.linalg.norm(normal)
    row = np.array([0.0, -1.0, 0.0])
    row -= normal * (row @ normal)
    row /= np.linalg.norm(row)
    column = np.cross(normal, row)
    return np.stack([row, column * np.sign(-column[0]), normal], axis=1)


_SHORT_AXIS = _short_axis()
