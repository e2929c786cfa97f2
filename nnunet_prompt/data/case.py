"""A case on its way from a download to nnU-Net raw data: where it is, and what it is once it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import nibabel as nib
import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import DatasetError, ImageError
from nnunet_prompt.io.atomic import save_nifti
from nnunet_prompt.io.geometry import Lattice, geometry_difference, same_geometry
from nnunet_prompt.io.nifti import NiftiVolume, read_stored, read_stored_labels
from nnunet_prompt.prompts.frames import AxisMap, canonical_map

LARGEST_VALUE = 65535  # label values up to here are looked up in a table
_BLOCK = 1 << 16  # so many voxels are counted at once: they stay in the cache


@dataclass(frozen=True, slots=True)
class FileVolume:
    """One volume of a four-dimensional file: a channel."""

    path: Path
    volume: int


@runtime_checkable
class Source(Protocol):
    """A volume that is made from its files when it is needed, such as one that lies on another grid."""

    def load(self) -> NiftiVolume:
        """The volume: float32 for an image, int32 for a label map, or integers of at most 16 bits for both."""
        ...


ImageSource = Path | FileVolume | Source | npt.NDArray[Any]
LabelSource = Path | Source | npt.NDArray[Any]


def file_of(source: ImageSource | LabelSource | None) -> Path | None:
    """The file that a volume comes from: itself, or the `path` of its source; None for arrays and other sources."""
    path = source if isinstance(source, Path) else getattr(source, "path", None)
    return path if isinstance(path, Path) else None


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One case: its channels, its label map and what is known about it. Files are read only when they are needed.

    `task`, `patient`, `centre`, `vendor`, `modality`, `source` and `sequence` go to the side file only and never into
    `dataset.json`.
    """

    case_id: str
    images: tuple[ImageSource, ...]  # one per channel; arrays are in the file frame of `affine`
    label: LabelSource | None = None
    annotated: frozenset[str] | None = None  # structures that supervise their heads; None: all
    # 4x4, RAS+, mm; needed for arrays, unused otherwise
    affine: npt.NDArray[np.float64] | None = None
    # label id of each value, others are an error; None: values are ids
    label_values: Mapping[int, int] | None = None
    patient: str | None = None
    centre: str | None = None
    source: str | None = None
    sequence: str | None = None
    # structures that the label map shows, for the object head; None: the annotated
    prompted: frozenset[str] | None = None
    task: str | None = None
    vendor: str | None = None
    modality: str | None = None

    def side_information(self) -> dict[str, str]:
        """The entry of the case in the side file; unknown facts are left out."""
        known = {
            "patient": self.patient,
            "centre": self.centre,
            "source": self.source,
            "sequence": self.sequence,
            "task": self.task,
            "vendor": self.vendor,
            "modality": self.modality,
        }
        return {key: value for key, value in known.items() if value is not None}


@dataclass(frozen=True, slots=True, eq=False)
class CanonicalCase:
    """A case in the reader frame of canonical data sets.

    `images` is (C, D, H, W), float32 or integers of at most 16 bits; `label` is (D, H, W), integers, and holds label
    ids; `affine` (4x4, RAS+, mm) belongs to the axes D, H, W; `replaced` counts voxels that were NaN or infinite and
    are 0 now; `notes` state what the headers contradict. The arrays may be views of each other's memory: they are for
    reading.
    """

    images: npt.NDArray[Any]
    label: npt.NDArray[Any] | None
    affine: npt.NDArray[np.float64]
    replaced: int
    notes: tuple[str, ...] = ()


def load_canonical(case: Case) -> CanonicalCase:
    """Reads a case, checks that its parts share one grid, and reorients it to the canonical orientation.

    A label map that lies on the same world grid in another orientation is reoriented, too. Raises `DatasetError` for a
    case without images and for a label value that `label_values` does not list, `ImageError` for what cannot be read
    and for grids that differ.
    """
    if not case.images:
        raise DatasetError(f"case {case.case_id}: it has no image")
    first, *others = (_image(case, source) for source in case.images)
    for other in others:
        if not same_geometry(first, other):
            raise ImageError(
                f"case {case.case_id}: {_differ(other, first)}: resample them to the same geometry"
            )
    turn = canonical_map(first.affine, first.shape)
    turned = [turn.apply(volume.array) for volume in (first, *others)]
    images = np.stack(turned) if others else turned[0][None]  # a view, which copies nothing
    affine = first.affine @ np.linalg.inv(turn.matrix())
    replaced = first.replaced + sum(volume.replaced for volume in others)
    notes = [f"{v.path}: {note}" for v in (first, *others) for note in v.notes]
    if case.label is None:
        return CanonicalCase(images, None, affine, replaced, tuple(notes))
    labels = _label(case)
    notes += [f"{labels.path}: {note}" for note in labels.notes]
    return CanonicalCase(images, _on_image(case, labels, first), affine, replaced, tuple(notes))


def save_canonical(path: Path, array: npt.NDArray[Any], affine: npt.NDArray[np.float64]) -> None:
    """Writes an array of the reader frame so that nnU-Net's readers hand over exactly this array.

    `array` is (D, H, W), `affine` belongs to these axes. Integers keep their type; float32 becomes int16 where that
    changes no value. qform carries the nearest rotation, because ITK reads no sheared affine; sform carries the affine
    itself.
    """
    reverse = np.eye(4)[[2, 1, 0, 3]]
    file_affine = affine @ reverse
    array = _compact(array) if array.dtype == np.float32 else array
    image = nib.Nifti1Image(np.ascontiguousarray(array).transpose(2, 1, 0), file_affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(file_affine, code=1)
    image.set_qform(file_affine, code=1, strip_shears=True)
    save_nifti(path, image)


def values_in(labels: npt.NDArray[Any]) -> tuple[int, ...]:
    """The values of a label map of any integer type, sorted; as `np.unique`, but without sorting the voxels."""
    low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, -1)
    if low < 0 or high > LARGEST_VALUE:
        return tuple(map(int, np.unique(labels)))
    counts = np.zeros(high + 1, np.int64)
    voxels = labels.ravel(order="K")  # in the order of the memory, so that nothing is copied
    for start in range(0, voxels.size, _BLOCK):
        block = voxels[start : start + _BLOCK]
        inside = block[block != 0]  # few of them, as a rule
        counts[0] += block.size - inside.size
        counts += np.bincount(inside, minlength=high + 1)
    return tuple(map(int, np.flatnonzero(counts)))


def _image(case: Case, source: ImageSource) -> NiftiVolume:
    if isinstance(source, FileVolume):
        return read_stored(source.path, volume=source.volume)
    if isinstance(source, Path):
        return read_stored(source)
    if isinstance(source, Source):
        return source.load()
    array = np.asarray(source, dtype=np.float32)
    finite = np.isfinite(array)
    replaced = int(array.size - np.count_nonzero(finite))
    return _in_memory(case, np.where(finite, array, np.float32(0)), replaced)


def _label(case: Case) -> NiftiVolume:
    source = case.label
    if isinstance(source, Path):
        return read_stored_labels(source)
    if isinstance(source, Source):
        return source.load()
    array = np.asarray(source)
    if array.dtype.kind not in "bui":
        raise ImageError(f"case {case.case_id}: labels must be integers, found type {array.dtype}")
    return _in_memory(case, array.astype(np.int32), 0)


def _on_image(case: Case, volume: NiftiVolume, image: NiftiVolume) -> npt.NDArray[Any]:
    """The label ids of a case in the canonical frame of its image."""
    turn = canonical_map(image.affine, image.shape)
    if not same_geometry(image, volume):
        # the same world grid may have been stored with other axes first
        own = canonical_map(volume.affine, volume.shape)
        if not same_geometry(_moved(image, turn), _moved(volume, own)):
            raise ImageError(
                f"case {case.case_id}: {_differ(volume, image)}: resample the label map to the image"
            )
        turn = own
    ids = volume.array if case.label_values is None else _to_ids(case, volume)
    return turn.apply(ids)


def _to_ids(case: Case, volume: NiftiVolume) -> npt.NDArray[Any]:
    assert case.label_values is not None
    values = values_in(volume.array)
    unknown = sorted(set(values) - set(case.label_values))
    if unknown:
        raise DatasetError(
            f"case {case.case_id}: {volume.path} holds the label value {unknown[0]},"
            f" expected only {sorted(case.label_values)}"
        )
    wanted = [case.label_values[v] for v in values]
    small = 0 <= min(wanted) and max(wanted) < 256
    ids = np.array(wanted, dtype=np.uint8 if small else np.int32)
    if values[0] < 0 or values[-1] > LARGEST_VALUE:
        return np.asarray(ids[np.searchsorted(values, volume.array)])
    lookup = np.zeros(values[-1] + 1, ids.dtype)
    lookup[list(values)] = ids
    found = np.empty_like(volume.array, dtype=ids.dtype)
    for plane, to in zip(volume.array.T, found.T, strict=True):  # indices take eight bytes each
        to[...] = lookup[plane]
    return found


def _moved(volume: NiftiVolume, turn: AxisMap) -> Lattice:
    """Where the voxels of a volume lie once it is reoriented."""
    return Lattice(turn.target_shape, volume.affine @ np.linalg.inv(turn.matrix()))


def _in_memory(case: Case, array: npt.NDArray[Any], replaced: int) -> NiftiVolume:
    if case.affine is None or array.ndim != 3:
        raise ImageError(
            f"case {case.case_id}: an array needs three axes and the case an affine,"
            f" found shape {array.shape} and affine {'missing' if case.affine is None else 'given'}"
        )
    affine = np.asarray(case.affine, dtype=np.float64)
    return NiftiVolume(Path("(array)"), array, affine, None, array.shape, replaced)


def _differ(found: NiftiVolume, expected: NiftiVolume) -> str:
    """One line on how two grids differ."""
    if found.shape != expected.shape:
        return f"{expected.path} has shape {expected.shape}, {found.path} {found.shape}"
    return (
        f"{expected.path} and {found.path} lie at different places (the second has the"
        f" {geometry_difference(found, expected)})"
    )


def _compact(image: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """The image as int16 where that changes no value, because it packs better."""
    limits = np.iinfo(np.int16)
    whole = np.empty(image.shape, np.int16)
    for plane, to in zip(image, whole, strict=True):  # the first plane with a fraction ends it
        if not (limits.min <= plane.min() and plane.max() <= limits.max):
            return image
        np.copyto(to, plane, casting="unsafe")
        if not np.array_equal(to, plane):
            return image
    return whole
