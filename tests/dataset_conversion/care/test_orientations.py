"""Labels before and after conversion agree voxel for voxel, however the files of a download are stored.

One download of eight cases per task, each stored in another orientation; the written data set is read back,
turned to the axes of its source and mapped to official values.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from nnunet_prompt.dataset_conversion.care import lascarqs, liqa, myops, whs
from nnunet_prompt.io.nifti import read_labels
from nnunet_prompt.prompts.frames import canonical_map
from tests.helpers.orientations import EIGHT
from tests.official_fixture import la_masks, to_official

pytestmark = pytest.mark.usefixtures("raw")
SHAPE = (6, 7, 4)
Labels = npt.NDArray[np.int16]
Affine = npt.NDArray[np.float64]


def orientations(spacing_mm: tuple[float, float, float]) -> Iterator[tuple[int, Affine]]:
    """A number from 1 to 8 and an affine, a little oblique, for each way to store three axes."""
    angle = np.deg2rad(6)
    tilt = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    for number, (axes, signs) in enumerate(EIGHT, 1):
        affine = np.eye(4)
        affine[:3, :3] = 0
        for axis, (world, sign) in enumerate(zip(axes, signs, strict=True)):
            affine[world, axis] = sign * spacing_mm[axis]
        affine[:3, :3] = tilt @ affine[:3, :3]
        affine[:3, 3] = 5, -3, number
        yield number, affine


def save(path: Path, array: npt.NDArray[Any], affine: Affine) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(array, affine).to_filename(path)


def drawn(rng: np.random.Generator, values: tuple[int, ...]) -> Labels:
    return rng.choice(np.array(values, np.int16), SHAPE)


def noise(rng: np.random.Generator) -> npt.NDArray[np.int16]:
    return rng.integers(0, 1000, SHAPE).astype(np.int16)


def read_back(folder: Path, case: str, affine: Affine) -> npt.NDArray[np.int32]:
    """The written labels of a case on the axes of its source; nnU-Net's readers reverse the axes of a file."""
    written = read_labels(folder / f"labelsTr/{case}.nii.gz").transpose(2, 1, 0)
    return canonical_map(affine, SHAPE).inverse().apply(written)


def test_myops(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    source, known = tmp_path / "d", {}
    for number, affine in orientations((1.5, 1.5, 10.0)):
        case = f"Case2{number:03d}"
        known[case] = affine, drawn(rng, (0, 200, 500, 600, 1220, 2221))
        for sequence in ("LGE", "T2"):
            save(source / case / f"{case}_{sequence}.nii.gz", noise(rng), affine)
        save(source / case / f"{case}_gd.nii.gz", known[case][1], affine)
    folder = myops.convert(source, 11)
    for case, (affine, labels) in known.items():
        for sequence in ("LGE", "T2"):
            found = to_official(read_back(folder, f"{case}_{sequence}", affine), "myops")
            np.testing.assert_array_equal(found, labels)


def test_whs(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    source, known = tmp_path / "d/A ct_train", {}
    for number, affine in orientations((1.2, 1.0, 1.4)):
        case = f"Case1{number:03d}"
        known[case] = affine, drawn(rng, (0, 205, 420, 500, 550, 600, 820, 850))
        save(source / f"{case}_image.nii.gz", noise(rng), affine)
        save(source / f"{case}_label.nii.gz", known[case][1], affine)
    folder = whs.convert(source.parent, 12)
    for case, (affine, labels) in known.items():
        found = to_official(read_back(folder, case, affine), "whs")
        np.testing.assert_array_equal(found, labels)


def test_lascarqs(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    source, known = tmp_path / "d", {}
    for number, affine in orientations((0.625, 0.625, 2.5)):
        task = 1 + number % 2  # task 2 has no scar
        place = source / f"task{task}/train_data/train_{number}"
        cavity, scar = rng.random((2, *SHAPE)) < 0.4
        scar &= task == 1
        known[f"LAt{task}_{number:03d}"] = affine, (cavity, scar)
        save(place / "enhanced.nii.gz", noise(rng), affine)
        save(place / "atriumSegImgMO.nii.gz", cavity.astype(np.int16) * 420, affine)
        if task == 1:
            save(place / "scarSegImgM.nii.gz", scar.astype(np.uint8), affine)
    folder = lascarqs.convert(source, 13)
    for case, (affine, (cavity, scar)) in known.items():
        found = la_masks(read_back(folder, case, affine))
        np.testing.assert_array_equal(found[0], cavity)
        np.testing.assert_array_equal(found[1], scar)


def test_liqa(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    source, known = tmp_path / "d", {}
    for number, affine in orientations((0.99, 0.99, 1.75)):
        place = source / f"Vendor_B1/{number:04d}-B1-S2"
        known[f"LiQA_B1_{number:04d}"] = affine, drawn(rng, (0, 1))
        save(place / "GED4.nii.gz", noise(rng), affine)
        save(place / "mask_GED4.nii.gz", known[f"LiQA_B1_{number:04d}"][1], affine)
    folder = liqa.convert(source, 14)
    for case, (affine, labels) in known.items():
        found = to_official(read_back(folder, case, affine), "liqa")
        np.testing.assert_array_equal(found, labels)
