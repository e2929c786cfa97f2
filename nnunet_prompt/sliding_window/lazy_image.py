"""Images of which only the tiles that are asked for are preprocessed, with nnU-Net's statistics of the whole volume.

nnU-Net transposes, crops to what is not zero, normalises and resamples, in this order. The first three are cheap and
are done here for the whole volume; the resampling is done for one tile at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.prompts.checks import Shape
from nnunet_prompt.prompts.encode import Window
from nnunet_prompt.prompts.spans import Spans, intersection, spans_of
from nnunet_prompt.sliding_window.device_memory import send
from nnunet_prompt.sliding_window.resampling import Resampler, resampler

FloatArray = npt.NDArray[np.float32]
Bounds = list[list[int]]
MOST_VOXELS = (
    2**31
)  # of a grid; a header that asks for more is damaged, and would keep a network busy for days


class GridImage(Protocol):
    """A preprocessed image on the grid, of which a tile can be had."""

    @property
    def shape(self) -> Shape:
        """The shape of the grid."""

    @property
    def channels(self) -> int:
        """How many image channels there are."""

    def tile(self, window: Window) -> Tensor:
        """(C, *window.shape), float32 where the image is, zero where the window leaves the volume."""


@dataclass(frozen=True, eq=False)
class DenseImage:
    """An image that is there as a whole, (C, *grid)."""

    array: Tensor

    @property
    def shape(self) -> Shape:
        z, y, x = (int(n) for n in self.array.shape[1:])
        return z, y, x

    @property
    def channels(self) -> int:
        return int(self.array.shape[0])

    def tile(self, window: Window) -> Tensor:
        return nn.functional.pad(*self.inside(window))

    def on(self, device: torch.device) -> DenseImage:
        """The same image on a device."""
        return DenseImage(send(self.array, device))

    def inside(self, window: Window) -> tuple[Tensor, list[int]]:
        """The part of a window inside the volume, a view, and torch's padding around it."""
        inside, padding = inside_of(window, self.shape)
        return self.array[(slice(None), *(slice(low, high) for low, high in inside))], padding


@dataclass(frozen=True, eq=False)
class LazyImage:
    """A normalised volume, (C, *crop), that is resampled tile by tile."""

    volume: FloatArray
    resampler: Resampler
    limits: tuple[npt.NDArray[Any] | None, ...]

    @property
    def shape(self) -> Shape:
        return self.resampler.new_shape

    @property
    def channels(self) -> int:
        return len(self.volume)

    def tile(self, window: Window) -> Tensor:
        inside, padding = inside_of(window, self.shape)
        source = self.resampler.source(inside)
        origin = [low for low, _ in source]
        part = np.stack(
            [
                self.resampler.part(
                    channel[tuple(slice(low, high) for low, high in source)],
                    origin,
                    inside,
                    limits,
                ).astype(np.float32)
                for channel, limits in zip(self.volume, self.limits, strict=True)
            ]
        )
        return nn.functional.pad(torch.from_numpy(part), padding)


def image_bytes(image: GridImage) -> int:
    """The memory that an image takes."""
    if isinstance(image, LazyImage):
        return int(image.volume.nbytes)
    return 4 * image.channels * math.prod(image.shape)


def prepare(
    channels: Sequence[npt.NDArray[Any]], spacing: Sequence[float], plans: Any, configuration: Any
) -> tuple[LazyImage, dict[str, Any]] | None:
    """nnU-Net's preprocessing of one case, with the resampling left to the tiles, and nnU-Net's `properties`.

    `channels` are in the reader frame, `spacing` in its axis order; they are not changed. None where the plans ask for
    another preprocessor or another resampling than nnU-Net's default: then only the whole volume will do. Raises
    `ImageError` for an image that vanishes on the grid.
    """
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor

    kind = configuration.preprocessor_class
    if kind is not DefaultPreprocessor:
        return None
    forward = list(plans.transpose_forward)
    here, there = _spacings(spacing, forward, configuration)
    bounds = nonzero_bounds(channels)
    cropped = _shape([high - low for low, high in (bounds[a] for a in forward)])
    new_shape = _grid_shape(cropped, here, there)
    how = resampler(configuration.resampling_fn_data, cropped, new_shape, here, there)
    if how is None:
        return None
    data = _cropped(channels, bounds).transpose([0, *(a + 1 for a in forward)])
    mask = _mask(data, configuration)
    statistics = plans.foreground_intensity_properties_per_channel
    data = kind(verbose=False)._normalize(data, mask, configuration, statistics)
    properties = {
        "spacing": list(spacing),
        "shape_before_cropping": tuple(channels[0].shape[a] for a in forward),
        "bbox_used_for_cropping": [bounds[a] for a in forward],
        "shape_after_cropping_and_before_resampling": cropped,
    }
    return LazyImage(data, how, tuple(how.limits(c) for c in data)), properties


def check_whole(shape: Shape, spacing: Sequence[float], plans: Any, configuration: Any) -> None:
    """Raises `ImageError` for a volume (reader frame) that nnU-Net could not bring to the model's grid as a whole."""
    forward = list(plans.transpose_forward)
    here, there = _spacings(spacing, forward, configuration)
    _grid_shape(_shape([shape[a] for a in forward]), here, there)


def _spacings(
    spacing: Sequence[float], forward: Sequence[int], configuration: Any
) -> tuple[list[float], list[float]]:
    """The image's and the grid's spacing in the plans' axis order; a 2d grid has that of the image across slices."""
    here = [float(spacing[a]) for a in forward]
    return here, [*here[: 3 - len(configuration.spacing)], *map(float, configuration.spacing)]


def _grid_shape(shape: Shape, here: Sequence[float], there: Sequence[float]) -> Shape:
    """nnU-Net's shape of the grid. Raises `ImageError` where there is nothing left, or without end."""
    from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape

    new_shape = _shape(compute_new_shape(shape, here, there))
    found = f"the image has {shape} voxels of {here} mm"
    if 0 in new_shape:
        raise ImageError(
            f"{found}, less than half a voxel of the model's {there} mm along an axis: give the whole volume"
        )
    if math.prod(new_shape) > MOST_VOXELS:
        raise ImageError(
            f"{found}, which make {math.prod(new_shape):.1e} voxels of the model's {there} mm; expected at most"
            f" {MOST_VOXELS:.1e}: correct the spacing in the file's header"
        )
    return new_shape


def nonzero_bounds(channels: Sequence[npt.NDArray[Any]]) -> Bounds:
    """The bounding box of the voxels that are not zero in some channel; the whole volume where all are zero."""
    bounds = [[0, n] for n in channels[0].shape]
    # slabs that lie together in memory first
    for axis in sorted(range(3), key=lambda a: -abs(channels[0].strides[a])):
        inside = tuple(slice(low, high) for low, high in bounds)
        views = [np.moveaxis(c[inside], axis, 0) for c in channels]
        if all(any(v[end].any() for v in views) for end in (0, -1)):
            continue  # as most images are
        used = np.flatnonzero(np.any([v.any((1, 2)) for v in views], 0))
        if not used.size:
            return [[0, n] for n in channels[0].shape]
        bounds[axis] = [int(used[0]), int(used[-1]) + 1]
    return bounds


def _cropped(channels: Sequence[npt.NDArray[Any]], bounds: Bounds) -> FloatArray:
    """The crop of all channels, float32, laid out in memory like a part of a larger array where it is one.

    nnU-Net normalises the part in place, and numpy adds up the rows of a part in another order than those of a whole:
    the mean of millions of 32-bit numbers differs in its fifth digit.
    """
    shape = channels[0].shape
    size = [high - low for low, high in bounds]
    room = [n + (n < whole) for n, whole in zip(size, shape, strict=True)]
    data = np.empty((len(channels), *room), np.float32)[:, : size[0], : size[1], : size[2]]
    inside = tuple(slice(low, high) for low, high in bounds)
    for target, channel in zip(data, channels, strict=True):
        target[...] = channel[inside]
    return data


def _mask(data: FloatArray, configuration: Any) -> npt.NDArray[np.int8]:
    """Where nnU-Net normalises, (1, *crop): 0 inside and -1 outside; all 0 where no channel asks for it."""
    from nnunetv2.preprocessing.cropping.cropping import create_nonzero_mask

    if not any(configuration.use_mask_for_norm):
        return np.broadcast_to(np.int8(0), (1, *data.shape[1:]))
    return np.where(create_nonzero_mask(data), np.int8(0), np.int8(-1))[None]


def inside_of(window: Window, shape: Shape) -> tuple[Spans, list[int]]:
    """The part of a window inside the volume, and what is missing around it as torch's padding."""
    spans = intersection(window.spans, spans_of(shape))
    padding: list[int] = []
    for (low, high), (start, stop) in zip(spans, window.spans, strict=True):
        padding = [low - start, stop - high, *padding]  # torch pads the last axis first
    return spans, padding


def _shape(values: Sequence[Any]) -> Shape:
    a, b, c = (int(v) for v in values)
    return a, b, c
