"""The known defects of the real downloads, done to the files of a phantom case.

Each function makes a `Injection`: a function of a generator and the files of a case (path to file) that gives its files
with the defect and changes nothing else. `ending` picks files by how their names end without `.nii.gz`: `_gd`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import affine_transform

from nnunet_prompt.phantom.record import File
from nnunet_prompt.phantom.scanner import Volume
from nnunet_prompt.prompts.frames import flip_permute

Injection = Callable[[np.random.Generator, Mapping[str, File]], dict[str, File]]
SUFFIX = ".nii.gz"
_APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(3968)


def change(ending: str | tuple[str, ...], edit: Callable[[Volume], Volume]) -> Injection:
    """Changes the volumes of these endings; "" is every volume."""

    def inject(rng: np.random.Generator, files: Mapping[str, File]) -> dict[str, File]:
        del rng
        return {
            name: edit(file) if isinstance(file, Volume) and _ends(name, ending) else file
            for name, file in files.items()
        }

    return inject


def one_after_another(*injections: Injection) -> Injection:
    """Several defects in one case."""

    def inject(rng: np.random.Generator, files: Mapping[str, File]) -> dict[str, File]:
        found = dict(files)
        for one in injections:
            found = one(rng, found)
        return found

    return inject


def stored_as(ending: str | tuple[str, ...], dtype: str) -> Injection:
    """Stores the volumes in another type: a label map as float."""
    return change(ending, lambda v: replace(v, array=v.array.astype(dtype)))


def values_become(ending: str | tuple[str, ...], values: Mapping[int, int]) -> Injection:
    """Replaces label values by others, everywhere."""

    def edit(volume: Volume) -> Volume:
        array = volume.array.copy()
        for old, new in values.items():
            array[volume.array == old] = new
        return replace(volume, array=array)

    return change(ending, edit)


def a_tenth_becomes(ending: str | tuple[str, ...], old: int, new: int) -> Injection:
    """Replaces a label value by another in every tenth of its voxels: a stray value."""

    def edit(volume: Volume) -> Volume:
        array = volume.array.copy()
        array.flat[np.flatnonzero(array == old)[::10]] = new
        return replace(volume, array=array)

    return change(ending, edit)


def not_finite(ending: str | tuple[str, ...]) -> Injection:
    """Makes the image float32 with seven voxels NaN and three infinite, in a corner."""

    def edit(volume: Volume) -> Volume:
        array = volume.array.astype(np.float32)
        array.flat[:7], array.flat[7:10] = np.nan, np.inf
        return replace(volume, array=array)

    return change(ending, edit)


def fourth_axis(ending: str | tuple[str, ...]) -> Injection:
    """Gives the files a trailing axis of length one."""
    return change(ending, lambda v: replace(v, fourth_axis=True))


def lost_affine(ending: str | tuple[str, ...]) -> Injection:
    """Replaces directions and place in the header by none; the spacing stays."""

    def edit(volume: Volume) -> Volume:
        return replace(volume, affine=np.diag([*spacing_of(volume), 1.0]))

    return change(ending, edit)


def on_another_grid(
    ending: str | tuple[str, ...], step: Sequence[float], *, order: int
) -> Injection:
    """Resamples the files to voxels `step` times as long along each file axis, over the same field of view."""
    return change(ending, lambda v: regridded(v, step, order=order))


def reoriented(
    ending: str | tuple[str, ...], axes: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> Injection:
    """Stores the files in another orientation, their affine with them: the same place in the world."""

    def edit(volume: Volume) -> Volume:
        turn = flip_permute(axes, flips, volume.array.shape)
        affine = volume.affine @ np.linalg.inv(turn.matrix())
        return replace(volume, array=np.ascontiguousarray(turn.apply(volume.array)), affine=affine)

    return change(ending, edit)


def slice_thickness(ending: str | tuple[str, ...], mm: float) -> Injection:
    """Writes another spacing of the slices (the shortest axis) into the header."""

    def edit(volume: Volume) -> Volume:
        axis, affine = int(np.argmin(volume.array.shape)), volume.affine.copy()
        affine[:3, axis] *= mm / spacing_of(volume)[axis]
        return replace(volume, affine=affine)

    return change(ending, edit)


def one_slice(label: str) -> Injection:
    """Keeps of all volumes the slice (along the shortest axis) that shows most of the label map ending in `label`."""

    def inject(rng: np.random.Generator, files: Mapping[str, File]) -> dict[str, File]:
        shown = next(f for n, f in files.items() if _ends(n, label) and isinstance(f, Volume)).array
        axis = int(np.argmin(shown.shape))
        others = tuple(a for a in range(3) if a != axis)
        index = int(np.argmax(np.count_nonzero(shown, axis=others)))

        def edit(volume: Volume) -> Volume:
            start = np.eye(4)
            start[axis, 3] = index
            return replace(
                volume,
                array=np.ascontiguousarray(np.take(volume.array, [index], axis)),
                affine=volume.affine @ start,
            )

        return change("", edit)(rng, files)

    return inject


def uncompressed(ending: str | tuple[str, ...]) -> Injection:
    """Stores these files as `.nii`, beside the others' `.nii.gz`."""

    def inject(rng: np.random.Generator, files: Mapping[str, File]) -> dict[str, File]:
        del rng
        return {
            name.removesuffix(".gz") if _ends(name, ending) else name: file
            for name, file in files.items()
        }

    return inject


def resource_forks(rng: np.random.Generator, files: Mapping[str, File]) -> dict[str, File]:
    """Adds what a Mac adds to a zip file: `._` files beside the real ones and in a folder `__MACOSX`."""
    del rng
    found = dict(files)
    for name in files:
        path = PurePosixPath(name)
        fork = path.with_name(f"._{path.name}")
        found[str(fork)] = found[f"__MACOSX/{fork}"] = _APPLE_DOUBLE
    return found


def copied_to(folder: str) -> Injection:
    """A second copy of all files of the case in another folder, such as an unaligned version."""

    def inject(rng: np.random.Generator, files: Mapping[str, File]) -> dict[str, File]:
        del rng
        return {**files, **{f"{folder}/{name}": file for name, file in files.items()}}

    return inject


def spacing_of(volume: Volume) -> npt.NDArray[np.float64]:
    """Spacing in mm along each file axis."""
    return np.asarray(np.linalg.norm(volume.affine[:3, :3], axis=0))


def regridded(volume: Volume, step: Sequence[float], *, order: int) -> Volume:
    """The volume with voxels `step` times as long along each file axis, over the same field of view."""
    steps = np.asarray(step, dtype=np.float64)
    shape = [max(1, round(n / s)) for n, s in zip(volume.array.shape, steps, strict=True)]
    array: npt.NDArray[Any] = affine_transform(
        volume.array, steps, (steps - 1) / 2, output_shape=tuple(shape), order=order, mode="nearest"
    )
    change_of_index = np.diag([*steps, 1.0])
    change_of_index[:3, 3] = (steps - 1) / 2
    return replace(volume, array=array, affine=volume.affine @ change_of_index)


def _ends(name: str, ending: str | tuple[str, ...]) -> bool:
    return PurePosixPath(name).name.removesuffix(SUFFIX).endswith(ending) and name.endswith(SUFFIX)
