"""One case of a raw data set on disk: the names of its files, whether they are there, and writing them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnunet_prompt.common.errors import DatasetError, ImageError
from nnunet_prompt.data.case import Case, load_canonical, save_canonical, values_in
from nnunet_prompt.io.geometry import same_geometry
from nnunet_prompt.io.nifti import NiftiVolume, read_grid, read_stored, read_stored_labels

FILE_ENDING = ".nii.gz"
DESCRIPTION = "dataset.json"  # a data set that has none is not finished


@dataclass(frozen=True, slots=True)
class Place:
    """Where the files of a case go: `part` is "Tr" or "Ts", label ids may be 0 to `max_label`."""

    folder: Path
    part: str
    max_label: int

    def images(self, case: Case) -> list[Path]:
        """One file per channel."""
        return [
            self.folder / f"images{self.part}" / f"{case.case_id}_{i:04d}{FILE_ENDING}"
            for i in range(len(case.images))
        ]

    def label(self, case: Case) -> Path:
        """The file of the label map, which the case need not have."""
        return self.folder / f"labels{self.part}" / f"{case.case_id}{FILE_ENDING}"

    def is_complete(self, case: Case) -> bool:
        """Whether all files of the case are there, readable to their ends, on one grid, with ids up to `max_label`.

        The grid has the voxels of the source, where that is a file. Other programs may have left anything.
        """
        images = self.images(case)
        files = images if case.label is None else [*images, self.label(case)]
        if not all(path.is_file() for path in files):
            return False
        try:
            first, *others = (read_stored(path) for path in images)
            same = all(same_geometry(first, other) for other in others)
            return same and self._label_fits(case, first) and _has_voxels_of(case, first)
        except (ImageError, OSError):
            return False

    def _label_fits(self, case: Case, image: NiftiVolume) -> bool:
        if case.label is None:
            return True
        label = read_stored_labels(self.label(case))
        ids = values_in(label.array)
        return same_geometry(image, label) and 0 <= ids[0] and ids[-1] <= self.max_label


def _has_voxels_of(case: Case, written: NiftiVolume) -> bool:
    """Whether a written image has as many voxels along its axes, in any order, as the file that it is made of."""
    source = case.images[0]
    if not isinstance(source, Path):
        return True
    try:
        return sorted(read_grid(source).shape) == sorted(written.shape)
    except ImageError:  # a source that is gone is no reason to lose what was made of it
        return True


@dataclass(frozen=True, slots=True)
class WrittenCase:
    """A case that was written; `replaced` voxels were not finite and are 0 now, None for one that is kept unread.

    `notes` state what the headers of its files contradict.
    """

    name: str
    replaced: int | None = None
    notes: tuple[str, ...] = ()


def write_case(place: Place, case: Case) -> WrittenCase:
    """Writes what `load_canonical` makes of a case, unless it is complete: then it is not written again.

    A data set that was finished is so no longer. Raises `DatasetError` for label ids outside of the allowed ones, and
    what `load_canonical` raises.
    """
    if place.is_complete(case):
        return WrittenCase(case.case_id)
    loaded = load_canonical(case)
    if loaded.label is not None:
        ids = values_in(loaded.label)
        if ids[0] < 0 or ids[-1] > place.max_label:
            wrong = ids[0] if ids[0] < 0 else ids[-1]
            raise DatasetError(
                f"case {case.case_id}: the label map holds {wrong},"
                f" expected label ids from 0 to {place.max_label}"
            )
    (place.folder / DESCRIPTION).unlink(missing_ok=True)
    if loaded.label is not None:
        path = place.label(case)
        path.parent.mkdir(exist_ok=True)
        kind = np.uint8 if place.max_label < 256 else np.uint16
        save_canonical(path, loaded.label.astype(kind, copy=False), loaded.affine)
    for path, image in zip(place.images(case), loaded.images, strict=True):
        path.parent.mkdir(exist_ok=True)
        save_canonical(path, image, loaded.affine)
    return WrittenCase(case.case_id, loaded.replaced, loaded.notes)
