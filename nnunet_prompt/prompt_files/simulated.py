"""Prompts as a user would give them, made from label maps: for tests, benchmarks and training of others."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.arguments import as_path, items, label_value, one_of, shown, whole_number
from nnunet_prompt.common.errors import ImageError, NNUNetPromptError
from nnunet_prompt.io.image_cases import without_ending
from nnunet_prompt.io.image_files import image_ending, read_label_file
from nnunet_prompt.io.in_memory import KINDS, is_in_memory, volumes_in_memory
from nnunet_prompt.prompts.frames import canonical_map
from nnunet_prompt.prompts.options import KINDS as PROMPT_KINDS
from nnunet_prompt.prompts.options import Kind, SimulationOptions
from nnunet_prompt.prompts.simulate import simulate
from nnunet_prompt.prompts.types import PromptSet

ByLabel = dict[int, PromptSet]


def simulate_prompts(
    labels: Any,
    *,
    kind: Kind = "slices",
    values: Sequence[int | str] | None = None,
    names: Mapping[int, str] | None = None,
    seed: int = 0,
    max_points: int = 5,
    slice_axis: int | None = None,
) -> dict[Any, Any]:
    """Prompts for each label of a label map: {500: PromptSet(...)}, or {case: {500: PromptSet(...)}} of a folder.

    labels: an array (X, Y, Z) of whole numbers or booleans (True is label 1); a label file, a nibabel or SimpleITK
        image, (array, affine) or (array, spacing); or a folder of label files, whose cases are named by them
    kind: "few" (one to five clicks, a box, or a scribble in up to three slices), "slices" (a box and points in every
        slice), "scribbles", "mask" (a rough mask, perhaps with clicks on its errors), "continue" or "none"
    values: the labels to do, by value, or by name where `names` ({500: "LV"}) has them; all, if left out
    max_points: in each slice, or in the volume
    slice_axis: the axis through the slices, 0 to 2; by default the one of the thickest voxels, else the one closest to
        head-foot, and the last of an array alone

    Coordinates are voxels of the array, in nibabel's order for files, boxes half-open. The same seed, case and labels
    give the same prompts. Raises `ImageError` for a file that cannot be read or is no label map, and
    `NNUNetPromptError` for other arguments.

        prompts = simulate_prompts("labels/case_001.nii.gz", kind="few", values=[500])
        mask = predictor.predict("images/case_001_0000.nii.gz", prompts)

    >>> mask = np.zeros((8, 8, 3), bool)
    >>> mask[2:5, 3:6, 1] = True
    >>> simulate_prompts(mask)[1].boxes[0].lower
    (2.0, 3.0, 1.0)
    """
    one_of("kind", kind, PROMPT_KINDS)
    seed = whole_number("seed", seed, lowest=0, example=1)
    count = whole_number("max_points", max_points, lowest=1, highest=1000, example=5)
    axis = slice_axis
    if axis is not None:
        axis = whole_number("slice_axis", axis, lowest=0, highest=2, example=2)
    wanted = _values(values, names or {})

    def of(array: npt.NDArray[Any], own_axis: int, rng: np.random.Generator) -> ByLabel:
        options = SimulationOptions(max_points=count, slice_axis=own_axis if axis is None else axis)
        found = [int(v) for v in np.unique(array) if v > 0]
        chosen = found if wanted is None else [v for v in found if v in wanted]
        return {v: simulate(array == v, rng, kind=kind, options=options) for v in chosen}

    if isinstance(labels, np.ndarray):
        return of(_checked(labels), 2, np.random.default_rng(seed))
    if is_in_memory(labels):
        volume = volumes_in_memory(labels)[0]
        array = _checked(volume.array)
        return of(array, _through(volume.affine, array.shape), np.random.default_rng(seed))
    if not isinstance(labels, (str, PathLike)):
        raise ImageError(f"labels: expected a label map: an array, {KINDS}, found {shown(labels)}")
    path = as_path("labels", labels)
    results = {}
    for file in _files(path):
        case = without_ending(file.name)
        rng = np.random.default_rng([seed, zlib.crc32(case.encode("utf-8", "replace"))])
        volume = read_label_file(file)
        results[case] = of(_checked(volume.array), _through(volume.affine, volume.shape), rng)
    return results if path.is_dir() else next(iter(results.values()))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(p for p in path.iterdir() if image_ending(p.name) and p.is_file())
    if not files:
        raise ImageError(f"{path}: holds no label map, expected files such as case_001.nii.gz")
    return files


def _through(affine: npt.NDArray[np.float64], shape: tuple[int, ...]) -> int:
    """The axis through the slices, as data sets in canonical orientation have it first."""
    x, y, z = shape
    return canonical_map(affine, (x, y, z)).axes[0]


def _checked(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    fits = array.ndim == 3 and array.dtype.kind in "buif"
    if not fits or not ((array >= 0) & (array == np.rint(array))).all():
        raise ImageError(
            f"labels: expected an array (X, Y, Z) of whole numbers from 0 up, found {shown(array)}"
        )
    return array.astype(np.uint8) if array.dtype.kind == "b" else array


def _values(values: Sequence[int | str] | None, names: Mapping[int, str]) -> frozenset[int] | None:
    if values is None:
        return None
    parts = [values] if isinstance(values, (int, str)) else items(values)
    if parts is None:
        raise NNUNetPromptError(
            f"values: expected labels such as [500, 'LV'], found {shown(values)}"
        )
    return frozenset(label_value("values", part, names) for part in parts)
