"""Small downloads of all four tasks, made with the helpers of the tests of their converters.

MyoPS: Case1001 (centre A, LGE) and Case2001, Case2002 (centre B, three sequences). WHS: Case1001 and Case1002 (A, CT),
Case3001 (C and D, MR). LAScarQS: LAt1_001, LAt1_002, and LAt2_001, which shows the image of LAt1_001. LiQA: 1009 of
vendor A, 1031 and 1053 of vendor B2. No two other images are alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from tests.dataset_conversion.care import test_lascarqs, test_liqa, test_myops, test_whs

SCAR_ONLY_OF_A = (0, 200, 500, 2221)
# everything that may tell who somebody is
SECRETS = (
    *("Case1", "Case2", "Case3", "LAt1", "LAt2", "LiQA_", "1009", "1031", "1053"),
    *("Center", "Vendor", "ct_train", "train_1", "myops", "whs", "lascarqs", "liqa", "/GED4"),
)


@dataclass(frozen=True, slots=True)
class Downloads:
    """The folder of each download."""

    myops: Path
    whs: Path
    lascarqs: Path
    liqa: Path

    @property
    def all(self) -> list[Path]:
        return [self.myops, self.whs, self.lascarqs, self.liqa]


def make_downloads(root: Path) -> Downloads:
    """Writes the four downloads: 7, 3, 3 and 3 cases of 3, 3, 2 and 3 patients."""
    found = Downloads(*(root / name for name in ("M", "W", "LA", "L")))
    train = found.myops / "Myo_train/MyoPS_train"
    test_myops.patient(
        train / "CenterA/Case1001", "Case1001", sequences=["LGE"], values=SCAR_ONLY_OF_A
    )
    for case in ("Case2001", "Case2002"):
        test_myops.patient(train / f"CenterB/{case}", case)
    for folder, case in (("A ct", 1001), ("A ct", 1002), ("C and D mr", 3001)):
        test_whs.heart(found.whs / f"{folder}_train", f"Case{case}")
    for task, number, seed in ((1, 1, 1), (1, 2, 2), (2, 1, 1)):
        folder = found.lascarqs / f"task{task}/train_data/train_{number}"
        test_lascarqs.patient(folder, seed, with_scar=task == 1)
    for vendor, number in (("A", 1009), ("B2", 1031), ("B2", 1053)):
        test_liqa.patient(found.liqa / f"Vendor_{vendor}/{number}-{vendor}-S1")
    for number, path in enumerate(images(found)):
        show(path, 100 + number)
    return found


def images(downloads: Downloads) -> list[Path]:
    """The images that the helpers draw alike for every case."""
    named = [*downloads.myops.rglob("*.nii.gz"), *downloads.whs.rglob("*_image.nii.gz")]
    named += downloads.liqa.rglob("GED4.nii.gz")
    return sorted(path for path in named if not path.name.endswith("_gd.nii.gz"))


def show(path: Path, seed: int) -> None:
    """Replaces the voxels of an image by others, which are those of `seed`."""
    image = nib.load(path)
    voxels = np.random.default_rng(seed).integers(0, 1000, image.shape).astype(np.int16)
    nib.Nifti1Image(voxels, image.affine).to_filename(path)
