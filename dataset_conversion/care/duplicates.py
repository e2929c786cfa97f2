"""One image in two places of the downloads: found by what it shows, so that its two cases become one patient.

LAScarQS compares all its cases while it examines them. `merge_patients` compares the cases of all tasks, and to be
quick it reads only images that have the shape, in any order of the axes, of another patient's: few of the large
volumes have, so it reads some hundreds of short-axis stacks, of about 10 ms each, and little else (a CT of 512 x 512 x
225 voxels would take a second). A copy that was cropped or resampled is not found.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import nibabel as nib
import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.common.log import progress_bar
from nnunet_prompt.data.case import Case, file_of
from nnunet_prompt.io.nifti import NiftiVolume, read_nifti

from .inspect import Examined

THUMBNAIL = (32, 32, 16)
SAME_IMAGE = 0.999  # correlation of two thumbnails from which on they show one image
SEARCHED = frozenset({"lascarqs"})  # tasks whose converter has compared its own cases
WORKERS = min(4, os.cpu_count() or 1)  # each holds an image in memory


def merge_patients(examined: Sequence[Examined]) -> list[Examined]:
    """The same, with one patient (the first of their names) for all cases of patients who share an image.

    A note on each case that changes its patient reports it. Files that cannot be read are no duplicates.
    """
    written = [e.case for e in examined if e.case is not None]
    patients = sorted({c.patient for c in written if c.patient})
    number = {patient: i for i, patient in enumerate(patients)}
    pairs = [(number[a], number[b]) for a, b in _pairs(examined)]
    if not pairs:
        return list(examined)
    rows, columns = np.array(pairs).T
    graph = coo_array((np.ones(len(pairs)), (rows, columns)), (len(patients), len(patients)))
    _, groups = connected_components(graph, directed=False)
    first: dict[int, str] = {}
    for patient, group in zip(patients, groups, strict=True):
        first.setdefault(int(group), patient)
    names = {patient: first[int(groups[i])] for patient, i in number.items()}
    return [_renamed(e, names) for e in examined]


def _renamed(examined: Examined, names: dict[str, str]) -> Examined:
    case, inspection = examined.case, examined.inspection
    if case is None or names.get(case.patient or "", case.patient) == case.patient:
        return examined
    patient = names[case.patient or ""]
    notes = (
        *inspection.notes,
        f"{case.patient} and {patient} share an image: they are one patient",
    )
    return Examined(replace(inspection, notes=notes), replace(case, patient=patient))


def _pairs(examined: Sequence[Examined]) -> list[tuple[str, str]]:
    """The patients who share an image."""
    by_shape: dict[tuple[int, ...], list[Case]] = defaultdict(list)
    for e in examined:
        if e.case is not None and e.case.patient:
            by_shape[tuple(sorted(n for n in e.inspection.shape if n > 1))].append(e.case)
    searched = [
        cases
        for cases in by_shape.values()
        if len({c.patient for c in cases}) > 1 and not {c.task for c in cases} <= SEARCHED
    ]
    pairs = []
    with (
        ThreadPoolExecutor(WORKERS) as pool,
        progress_bar(
            "duplicates", unit="it", total=sum(map(len, searched)), hidden=not searched
        ) as bar,
    ):
        for cases in searched:
            seen = []
            for one in pool.map(_seen, cases):
                seen.append(one)
                bar.update()
            alike = np.stack(seen) @ np.stack(seen).T >= SAME_IMAGE
            pairs += [
                (str(cases[i].patient), str(cases[j].patient))
                for i, j in zip(*np.nonzero(np.triu(alike, 1)), strict=True)
            ]
    return [(a, b) for a, b in pairs if a != b]


def _seen(case: Case) -> npt.NDArray[np.float32]:
    """The thumbnail of the file of a case; all zeros, which is like nothing, where it cannot be read."""
    path = file_of(case.images[0])
    try:
        return thumbnail(read_nifti(path)) if path is not None else _nothing()
    except ImageError:  # the writer will report it
        return _nothing()


def _nothing() -> npt.NDArray[np.float32]:
    return np.zeros(int(np.prod(THUMBNAIL)), np.float32)


def thumbnail(volume: NiftiVolume) -> npt.NDArray[np.float32]:
    """A thumbnail of an image: the means of 32 x 32 x 16 boxes as one vector of mean 0 and length 1.

    It does not depend on spacing, origin, brightness or contrast, nor on the order in which the axes are stored. Of a
    constant image it is all zeros.
    """
    array = nib.apply_orientation(volume.array, nib.io_orientation(volume.affine))
    for axis, boxes in enumerate(THUMBNAIL):
        size = array.shape[axis]
        starts = np.arange(boxes) * size // boxes
        # boxes may outnumber voxels: then they share them
        widths = np.diff(starts, append=size).clip(1)
        sums = np.add.reduceat(array, starts, axis=axis, dtype=np.float64)
        array = sums / widths.reshape([-1 if a == axis else 1 for a in range(3)])
    centred = array.ravel() - array.mean()
    # not np.linalg.norm: its BLAS threads cost more than the sum
    length = np.sqrt((centred**2).sum())
    if length <= 1e-9 * (1 + np.abs(array).max()):
        return np.zeros(centred.size, np.float32)
    return np.asarray(centred / length, np.float32)


class Patients:
    """Gives cases that show the same image one patient: the name of the first of them."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, npt.NDArray[np.float32]]] = []

    def patient_of(self, case: str, seen: npt.NDArray[np.float32]) -> str:
        """The patient of a case with this thumbnail: an earlier case with the same image, or the case itself."""
        for earlier, other in self._seen:
            if float(seen @ other) >= SAME_IMAGE:
                return earlier
        self._seen.append((case, seen))
        return case
