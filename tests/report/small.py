"""Small data to write reports about: four cases of two structures, images, prompts, groups, and one broken mask."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt

SHAPE = (24, 20, 6)
AFFINE = np.diag([-1.5, -1.5, 8.0, 1.0])  # RAS+; axes grow to L and P, as the page shows them
CASES = ("c1", "c2", "c3", "c4")


@dataclass(frozen=True, slots=True)
class Small:
    """The folders and files, below one root."""

    root: Path
    labels: Path
    masks: Path
    better: Path
    images: Path
    prompts: Path
    groups: Path

    @property
    def output(self) -> Path:
        return self.root / "report.html"


def save(path: Path, array: npt.NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, AFFINE), path)


def label_map(shift: int = 0) -> npt.NDArray[np.uint16]:
    """Two squares in slices 1 to 4; `shift` moves the first along its rows."""
    array = np.zeros(SHAPE, np.uint16)
    array[4 + shift : 12 + shift, 5:13, 1:5] = 500
    array[16:20, 5:9, 2:4] = 200
    return array


def write_small(root: Path) -> Small:
    """Masks of c4 are furthest off, and those of `better` half as far."""
    small = Small(
        root,
        *(root / name for name in ("labels", "masks", "better", "images")),
        root / "prompts.json",
        root / "groups.csv",
    )
    rng = np.random.default_rng(0)
    for number, case in enumerate(CASES):
        save(small.labels / f"{case}.nii.gz", label_map())
        save(small.masks / f"{case}.nii.gz", label_map(number + 1))
        save(small.better / f"{case}.nii.gz", label_map((number + 1) // 2))
        image = label_map().astype(np.float32) + rng.normal(0, 30, SHAPE).astype(np.float32)
        save(small.images / f"{case}_0000.nii.gz", image)
    negative = {"position": [17, 7, 2], "positive": False}
    box = {"lower": [4, 5, 1], "upper": [12, 13, 5]}
    said = {"500": {"points": [[8, 9, 2], negative], "boxes": [box]}}
    content = {"format": "nnunet-prompt", "version": 1, "cases": {case: said for case in CASES}}
    small.prompts.write_text(json.dumps(content))
    rows = "".join(f"{case},{'AB'[n % 2]}\n" for n, case in enumerate(CASES))
    small.groups.write_text(f"case,centre\n{rows}")
    return small
