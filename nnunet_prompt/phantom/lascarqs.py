"""Mock challenge data of LAScarQS++: LGE of the left atrium, its cavity, and in task 1 the scar on its wall.

    task1/train_data/train_1/{enhanced,atriumSegImgMO,scarSegImgM}.nii.gz
    task2/train_data/train_1/{enhanced,atriumSegImgMO}.nii.gz
    task1_val/val_1/enhanced.nii.gz, task2_val/val_1/...          (a download of its own)

A case is a patient of centre A: of every five, one has the same scan in both tasks, one is of task 1 alone and
three of task 2 alone. Task 2 has no scar files, although the scar is in the image. The validation set is of A (both
tasks) and C (task 2), the test set of A, B and C. With defects, the training folders have the names of 2026. A volume
has 0.625 x 0.625 x 2.5 mm and 44 slices as the real ones do, but a smaller field of view.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from types import MappingProxyType

import numpy as np
from scipy.ndimage import zoom

from nnunet_prompt.dataset_conversion.care.atrium import SLICES_OF_HALF
from nnunet_prompt.phantom import defects
from nnunet_prompt.phantom.atrium_anatomy import Tissue, draw_atrium, paint_atrium
from nnunet_prompt.phantom.mock_challenge import Defect, DrawnCase, MockChallenge
from nnunet_prompt.phantom.record import File
from nnunet_prompt.phantom.scanner import (
    Shape,
    Site,
    Volume,
    by_name,
    draw_spacing,
    scan_to_file,
    scanner_affine,
    to_file_frame,
)
from nnunet_prompt.phantom.val_set import ValCase, ValSet

IMAGE, CAVITY, SCAR = "enhanced", "atriumSegImgMO", "scarSegImgM"
CAVITY_VALUE, SCAR_VALUE, SCAR_ID = (
    420,
    1,
    421,
)  # SCAR_ID: in the test set, where both share one map
SLAB_MM = 110.0  # 44 slices of 2.5 mm
FOV_MM = ((88.0, 96.0), (94.0, 100.0))  # rows and columns
SCAR_TASK, CAVITY_TASK = "LA scar quantification", "LA cavity segmentation"
FOLDERS_OF_2026: Mapping[str, str] = MappingProxyType(
    {"task1": f"{SCAR_TASK}（MRI）", "task2": f"{CAVITY_TASK}（MRI）"}
)
CT_FOLDER = f"{CAVITY_TASK}（CT）/train_data"
# of five patients, the tasks of each and its number among those of the task
_TASKS: tuple[Mapping[int, int], ...] = ({1: 1, 2: 1}, {2: 2}, {1: 2}, {2: 3}, {2: 4})
_PER_BLOCK: Mapping[int, int] = MappingProxyType({1: 2, 2: 4})
_README = b"LAScarQS: enhanced.nii.gz is the LGE MRI. These are phantoms, made for a rehearsal.\n"


def _contrast(blood: float, wall: float, scar: float) -> Mapping[str, Mapping[int, float]]:
    return {
        "LGE": {
            Tissue.LUNG: 0.05,
            Tissue.FAT: 0.30,
            Tissue.BLOOD: blood,
            Tissue.WALL: wall,
            Tissue.SCAR: scar,
            Tissue.MUSCLE: 0.9 * wall,
            Tissue.BONE: 0.40,
            Tissue.OESOPHAGUS: 0.45,
            Tissue.VESSEL_WALL: 1.2 * wall,
        }
    }


# scar is thinner than a voxel of B and C, which dims it: theirs is brighter before the scan
SITES = by_name(
    Site(
        "A",
        _contrast(blood=0.55, wall=0.20, scar=0.95),
        in_plane_mm=(0.625, 0.625),
        slice_mm=(2.5, 2.5),
        axes=(1, 0, 2),
        noise=0.05,
        gain=420,
    ),
    Site(
        "B",
        _contrast(blood=0.58, wall=0.26, scar=1.30),
        in_plane_mm=(1.4, 1.4),
        slice_mm=(1.4, 1.4),
        axes=(2, 0, 1),
        flips=(True, False, True),
        tilt_deg=3,
        noise=0.06,
        gain=1500,
    ),
    Site(
        "C",
        _contrast(blood=0.45, wall=0.18, scar=1.10),
        in_plane_mm=(1.3, 1.3),
        slice_mm=(4.0, 4.0),
        axes=(1, 0, 2),
        flips=(True, True, False),
        tilt_deg=5,
        noise=0.08,
        bias=0.3,
        gain=900,
    ),
)


def draw(rng: np.random.Generator, centre: str, number: int) -> DrawnCase:
    """Generates the patient with this number of a centre; only centre A has training files."""
    scanned = _scanned(rng, centre)
    cavity, scar = scanned[CAVITY], scanned[SCAR]
    tasks = tasks_of(number)
    case_id = " ".join(f"LAt{task}_{n:03d}" for task, n in tasks.items())
    return DrawnCase(
        case_id,
        centre,
        {"": scanned[IMAGE]},
        replace(cavity, array=np.where(scar.array, np.int16(SCAR_ID), cavity.array)),
        training_files(tasks, scanned) if centre in CENTRES else {},
    )


def draw_val(rng: np.random.Generator, centre: str, numbers: Mapping[str, int]) -> ValCase:
    """Generates a patient; the masks are 0 and 1, the cavity in task 2 and the scar in task 1."""
    scanned = _scanned(rng, centre)
    images, masks = {}, {}
    for task, number in numbers.items():
        images[f"{task}_val/val_{number}/{IMAGE}.nii.gz"] = scanned[IMAGE]
        form, held = (SCAR_TASK, SCAR) if task == "task1" else (CAVITY_TASK, CAVITY)
        mask = (scanned[held].array > 0).astype(np.uint8)
        masks[f"{form}/val_{number}/{number}.nii.gz"] = replace(scanned[held], array=mask)
    return ValCase(" ".join(f"{t}_val/val_{n}" for t, n in numbers.items()), images, masks)


def series_of_val(centre: str) -> tuple[str, ...]:
    """The tasks that have validation cases of a centre, each of which counts its own."""
    return ("task1", "task2") if centre == "A" else ("task2",)


def _scanned(rng: np.random.Generator, centre: str) -> dict[str, Volume]:
    """A patient of a centre: the image, and the values of the training download for cavity and scar."""
    site = SITES[centre]
    spacing = draw_spacing(rng, site)
    in_plane = [round(rng.uniform(*fov) / mm) for fov, mm in zip(FOV_MM, spacing, strict=False)]
    shape: Shape = (in_plane[0], in_plane[1], round(SLAB_MM / spacing[2]))
    painted = paint_atrium(draw_atrium(rng), shape=shape, spacing_mm=spacing)
    affine = scanner_affine(rng, shape, spacing, tilt_deg=site.tilt_deg)
    found = {IMAGE: scan_to_file(rng, painted.tissue, site, affine, sequence="LGE")}
    for name, mask, value in (
        (CAVITY, painted.cavity, CAVITY_VALUE),
        (SCAR, painted.scar, SCAR_VALUE),
    ):
        found[name] = to_file_frame((mask * value).astype(np.int16), affine, site)
    return found


def tasks_of(number: int) -> dict[int, int]:
    """The tasks in which the patient with this number (from 1) is, and its number in each."""
    block, place = divmod(number - 1, len(_TASKS))
    return {task: _PER_BLOCK[task] * block + n for task, n in _TASKS[place].items()}


def training_files(tasks: Mapping[int, int], volumes: Mapping[str, Volume]) -> dict[str, File]:
    """The files of a patient by their paths; the scar in task 1 alone, a readme beside its first case."""
    files: dict[str, File] = {}
    for task, number in tasks.items():
        folder = f"task{task}/train_data/train_{number}"
        for name, volume in volumes.items():
            if task == 1 or name != SCAR:
                files[f"{folder}/{name}.nii.gz"] = volume
        if (task, number) == (1, 1):
            files["task1/readme.txt"] = _README
    return files


def twice_the_slices(rng: np.random.Generator, files: Mapping[str, File]) -> dict[str, File]:
    """88 slices of half the thickness over the same field of view, as a few of the real scans have."""
    del rng

    def edit(name: str, volume: Volume) -> Volume:
        axis = int(np.argmax(defects.spacing_of(volume)))
        factors = [1.0, 1.0, 1.0]
        factors[axis] = SLICES_OF_HALF / volume.array.shape[axis]
        order = 1 if IMAGE in name else 0
        array = zoom(volume.array, factors, order=order, mode="nearest", grid_mode=True)
        step = np.diag([*(1 / f for f in factors), 1.0])
        step[axis, 3] = (step[axis, axis] - 1) / 2
        return replace(volume, array=array, affine=volume.affine @ step)

    return {n: edit(n, f) if isinstance(f, Volume) else f for n, f in files.items()}


def cropped_masks(rng: np.random.Generator, files: Mapping[str, File]) -> dict[str, File]:
    """Masks without the outermost three rows of each side: another shape than the image, at the right place."""
    inner = slice(3, -3)
    start = np.eye(4)
    start[:2, 3] = 3

    def edit(volume: Volume) -> Volume:
        array = np.ascontiguousarray(volume.array[inner, inner])
        return replace(volume, array=array, affine=volume.affine @ start)

    return defects.change((CAVITY, SCAR), edit)(rng, files)


def with_ct_case(rng: np.random.Generator, files: Mapping[str, File]) -> dict[str, File]:
    """A case of the CT task of 2026 beside this one, in a folder with full-width parentheses; not of this sub-task."""
    del rng
    found = dict(files)
    folder = next(PurePosixPath(n).parent for n, f in files.items() if isinstance(f, Volume))
    for name, other in ((IMAGE, IMAGE), (CAVITY, "cardiacSegImgMO")):
        volume = files[f"{folder}/{name}.nii.gz"]
        assert isinstance(volume, Volume)
        array = volume.array if name == IMAGE else (volume.array > 0).astype(np.uint8)
        ct = replace(volume, array=array)
        found[f"{CT_FOLDER}/{folder.name}/{other}.nii.gz"] = ct
    return found


def as_in_2026(path: PurePosixPath) -> PurePosixPath:
    """The names of 2026, with full-width parentheses, for the folders of both tasks."""
    return PurePosixPath(*(FOLDERS_OF_2026.get(part, part) for part in path.parts))


def values_of_float(rng: np.random.Generator, files: Mapping[str, File]) -> dict[str, File]:
    """Masks of floats, whose cavity is not the same number everywhere: about 420."""

    def edit(volume: Volume) -> Volume:
        array = volume.array.astype(np.float32)
        array.flat[np.flatnonzero(array)[::7]] -= np.float32(0.0003)
        return replace(volume, array=array)

    return defects.one_after_another(
        defects.change(CAVITY, edit), defects.stored_as(SCAR, "float64")
    )(rng, files)


CENTRES: Mapping[str, int] = MappingProxyType({"A": 154})
DEFECTS = (
    Defect("cavity of 255", defects.values_become(CAVITY, {CAVITY_VALUE: 255})),
    Defect("float masks", values_of_float, "values from 419.9997 to 420: all of them count"),
    Defect("slices of 1.0 mm in the header", defects.slice_thickness("", 1.0), "the spacing is"),
    Defect("masks of another shape", cropped_masks, "is resampled to the image by nearest"),
    Defect("voxels that are not finite", defects.not_finite((IMAGE, CAVITY)), "are not finite"),
    Defect("resource forks", defects.resource_forks),
    Defect("88 slices", twice_the_slices),
    Defect("CT task", with_ct_case, "a case of the CT task"),
)
MOCK_CHALLENGE = MockChallenge(
    "lascarqs",
    CENTRES,
    ("A", "B", "C"),
    draw,
    ValSet(("A", "C"), draw_val, series_of_val),
    DEFECTS,
    as_in_2026,
)
