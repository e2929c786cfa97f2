"""Brings the arguments of a predictor or a session into the form that they work with.

Raises `PromptError`, `ImageError` or `NNUNetPromptError` in one line with a sample of the right form.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nnunet_prompt.common.arguments import (
    LARGEST_LABEL,
    as_path,
    check_type,
    items,
    shown,
    whole_number,
)
from nnunet_prompt.common.errors import DatasetError, ImageError, NNUNetPromptError, PromptError
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.io.geometry import geometry_difference, same_geometry
from nnunet_prompt.prompts.checks import Shape
from nnunet_prompt.prompts.coerce import as_prompt_set
from nnunet_prompt.prompts.types import CasePrompts

if TYPE_CHECKING:
    from pathlib import Path

    from nnunet_prompt.data.plans_reader import ImageReader
    from nnunet_prompt.data.structures import StructureTable
    from nnunet_prompt.inference.merge import LabelMap
    from nnunet_prompt.io.nifti import NiftiVolume

Label = int | str  # a value, or the name of a structure that the model knows


def as_label(label: Any, table: StructureTable) -> int:
    """The label value of a number, or of a structure by its name or official value."""
    if isinstance(label, str):
        try:
            return table.find(label.strip()).official
        except DatasetError as error:
            raise PromptError(f"label: {error}; any number above 0 may be given, too") from error
    try:
        return whole_number("label", label, lowest=1, highest=LARGEST_LABEL)
    except NNUNetPromptError:
        known = ", ".join(f"{s.name!r} ({s.official})" for s in table.structures[:3])
        raise PromptError(
            f"label: expected a whole number above 0, found {shown(label)}; it is at most {LARGEST_LABEL},"
            f" or the name of a structure, such as {known}"
        ) from None


def as_label_map(label_map: Any, shape: Shape) -> LabelMap:
    """An array of label values from 0 up, of the image's `shape`. Raises `PromptError` for anything else."""
    array = label_map if isinstance(label_map, np.ndarray) else np.array("")
    fits = array.shape == shape and array.dtype.kind in "uif"
    if not (fits and ((array >= 0) & (array == np.rint(array))).all()):
        raise PromptError(
            f"label map: expected an array of whole numbers from 0 up with the image's shape {shape}, such as"
            f" session.predict() returns, found {shown(label_map)}"
        )
    return array


def as_case_prompts(prompts: Any, table: StructureTable) -> CasePrompts:
    """The prompts of a case, also from a dictionary: label or name to a `PromptSet`, a prompt or a list of prompts."""
    if isinstance(prompts, CasePrompts):
        return prompts
    if not isinstance(prompts, Mapping):
        raise PromptError(
            "prompts: expected CasePrompts or a dictionary, such as {500: Point((15, 33, 11))},"
            f" found {shown(prompts)}"
        )
    labels = [as_label(label, table) for label in prompts]
    if len(set(labels)) < len(labels):
        raise PromptError(f"prompts: expected each label once, found {list(prompts)}")
    sets = map(as_prompt_set, prompts.values())
    return CasePrompts(dict(zip(labels, sets, strict=True)))


def as_names(wanted: Any) -> tuple[str, ...]:
    """Names or official values of structures; one alone may stand without a list."""
    parts = [wanted] if isinstance(wanted, (str, int)) else items(wanted)
    if parts is None or not all(_is_name(part) for part in parts):
        raise NNUNetPromptError(
            f"wanted: expected names or values of structures, such as ['LV', 'scar'] or [500], found {shown(wanted)}"
        )
    return tuple(part if isinstance(part, str) else str(int(part)) for part in parts)


def as_options(options: Any) -> PredictOptions:
    """Raises `NNUNetPromptError` for what is no `PredictOptions`."""
    check_type("options", options, PredictOptions, "PredictOptions(device='cpu')")
    return cast("PredictOptions", options)


def as_sources(images: Any) -> list[NiftiVolume | Path]:
    """The channels of one case: paths and volumes, also of images in memory; one alone may stand without a list."""
    from nnunet_prompt.io.in_memory import KINDS, is_in_memory, volumes_in_memory
    from nnunet_prompt.io.nifti import NiftiVolume

    alone = isinstance(images, (str, PathLike, NiftiVolume)) or is_in_memory(images)
    parts = [images] if alone else images
    if not isinstance(parts, (list, tuple)) or not all(
        isinstance(part, (str, PathLike, NiftiVolume)) or is_in_memory(part) for part in parts
    ):
        raise ImageError(
            f"images: expected {KINDS}, or a list of them, one per channel, such as 'case_0000.nii.gz', found"
            f" {shown(images)}"
        )
    found: list[NiftiVolume | Path] = []
    for part in parts:
        if isinstance(part, NiftiVolume):
            found.append(part)
        elif is_in_memory(part):
            # headers are of files: what is in memory lies where its affine states
            found += [replace(volume, header=None) for volume in volumes_in_memory(part)]
        else:
            found.append(as_path("images", part))
    return found


def as_volumes(images: Any, reader: ImageReader | None = None) -> list[NiftiVolume]:
    """The channels of one case, read where they are paths: as the model's `reader` does it, else as nnU-Net's default.

    A file may hold several channels. Raises `ImageError` for voxels that no model can take.
    """
    from nnunet_prompt.data.plans_reader import ImageReader
    from nnunet_prompt.io.nifti import NiftiVolume

    how = ImageReader() if reader is None else reader
    volumes: list[NiftiVolume] = []
    for one in as_sources(images):
        volumes += [one] if isinstance(one, NiftiVolume) else how.read(one)
    for volume in volumes:
        _check_voxels(volume)
    return volumes


def check_channels(images: Sequence[NiftiVolume], expected: int) -> None:
    """Raises `ImageError` unless there are as many channels as a model takes, all on one grid."""
    if len(images) != expected:
        files = Counter(v.path.name for v in images)
        found = ", ".join(n if k == 1 else f"{n} with {k} channels" for n, k in files.items())
        raise ImageError(
            f"this model takes {expected} image channel(s) per case, found {len(images)}: {found};"
            " name them CASE_0000.nii.gz, CASE_0001.nii.gz ..."
        )
    first = images[0]
    for other in images[1:]:
        if not same_geometry(other, first):
            raise ImageError(
                f"{other.path}: has another geometry than {first.path}: {geometry_difference(other, first)};"
                " channels of one case must be registered and resampled to the same geometry"
            )


def _is_name(part: Any) -> bool:
    return isinstance(part, (str, int, np.integer)) and not isinstance(part, (bool, np.bool_))


def _check_voxels(volume: NiftiVolume) -> None:
    array, affine = volume.array, volume.affine
    if not isinstance(array, np.ndarray) or array.ndim != 3 or array.dtype.kind not in "buif":
        raise ImageError(
            f"{volume.path}: expected three axes of real numbers, found {shown(array)}"
        )
    # a minimum is NaN where a voxel is; this is the cheapest way to ask
    if array.dtype.kind == "f" and array.size and not np.isfinite([array.min(), array.max()]).all():
        raise ImageError(
            f"{volume.path}: expected finite voxels, found NaN or infinity; np.nan_to_num sets them to numbers"
        )
    if np.shape(affine) != (4, 4) or not np.isfinite(affine).all():
        raise ImageError(
            f"{volume.path}: expected a 4x4 affine of finite numbers, found {shown(affine)}"
        )
