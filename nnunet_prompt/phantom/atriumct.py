"""Mock challenge data of CARE 2026's left atrium in CT: the atrium, its veins and its appendage.

    cardiac anatomy segmentation（CT）/train_data/train_1/{0001,label_0001}.nii.gz
    cardiac anatomy segmentation（CT）/val_data/val_1/0001.nii.gz                    (a download of its own)

All cases are of centre D. With defects, some training cases have no label map, as two of three real ones do, and some
folders have the names of the challenge's page. Voxels are larger than the real ones of 0.3 to 0.8 x 0.5 mm.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from types import MappingProxyType

import numpy as np

from nnunet_prompt.phantom import defects
from nnunet_prompt.phantom.atrium_anatomy import Tissue, draw_atrium, paint_atrium, paint_parts
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

FOLDER = "cardiac anatomy segmentation（CT）"
UPLOAD = "LA multi-structure segmentation"
LABEL_OF_PAGE = "cardiacSegImgMO"
FIELD_OF_VIEW_MM = (92.0, 98.0, 100.0)  # posterior, left, superior
BODY, VEINS, APPENDAGE = 1, 2, 3
_HOUNSFIELD = {
    Tissue.LUNG: -800.0,
    Tissue.FAT: -90.0,
    Tissue.BLOOD: 380.0,
    Tissue.WALL: 100.0,
    Tissue.SCAR: 100.0,
    Tissue.MUSCLE: 110.0,
    Tissue.BONE: 420.0,
    Tissue.OESOPHAGUS: 40.0,
    Tissue.VESSEL_WALL: 70.0,
}
SITES = by_name(
    Site(
        "D",
        {"": {int(tissue): value for tissue, value in _HOUNSFIELD.items()}},
        in_plane_mm=(1.2, 1.4),
        slice_mm=(1.2, 1.4),
        axes=(1, 0, 2),
        noise=30,
        modality="CT",
    ),
)
CENTRES: Mapping[str, int] = MappingProxyType({"D": 150})


def draw(rng: np.random.Generator, centre: str, number: int) -> DrawnCase:
    """A case with this number of a centre of `SITES`, with all three structures."""
    image, labels = _scanned(rng, centre)
    folder = f"{FOLDER}/train_data/train_{number}"
    files: dict[str, File] = {
        f"{folder}/{number:04d}.nii.gz": image,
        f"{folder}/label_{number:04d}.nii.gz": labels,
    }
    return DrawnCase(f"LAct_{number:03d}", centre, {"": image}, labels, files)


def draw_val(rng: np.random.Generator, centre: str, numbers: Mapping[str, int]) -> ValCase:
    """A case of the validation set and its labels, which the upload holds with the values of the download."""
    (number,) = numbers.values()
    image, labels = _scanned(rng, centre)
    path = f"{FOLDER}/val_data/val_{number}/{number:04d}.nii.gz"
    return ValCase(
        f"val_{number}", {path: image}, {f"{UPLOAD}/val_{number}/{number}.nii.gz": labels}
    )


def _scanned(rng: np.random.Generator, centre: str) -> tuple[Volume, Volume]:
    """The image and the label map of a patient."""
    site = SITES[centre]
    spacing = draw_spacing(rng, site)
    rows, columns, slices = (
        round(mm * rng.uniform(0.96, 1.04) / s)
        for mm, s in zip(FIELD_OF_VIEW_MM, spacing, strict=True)
    )
    shape: Shape = (rows, columns, slices)
    atrium = draw_atrium(rng)
    tissue = paint_atrium(atrium, shape=shape, spacing_mm=spacing).tissue
    labels = np.zeros(shape, np.uint8)
    parts = paint_parts(atrium, shape=shape, spacing_mm=spacing)
    for value, part in zip((BODY, VEINS, APPENDAGE), parts, strict=True):
        labels[part] = value
        tissue[part] = Tissue.BLOOD
    affine = scanner_affine(rng, shape, spacing, tilt_deg=site.tilt_deg)
    return scan_to_file(rng, tissue, site, affine), to_file_frame(labels, affine, site)


def without_labels(rng: np.random.Generator, files: Mapping[str, File]) -> dict[str, File]:
    """A training case that nobody annotated."""
    del rng
    return {name: file for name, file in files.items() if "/label_" not in name}


def as_on_the_page(rng: np.random.Generator, files: Mapping[str, File]) -> dict[str, File]:
    """The names that the page of the challenge states."""
    del rng
    named = {}
    for name, file in files.items():
        path = PurePosixPath(name)
        stem = LABEL_OF_PAGE if path.name.startswith("label_") else "enhanced"
        named[str(path.with_name(f"{stem}.nii.gz"))] = file
    return named


DEFECTS = (
    Defect("no label map", without_labels, "no label map"),
    Defect("names of the page", as_on_the_page),
    Defect(
        "float label map",
        defects.one_after_another(as_on_the_page, defects.stored_as(LABEL_OF_PAGE, "float32")),
        "has type float32 and is rounded",
    ),
    Defect(
        "label map of another affine",
        defects.one_after_another(as_on_the_page, defects.lost_affine(LABEL_OF_PAGE)),
        "the label map takes the geometry of the image (same shape, another affine)",
    ),
    Defect("resource forks", defects.resource_forks),
)
MOCK_CHALLENGE = MockChallenge("atriumct", CENTRES, ("D",), draw, ValSet(("D",), draw_val), DEFECTS)
