"""The .npz files of CVPR's interactive challenge: arrays, and lists of dictionaries that numpy stores as pickles.

    imgs       (D, H, W), the image
    spacing    three numbers in mm, in the order of those axes
    boxes      per object {"z_min", "z_max", "z_mid", "z_mid_x_min", "z_mid_y_min", "z_mid_x_max", "z_mid_y_max"}
    clicks     per object {"fg": [[z, y, x], ...], "bg": [...]}
    prev_pred  (D, H, W), the mask of the step before: k for object k, counted from 1
    segs       (D, H, W), uint8, what is written

Boxes include their upper corners. A pickle could hold any program; only the few names that numbers and arrays need are
accepted, so reading a file runs no code of it.
"""

from __future__ import annotations

import pickle
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.arguments import items, shown, three_numbers
from nnunet_prompt.common.errors import ImageError, NNUNetPromptError, PromptFileError
from nnunet_prompt.io.atomic import replacing
from nnunet_prompt.prompts.types import Box, Point, PromptSet

_BOX = tuple(f"z_mid_{axis}_{end}" for end in ("min", "max") for axis in "xy")
_HARMLESS = {  # module without numpy's own prefix -> names
    "multiarray": ("_reconstruct", "scalar"),
    "numeric": ("_frombuffer",),
    "": ("dtype", "ndarray"),
}
_BROKEN = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, slots=True, eq=False)
class NpzCase:
    """A file as arrays (X, Y, Z), its spacing along these axes, and what is stated about each object, from 1."""

    image: npt.NDArray[Any]
    spacing: tuple[float, float, float]
    prompts: dict[int, PromptSet]
    before: npt.NDArray[Any] | None


def read_npz(path: Path) -> NpzCase:
    """Reads a file. Raises `ImageError` for the image and `PromptFileError` for what is stated, in one line."""
    content = _arrays(path)
    image = _volume(path, "imgs", content.get("imgs"))
    spacing = three_numbers(f"{path}: spacing", content.get("spacing", (1, 1, 1)))
    if min(spacing) <= 0:
        raise ImageError(f"{path}: spacing: expected numbers above 0, found {spacing}")
    z, y, x = spacing
    before = content.get("prev_pred")
    mask = None if before is None else _volume(path, "prev_pred", before)
    if mask is not None and (mask.shape != image.shape or mask.dtype.kind not in "bui"):
        raise ImageError(
            f"{path}: prev_pred: expected whole numbers of the shape {image.shape[::-1]}, found {shown(before)}"
        )
    prompts = _prompts(path, content)
    for label, said in prompts.items():
        try:
            said.check_inside(image.shape)
        except NNUNetPromptError as error:
            raise PromptFileError(f"{path}: object {label}: {error}, axes x, y, z") from None
    return NpzCase(image, (x, y, z), prompts, mask if mask is not None and mask.any() else None)


def write_segs(path: Path, labels: npt.NDArray[Any]) -> None:
    """Writes a label map (X, Y, Z) as `segs`; the file appears only when it is complete."""
    segs = np.ascontiguousarray(labels.T)
    segs = segs.astype(np.promote_types(np.uint8, np.min_scalar_type(int(segs.max(initial=0)))))
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, segs=segs)


def _arrays(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            found = {}
            for name in names:
                with archive.open(name) as file:
                    found[name.removesuffix(".npy")] = _array(file)
            return found
    except pickle.UnpicklingError as error:
        raise ImageError(f"{path}: {error}") from None
    except _BROKEN as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{path}: cannot be read as .npz ({reason})") from None


def _array(file: IO[bytes]) -> npt.NDArray[Any]:
    """One array; of objects only what `_Plain` lets pass."""
    version = np.lib.format.read_magic(file)
    read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
    if version[0] not in read:
        raise ValueError(f"format {version} of an array is unknown")
    shape, fortran, dtype = read[version[0]](file)
    if dtype.hasobject:
        found = _Plain(file).load()
        if not isinstance(found, np.ndarray) or found.dtype != object:
            raise ValueError("a list is stored in an unknown way")
        return found.reshape(shape)
    flat = np.frombuffer(file.read(), dtype)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


class _Plain(pickle.Unpickler):
    """Unpickles numbers, texts, lists, dictionaries and arrays of numpy, and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        part = module.removeprefix("numpy").removeprefix("._core").removeprefix(".core")
        known = module.split(".")[0] == "numpy" and name in _HARMLESS.get(part.lstrip("."), ())
        if known:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(
            f"holds {module}.{name}, expected numbers and lists alone; it is not opened, for it could run a program"
        )


def _volume(path: Path, key: str, found: Any) -> npt.NDArray[Any]:
    if not isinstance(found, np.ndarray) or found.ndim != 3 or found.dtype.kind not in "buif":
        raise ImageError(f"{path}: {key}: expected numbers (D, H, W), found {shown(found)}")
    if 0 in found.shape or (found.dtype.kind == "f" and not np.isfinite(found).all()):
        raise ImageError(f"{path}: {key}: expected finite voxels, found {shown(found)}")
    return found.T


def _prompts(path: Path, content: dict[str, Any]) -> dict[int, PromptSet]:
    boxes, clicks = (_objects(path, key, content.get(key)) for key in ("boxes", "clicks"))
    if boxes and clicks and len(boxes) != len(clicks):
        raise PromptFileError(
            f"{path}: expected boxes and clicks of the same objects, found {len(boxes)} and {len(clicks)}"
        )
    sets = {}
    for i in range(max(len(boxes), len(clicks))):
        box = (_box(f"{path}: boxes[{i}]", boxes[i]),) if boxes else ()
        points = _points(f"{path}: clicks[{i}]", clicks[i]) if clicks else ()
        sets[i + 1] = PromptSet(points, box)
    return sets


def _objects(path: Path, key: str, found: Any) -> list[Any]:
    """What is listed for each object; nothing, where the key is missing."""
    if found is None:
        return []
    parts = items(found)
    if parts is None or not all(isinstance(one, dict) for one in parts):
        raise PromptFileError(
            f"{path}: {key}: expected one dictionary per object, found {shown(found)}"
        )
    return parts


def _box(where: str, found: dict[str, Any]) -> Box:
    missing = next((k for k in ("z_min", "z_max", *_BOX) if k not in found), None)
    if missing:
        raise PromptFileError(f"{where}: {missing}: expected a number, found none")
    x0, y0, x1, y1 = (found[key] for key in _BOX)
    try:
        low = three_numbers("lower corner", (x0, y0, found["z_min"]))
        high = three_numbers("upper corner", (x1, y1, found["z_max"]))
        return Box(low, (high[0] + 1, high[1] + 1, high[2] + 1))
    except NNUNetPromptError as error:
        raise PromptFileError(f"{where}: {error}") from None


def _points(where: str, found: dict[str, Any]) -> tuple[Point, ...]:
    points = []
    for key, positive in (("fg", True), ("bg", False)):
        parts = items(found.get(key, []))
        if parts is None:
            raise PromptFileError(f"{where}: {key}: expected a list, found {shown(found[key])}")
        for one in parts:
            try:
                z, y, x = three_numbers(key, one)
            except NNUNetPromptError as error:
                raise PromptFileError(f"{where}: {error}") from None
            points.append(Point((x, y, z), positive))
    return tuple(points)
