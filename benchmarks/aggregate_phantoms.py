"""The four tasks of `aggregate.py`: which structure of which phantom, how it is scanned, and how a scan can differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nnunet_prompt.data.case import Case
from nnunet_prompt.data.raw import RawTarget, write_raw_dataset
from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.dataset_conversion.care.unify import sampling_weights
from nnunet_prompt.phantom import atrium_anatomy, lascarqs, liver_anatomy, liver_scanner, whs
from nnunet_prompt.phantom.scanner import Site, scan
from nnunet_prompt.phantom.whole_heart import LV, whole_heart

SHAPE = (36, 44, 28)
STORED_MM = 3.0  # of every voxel in the files, so that one plan fits all
HEART_MM, ABDOMEN_MM = 3.2, 7.5
RICH, POOR = 24, 4
TEST = 4  # held-out cases of the training centre
SHIFTED = 2  # held-out cases of each shift
SHIFTS = ("contrast", "noise", "both")
OWN = "own"  # the centre of the training cases
Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Task:
    """One task: its clinical group, how many cases train it, and its structure, which has the task's name."""

    name: str
    group: str
    cases: int
    site: Site
    sequence: str


TASKS = (
    Task("ventricle", "heart", RICH, whs.SITES["A"], ""),
    Task("atrium", "heart", POOR, lascarqs.SITES["C"], "LGE"),
    Task("liver", "abdomen", RICH, liver_scanner.SITES["A"], "GED4"),
    Task("kidneys", "abdomen", POOR, liver_scanner.SITES["B1"], "T2"),
)
TABLE = StructureTable(tuple(Structure(t.name, i, (i,), i) for i, t in enumerate(TASKS, 1)))


def write(root: Path, dataset_id: int, name: str) -> Path:
    """The raw data set: training cases, one more of each task for nnU-Net's validation, and all held-out ones."""
    training = [c for task in TASKS for c in cases(task, "train", OWN, task.cases + 1)]
    held_out = [c for task in TASKS for c in cases(task, "test", OWN, TEST)]
    held_out += [
        c for task in TASKS for shift in SHIFTS for c in cases(task, "test", shift, SHIFTED)
    ]
    table = replace(TABLE, weights=sampling_weights(training))
    target = RawTarget(dataset_id, name, root=root)
    return write_raw_dataset(training, target, table=table, test_cases=held_out)


def cases(task: Task, part: str, centre: str, count: int) -> Iterator[Case]:
    """So many cases of a centre; a case depends on nothing but its name."""
    for number in range(count):
        case_id = f"{task.name}_{part}_{centre}_{number:02d}"
        rng = np.random.default_rng([ord(c) for c in case_id])
        image, mask = phantom(rng, task, centre)
        yield Case(
            case_id,
            (image.astype(np.float32),),
            mask * np.uint8(TABLE.find(task.name).label),
            annotated=frozenset({task.name}),
            affine=np.diag([STORED_MM, STORED_MM, STORED_MM, 1.0]),
            patient=case_id,
            centre=centre,
            task=task.name,
            modality=task.site.modality,
        )


def phantom(
    rng: np.random.Generator, task: Task, centre: str
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """An image of `SHAPE` and the mask of the structure."""
    spacing = (HEART_MM if task.group == "heart" else ABDOMEN_MM,) * 3
    mask, tissue = _body(rng, task, spacing)
    site = shifted(task.site, centre)
    return scan(rng, tissue, site.contrast[task.sequence], site), mask


def _body(rng: np.random.Generator, task: Task, spacing: Any) -> tuple[Any, Any]:
    """The mask of the structure and the map of tissues."""
    if task.name == "ventricle":
        labels, tissue = whole_heart(rng, SHAPE, spacing)
        return labels == LV, tissue
    if task.name == "atrium":
        atrium = atrium_anatomy.draw_atrium(rng)
        painted = atrium_anatomy.paint_atrium(atrium, shape=SHAPE, spacing_mm=spacing)
        return painted.cavity, painted.tissue
    body = liver_anatomy.draw_abdomen(rng, stage=int(rng.integers(1, 5)))
    liver, tissue = liver_anatomy.paint_abdomen(
        body, shape=SHAPE, spacing_mm=spacing, shift_mm=(0.0, 0.0, 0.0)
    )
    return liver if task.name == "liver" else tissue == liver_anatomy.Tissue.KIDNEY, tissue


def shifted(site: Site, centre: str) -> Site:
    """A site with another contrast, with more noise, or with both and a stronger receive field: another centre."""
    if centre in ("contrast", "both"):
        site = replace(site, contrast={s: _other(own, site) for s, own in site.contrast.items()})
    if centre in ("noise", "both"):
        site = replace(site, noise=2.5 * site.noise)
    return replace(site, bias=2 * site.bias) if centre == "both" else site


def _other(contrast: Mapping[int, float], site: Site) -> dict[int, float]:
    """Darker where it is not bright; in CT less contrast agent."""
    if site.modality == "MR":
        return {tissue: float(signal) ** 1.7 for tissue, signal in contrast.items()}
    return {t: 0.5 * signal if 0 < signal < 400 else signal for t, signal in contrast.items()}
