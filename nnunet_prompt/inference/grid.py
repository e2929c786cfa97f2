"""From the reader frame to the network's grid and back, as nnU-Net's preprocessing does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from nnunet_prompt.prompts.frames import AxisMap, crop, flip_permute, resample
from nnunet_prompt.prompts.model import Shape

Decode = Callable[[npt.NDArray[np.floating[Any]], AxisMap], npt.NDArray[np.int32]]


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """How one case got from the reader frame to the grid.

    `to_crop` permutes and crops, `to_grid` resamples as well; spacings are in mm, in the grid's axis order.
    """

    to_crop: AxisMap
    to_grid: AxisMap
    crop_spacing: tuple[float, ...]
    grid_spacing: tuple[float, ...]
    bounds: tuple[tuple[int, int], ...]

    def restore(
        self, logits: Tensor, resampler: Callable[..., Any], decode: Decode
    ) -> npt.NDArray[np.int32]:
        """The label map in the reader frame; zero outside nnU-Net's crop.

        `logits` (L, *grid) are resampled to the crop with nnU-Net's own function before `decode` turns them into
        labels; `decode` is given the map from the crop to the reader frame.
        """
        inside = resampler(logits, self.to_crop.target_shape, self.grid_spacing, self.crop_spacing)
        labels = decode(np.asarray(inside), self.to_crop.inverse())
        whole = np.zeros(_permuted(self.to_crop), np.int32)
        whole[tuple(slice(low, high) for low, high in self.bounds)] = labels
        return whole.transpose(np.argsort(self.to_crop.axes))


def grid_of(
    properties: Mapping[str, Any],
    transpose_forward: Sequence[int],
    grid: Shape,
    spacing: Sequence[float],
) -> Grid:
    """The maps of one case from nnU-Net's `properties` after preprocessing.

    `spacing` is the configuration's: three numbers, or two for a 2d configuration, which keeps the slices.
    """
    transposed: Shape = tuple(int(n) for n in properties["shape_before_cropping"])  # type: ignore[assignment]
    back = np.argsort(transpose_forward)
    reader: Shape = tuple(transposed[i] for i in back)  # type: ignore[assignment]
    bounds = tuple((int(a), int(b)) for a, b in properties["bbox_used_for_cropping"])
    permuted = flip_permute(list(transpose_forward), (False, False, False), reader)
    cropped = permuted.then(crop(transposed, bounds))
    here = tuple(float(properties["spacing"][i]) for i in transpose_forward)
    there = tuple(float(s) for s in spacing)
    return Grid(
        to_crop=cropped,
        to_grid=cropped.then(resample(cropped.target_shape, grid)),
        crop_spacing=here,
        grid_spacing=(here[0], *there) if len(there) == 2 else there,
        bounds=bounds,
    )


def _permuted(to_crop: AxisMap) -> tuple[int, ...]:
    return tuple(to_crop.source_shape[a] for a in to_crop.axes)
