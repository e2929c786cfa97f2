"""The four tasks of `task_vector.py`: which structures of which phantom, and which one is left out of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from nnunet_prompt.data.case import Case
from nnunet_prompt.data.raw import RawTarget, write_raw_dataset
from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.phantom import (
    anatomy,
    atrium_anatomy,
    lascarqs,
    liver_anatomy,
    liver_scanner,
    myops,
    whs,
)
from nnunet_prompt.phantom import whole_heart as whole
from nnunet_prompt.phantom.scanner import Site, scan

SHAPE = (36, 44, 28)
STORED_MM = 3.0  # of every voxel in the files, so that one plan fits all
HEART_MM, ABDOMEN_MM = 3.2, 7.5
TRAINED, POOL, TEST = 24, 8, 6  # cases of each task: for training, as supports, held out
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Task:
    """One task; `hidden` structures are background in training, the first of them is the one that is left out."""

    name: str
    structures: tuple[str, ...]
    hidden: tuple[str, ...]
    site: Site
    sequence: str

    @property
    def left_out(self) -> str:
        return self.hidden[0]

    @property
    def known(self) -> tuple[str, ...]:
        return tuple(s for s in self.structures if s not in self.hidden)


TASKS = (
    Task(
        "whole heart, CT",
        ("LV", "LA", "myocardium", "aorta", "pulmonary artery", "RA", "RV"),
        ("RA", "RV"),  # the short axis leaves the right ventricle out
        whs.SITES["A"],
        "",
    ),
    Task(
        "left atrium, LGE",
        ("cavity", "bone", "oesophagus", "lung", "muscle", "vessels"),
        ("vessels",),
        lascarqs.SITES["C"],
        "LGE",
    ),
    Task(
        "abdomen, GED4",
        ("liver", "spleen", "stomach", "bowel", "spine", "lung base", "kidneys"),
        ("kidneys",),
        liver_scanner.SITES["A"],
        "GED4",
    ),
    Task(
        "short axis, C0",
        ("LV short axis", "myocardium short axis", "liver dome", "fat", "RV short axis"),
        ("RV short axis",),
        next(iter(myops.SITES.values())),
        "C0",
    ),
)
KNOWN = tuple(name for task in TASKS for name in task.known)
TABLE = StructureTable(tuple(Structure(n, i, (i,), i) for i, n in enumerate(KNOWN, 1)))


def write(root: Path, dataset_id: int, name: str) -> Path:
    """The raw data set: training cases, and one more of each task for nnU-Net's validation."""
    cases = [c for task in TASKS for c in _cases(task)]
    return write_raw_dataset(cases, RawTarget(dataset_id, name, root=root), table=TABLE)


def _cases(task: Task) -> Iterator[Case]:
    for number in range(TRAINED + 1):
        image, masks = phantom(task, "train", number)
        labels = np.zeros(SHAPE, np.uint8)
        for known in task.known:
            labels[masks[known]] = TABLE.find(known).label
        case_id = f"{task.name.replace(', ', '_').replace(' ', '_')}_{number:02d}"
        yield Case(
            case_id,
            (image.astype(np.float32),),
            labels,
            annotated=frozenset(task.known),
            affine=np.diag([STORED_MM, STORED_MM, STORED_MM, 1.0]),
            patient=case_id,
            task=task.name,
            modality=task.site.modality,
        )


def write_masks(folder: Path, task: Task, part: str, numbers: Any, masks: str, how: str) -> None:
    """Images and label maps (1 is the structure) of phantoms; `how` "random" rolls each mask to a random place."""
    for number in numbers:
        image, found = phantom(task, part, number)
        mask = found[masks]
        if how == "random":
            rng = np.random.default_rng(number)
            mask = np.roll(mask, [int(rng.integers(n)) for n in mask.shape], (0, 1, 2))
        for kind, array, ending in (
            ("images", image.astype(np.float32), "_0000.nii.gz"),
            ("labels", mask.astype(np.uint8), ".nii.gz"),
        ):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            affine = np.diag([STORED_MM, STORED_MM, STORED_MM, 1.0])
            nib.save(nib.Nifti1Image(array, affine), folder / kind / f"case_{number:02d}{ending}")


def phantom(task: Task, part: str, number: int) -> tuple[npt.NDArray[Any], Mapping[str, Mask]]:
    """The image of a phantom and the masks of all structures of its task; it depends on nothing but its name."""
    rng = np.random.default_rng([ord(c) for c in f"{task.name} {part} {number}"])
    masks, tissue = _body(rng, task)
    site = task.site
    return scan(rng, tissue, site.contrast[task.sequence], site), masks


def _body(rng: np.random.Generator, task: Task) -> tuple[Mapping[str, Mask], Any]:
    """The masks and the map of tissues."""
    heart = (HEART_MM,) * 3
    if task is TASKS[0]:
        labels, tissue = whole.whole_heart(rng, SHAPE, heart)
        values = (
            whole.LV,
            whole.LA,
            whole.MYOCARDIUM,
            whole.AORTA,
            whole.PULMONARY,
            whole.RA,
            whole.RV,
        )
        return _named(task, [labels == v for v in values]), tissue
    if task is TASKS[1]:
        painted = atrium_anatomy.paint_atrium(
            atrium_anatomy.draw_atrium(rng), shape=SHAPE, spacing_mm=heart
        )
        t, kinds = painted.tissue, atrium_anatomy.Tissue
        others = [t == k for k in (kinds.BONE, kinds.OESOPHAGUS, kinds.LUNG, kinds.MUSCLE)]
        vessels = (t == kinds.BLOOD) & ~painted.cavity
        return _named(task, [painted.cavity, *others, vessels]), t
    if task is TASKS[2]:
        body = liver_anatomy.draw_abdomen(rng, stage=int(rng.integers(1, 5)))
        liver, t = liver_anatomy.paint_abdomen(
            body, shape=SHAPE, spacing_mm=(ABDOMEN_MM,) * 3, shift_mm=(0.0, 0.0, 0.0)
        )
        organs = liver_anatomy.Tissue
        rest = (
            organs.SPLEEN,
            organs.STOMACH,
            organs.BOWEL,
            organs.BONE,
            organs.LUNG,
            organs.KIDNEY,
        )
        return _named(task, [liver, *(t == k for k in rest)]), t
    position = anatomy.breathing_positions(rng, SHAPE, heart)
    drawn = anatomy.draw_anatomy(rng, depth_mm=SHAPE[2] * HEART_MM)
    labels, t = anatomy.paint(rng, drawn, position)
    official, tissues = anatomy.OFFICIAL, anatomy.Tissue
    wall = (labels == official["myocardium"]) | (labels == official["scar"])
    return _named(
        task,
        [
            labels == official["LV"],
            wall,
            t == tissues.LIVER,
            t == tissues.FAT,
            labels == official["RV"],
        ],
    ), t


def _named(task: Task, masks: Any) -> Mapping[str, Mask]:
    return dict(zip(task.structures, masks, strict=True))
