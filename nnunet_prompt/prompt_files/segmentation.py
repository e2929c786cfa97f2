"""Rough masks from label maps (ITK-SNAP and others, NIfTI) and from segmentations of 3D Slicer (.seg.nrrd, .nrrd).

A .seg.nrrd has one or several layers; `SegmentN_Name`, `SegmentN_LabelValue` and `SegmentN_Layer` in its header state
which voxels are which segment. It may hold only a part of the image's grid, or lie on another one: then nearest
neighbour decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import ImageError, PromptError
from nnunet_prompt.io.geometry import geometry_difference, same_geometry
from nnunet_prompt.io.image_files import read_label_file
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.prompt_files.label_text import LabelText
from nnunet_prompt.prompt_files.located import Located, MaskAt
from nnunet_prompt.prompts.world import carry_mask

NRRD_ENDINGS = (".nrrd", ".nhdr")
BoolArray = npt.NDArray[np.bool_]
Warn = Callable[[str], None]
_SEGMENT = re.compile(r"Segment(?P<number>[0-9]+)_(?P<key>Name|LabelValue|Layer|ID)")


@dataclass(frozen=True, slots=True, eq=False)
class Layers:
    """Label maps on one grid.

    array   (X, Y, Z, layers)
    affine  4x4, RAS+, mm
    header  the text fields of an NRRD file
    notes   what had to be decided about its geometry (docs/headers.md)
    """

    array: npt.NDArray[Any]
    affine: npt.NDArray[np.float64]
    header: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """That of each label map."""
        return self.array.shape[:3]


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment: the voxels of `value` in `layer`; `name` is what the user calls it."""

    name: str
    value: int
    layer: int = 0


def read_mask(path: Path, value: int | None, image: NiftiVolume, warn: Warn) -> BoolArray:
    """The voxels of a label map that have `value`, or are not 0, for a mask that must lie on the image's grid.

    Raises `PromptError` for another grid.
    """
    layers = read_layers(path)
    for note in layers.notes:
        warn(f"{path}: {note}")
    if layers.shape != image.shape:
        raise PromptError(f"mask {path}: its shape is {layers.shape}, the image's {image.shape}")
    if not same_geometry(layers, image):
        raise PromptError(
            f"mask {path}: its affine is not that of the image {image.path}:"
            f" {geometry_difference(layers, image)}"
        )
    chosen = layers.array != 0 if value is None else layers.array == value
    return np.asarray(chosen.any(-1))


def masks_of(path: Path, names: tuple[str, ...]) -> list[Located]:
    """The masks of a label map or a segmentation, one per segment; `names` are what the file name states of a label.

    A label map without names in it has one mask for each value, which is its label; one that has a single value may be
    named by the file. Raises `ImageError` for a file that cannot be read or has no segment.
    """
    layers = read_layers(path)
    segments = _segments(layers.header)
    if segments is None:
        values = [int(v) for v in np.unique(layers.array) if v]
        only = names if len(values) == 1 else ()
        segments = [Segment("", v) for v in values]
    else:
        only = names if len(segments) == 1 else ()
    if not segments:
        raise ImageError(f"{path}: holds no segment, all its voxels are 0")
    wrong = next((s for s in segments if not 0 <= s.layer < layers.array.shape[-1]), None)
    if wrong is not None:
        raise ImageError(
            f"{path}: segment {wrong.name!r} is in layer {wrong.layer}, but there are {layers.array.shape[-1]}"
        )
    return [
        Located(
            f"{path.name}: {f'segment {s.name!r}' if s.name else f'value {s.value}'}",
            LabelText(tuple(text for text in (s.name, *only, str(s.value)) if text)),
            MaskAt(path, partial(_carried, path, layers, s)),
        )
        for s in segments
    ]


def _carried(
    path: Path, layers: Layers, segment: Segment, image: NiftiVolume, warn: Warn
) -> BoolArray:
    """The mask of a segment on the grid of an image."""
    mask = layers.array[..., segment.layer] == segment.value
    for note in layers.notes:
        warn(f"{path}: {note}")
    if same_geometry(layers, image):
        return np.asarray(mask)
    if not mask.any():
        raise PromptError(f"{path}: the segment is empty")
    moved = carry_mask(mask, layers.affine, image.affine, image.shape)
    if not moved.any():
        raise PromptError(
            f"{path}: the segment lies outside the image {image.path}, or between its voxels: is it of that image?"
        )
    warn(
        f"{path.name}: has another geometry than the image ({mask.shape} and {image.shape}); moved by nearest neighbour"
    )
    return moved


def read_layers(path: Path) -> Layers:
    """Reads a label map. Raises `ImageError` for one that cannot be read or does not hold integers."""
    if not path.name.lower().endswith(NRRD_ENDINGS):
        volume = read_label_file(path)
        return Layers(volume.array[..., None], volume.affine, {}, volume.notes)
    import SimpleITK

    sitk: Any = SimpleITK  # it has no types
    if not path.is_file():
        raise ImageError(f"{path}: no such file")
    try:
        image = sitk.ReadImage(str(path))
        voxels = sitk.GetArrayFromImage(image)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[-150:]
        raise ImageError(f"{path}: cannot be read: {reason}") from error
    if image.GetDimension() != 3 or voxels.dtype.kind not in "ui":
        raise ImageError(
            f"{path}: expected a label map of three axes and integers, found {image.GetDimension()} and {voxels.dtype}"
        )
    voxels = voxels if image.GetNumberOfComponentsPerPixel() > 1 else voxels[..., None]
    affine = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    affine[:3, :3] = direction * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    header = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    return Layers(voxels.transpose(2, 1, 0, 3), np.diag([-1.0, -1, 1, 1]) @ affine, header)


def _segments(header: dict[str, str]) -> list[Segment] | None:
    """The segments that a header describes, in their order; None if it describes none."""
    found: dict[int, dict[str, str]] = {}
    for key, value in header.items():
        match = _SEGMENT.fullmatch(key)
        if match:
            found.setdefault(int(match["number"]), {})[match["key"]] = value.strip()
    try:
        return [
            Segment(
                one.get("Name") or one.get("ID", ""),
                int(one.get("LabelValue", 1)),
                int(one.get("Layer", 0)),
            )
            for _, one in sorted(found.items())
        ] or None
    except ValueError as error:
        raise ImageError(
            f"a segment's LabelValue or Layer is not a whole number: {error}"
        ) from error
