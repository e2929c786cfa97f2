"""Mock challenge data of WHS++: whole hearts in CT and MR with seven structures, one volume per case.

    A ct_train/Case1001_{image,label}.nii.gz       B ct_train/Case2001_...
    C and D mr_train/Case3001_...                  E mr_train/Case5001_...
    ct_val/CaseCTVal001_image.nii.gz               mr_val/CaseMRVal001_image.nii.gz      (a download of its own)

The validation set is of centres A, B, C and D; the test set, too, and of F (MR), which has no training cases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import numpy as np

from nnunet_prompt.phantom import defects
from nnunet_prompt.phantom.mock_challenge import Defect, DrawnCase, MockChallenge
from nnunet_prompt.phantom.record import File
from nnunet_prompt.phantom.scanner import (
    Site,
    Volume,
    by_name,
    darker,
    draw_spacing,
    scan_to_file,
    scanner_affine,
    to_file_frame,
)
from nnunet_prompt.phantom.val_set import ValCase, ValSet
from nnunet_prompt.phantom.whole_heart import LA, MYOCARDIUM, Tissue, whole_heart

FIELD_OF_VIEW_MM = (132.0, 138.0, 124.0)  # posterior, left, superior
DIGIT: Mapping[str, str] = MappingProxyType(
    {"A": "1", "B": "2", "C and D": "3", "E": "5", "F": "6"}
)
# air, lung, blood of the left and of the right side, myocardium, fat, muscle, liver, bone
_CT = (-1000, -800, 380, 230, 110, -90, 55, 85, 420)
_MR = {"": (0.02, 0.06, 0.90, 0.75, 0.34, 0.60, 0.30, 0.42, 0.20)}


def _ct(agent: float) -> dict[str, dict[int, float]]:
    """Hounsfield units; blood takes up `agent` times the usual contrast agent."""
    bright = (Tissue.LEFT_BLOOD, Tissue.RIGHT_BLOOD)
    return {"": {int(t): _CT[t] * (agent if t in bright else 1) for t in Tissue}}


_mr = partial(darker, _MR)
_Y, _N = True, False
SITES = by_name(
    Site("A", _ct(1.0), (1.35, 1.5), (1.4, 1.6), (1, 0, 2), noise=30, modality="CT"),
    Site("B", _ct(1.3), (1.4, 1.6), (1.3, 1.5), (1, 0, 2), (_Y, _Y, _N), noise=45, modality="CT"),
    Site("C and D", _mr(1.0), (1.4, 1.6), (1.5, 1.7), (1, 2, 0), (_N, _Y, _N), 4, 0.05, gain=500),
    Site("E", _mr(0.75), (1.5, 1.65), (1.5, 1.5), (2, 0, 1), (_Y, _N, _Y), 6, 0.07, gain=1800),
    Site("F", _mr(1.25), (1.3, 1.5), (1.6, 1.8), (0, 1, 2), (_Y, _N, _N), 5, 0.06, gain=250),
)


def draw(rng: np.random.Generator, centre: str, number: int) -> DrawnCase:
    """A volume of a centre of `SITES`, with all seven structures."""
    site = SITES[centre]
    spacing = draw_spacing(rng, site)
    rows, columns, slices = (
        round(mm * rng.uniform(0.96, 1.04) / s)
        for mm, s in zip(FIELD_OF_VIEW_MM, spacing, strict=True)
    )
    shape = (rows, columns, slices)
    labels, tissue = whole_heart(rng, shape, spacing)
    affine = scanner_affine(rng, shape, spacing, tilt_deg=site.tilt_deg)
    image = scan_to_file(rng, tissue, site, affine)
    drawn = to_file_frame(labels, affine, site)
    case_id = f"Case{DIGIT[centre]}{number:03d}"
    stem = f"{centre} {site.modality.lower()}_train/{case_id}"
    files = {f"{stem}_image.nii.gz": image, f"{stem}_label.nii.gz": drawn}
    return DrawnCase(case_id, centre, {"": image}, drawn, files)


def series(centre: str) -> tuple[str, ...]:
    """Validation cases are counted by modality."""
    return (SITES[centre].modality,)


def draw_val(rng: np.random.Generator, centre: str, numbers: Mapping[str, int]) -> ValCase:
    """A volume of a centre of `SITES` and its labels, named by modality and number."""
    ((modality, number),) = numbers.items()
    case = draw(rng, centre, number)
    name = f"Case{modality}Val{number:03d}"
    folder = f"{modality.lower()}_val"
    image, labels = f"{folder}/{name}_image.nii.gz", f"{folder}/{name}.nii.gz"
    return ValCase(name, {image: case.sequences[""]}, {labels: case.labels})


def validation_folder(rng: np.random.Generator, files: Mapping[str, File]) -> dict[str, File]:
    """Both downloads in one folder: a validation case, which has no label map. The same patient with other noise."""
    name, image = next((n, f) for n, f in files.items() if n.endswith("_image.nii.gz"))
    assert isinstance(image, Volume)
    kind = "ct" if " ct_" in name else "mr"
    again = image.array + rng.integers(-20, 20, image.array.shape, dtype=np.int16)
    path = f"{kind}_val/Case{kind.upper()}Val001_image.nii.gz"
    return {**files, path: replace(image, array=again)}


DEFECTS = (
    Defect(
        "stray 421",
        defects.a_tenth_becomes("_label", LA, 421),
        "value 421 is read as 420",
        ("C and D",),
    ),
    Defect(
        "label map of another shape",
        defects.on_another_grid("_label", (1.25, 1.25, 1.25), order=0),
        "is resampled to the image by nearest neighbour",
    ),
    Defect(
        "label map of another affine",
        defects.lost_affine("_label"),
        "the label map takes the geometry of the image (same shape, another affine)",
    ),
    Defect(
        "float label map", defects.stored_as("_label", "float32"), "has type float32 and is rounded"
    ),
    Defect("label map reoriented", defects.reoriented("_label", (2, 0, 1), (_Y, _N, _Y))),
    Defect("validation folder", validation_folder, "no label map (a validation or test case)"),
    Defect("resource forks", defects.resource_forks),
    Defect("nii beside nii.gz", defects.uncompressed("_label")),
)
# Defects that no download is known to hold, or that only the user can settle: the converter stops.
REFUSED = (
    Defect(
        "unknown value",
        defects.a_tenth_becomes("_label", MYOCARDIUM, 7),
        "the label map holds the value 7",
    ),
    Defect("second copy", defects.copied_to("copy"), "two copies of one file"),
)
MOCK_CHALLENGE = MockChallenge(
    "whs",
    {"A": 20, "B": 20, "C and D": 20, "E": 26},
    ("A", "B", "C and D", "F"),
    draw,
    ValSet(("A", "C and D", "B"), draw_val, series),
    DEFECTS,
)
