"""Mock challenge data of MyoPS++: short-axis stacks in C0, LGE and T2, with scar bright in LGE and edema bright in T2.

    Myo_train/MyoPS_train/CenterB/Case2001/Case2001_{C0,LGE,T2,gd}.nii.gz
    AnonymousCenter/Case1001/Case1001_LGE.nii.gz       (validation of CARE-Cardiac's pathology, a download of its own)

Centres differ in what they scan and annotate: A scans LGE and annotates neither right ventricle nor edema, B and C
scan and annotate all, E, F and G have no T2 and annotate no edema, H scans LGE and annotates the scar alone. Edema that
was not looked for is labelled as myocardium. Validation and test set are of centre D, which has no training cases. The
masks of the validation are those of CARE-Cardiac: no right ventricle, and edema is myocardium.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from nnunet_prompt.phantom import defects
from nnunet_prompt.phantom.anatomy import (
    OFFICIAL,
    Tissue,
    breathing_positions,
    draw_anatomy,
    paint,
)
from nnunet_prompt.phantom.mock_challenge import Defect, DrawnCase, MockChallenge
from nnunet_prompt.phantom.scanner import (
    Site,
    Spacing,
    by_name,
    darker,
    draw_spacing,
    scan_to_file,
    scanner_affine,
    smooth_noise,
    to_file_frame,
)
from nnunet_prompt.phantom.val_set import ValCase, ValSet

MYOCARDIUM, LV, RV = OFFICIAL["myocardium"], OFFICIAL["LV"], OFFICIAL["RV"]
EDEMA, SCAR = 1220, OFFICIAL["scar"]
SEQUENCES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"A": ("LGE",), "H": ("LGE",)}
    | dict.fromkeys("BCD", ("C0", "LGE", "T2"))
    | dict.fromkeys("EFG", ("C0", "LGE"))
)
ROOT = "Myo_train/MyoPS_train"
NO_SCAR: Mapping[str, float] = MappingProxyType(
    dict.fromkeys("EFG", 0.25)
)  # in the real ones 6 of 24
_BASE: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "C0": (0.06, 0.90, 0.33, 0.37, 0.40, 0.95, 0.42, 0.36),
        "LGE": (0.05, 0.60, 0.20, 0.95, 0.30, 0.75, 0.40, 0.26),
        "T2": (0.04, 0.22, 0.40, 0.55, 0.90, 0.18, 0.30, 0.36),
    }
)
_mr = partial(darker, _BASE)
_Y, _N = True, False
_SITES = (
    Site("A", _mr(1.0), (1.25, 1.4), (10, 10), (1, 0, 2), (_N, _Y, _N), noise=0.045, gain=900),
    Site("B", _mr(0.8), (1.15, 1.33), (11, 13), (1, 0, 2), noise=0.055, gain=320),
    Site("C", _mr(1.2), (0.73, 0.76), (15, 23), (1, 0, 2), (_Y, _N, _Y), noise=0.07, gain=1500),
    Site("D", _mr(0.9), (1.0, 1.1), (12, 14), noise=0.065, gain=600),
    Site("E", _mr(0.7), (1.6, 1.86), (10, 12), (2, 0, 1), (_Y, _N, _Y), noise=0.05, gain=250),
    Site("F", _mr(1.1), (1.4, 1.5), (9, 10), (0, 2, 1), (_N, _Y, _N), noise=0.06, gain=2000),
    Site("G", _mr(1.0), (1.05, 1.2), (10, 13), (1, 2, 0), (_Y, _Y, _N), noise=0.04, gain=480),
    Site("H", _mr(0.85), (1.33, 1.33), (8, 12), (1, 0, 2), (_Y, _Y, _Y), noise=0.07, gain=1100),
)
SITES = by_name(*(replace(site, tilt_deg=8) for site in _SITES))


def draw(rng: np.random.Generator, centre: str, number: int) -> DrawnCase:
    """A patient of a centre of `SITES`: the files of the training download and all three sequences for a test set."""
    site = SITES[centre]
    spacing = draw_spacing(rng, site)
    depth = rng.uniform(85, 105)  # a heart from base to apex, and a little more
    rows, columns = (int(n) for n in rng.integers(140, 165, 2) / spacing[0])
    shape = (rows, columns, max(4, round(depth / spacing[2])))
    labels, tissue = _heart(rng, shape, spacing, scarred=rng.random() >= NO_SCAR.get(centre, 0))
    affine = scanner_affine(rng, shape, spacing, plane="short axis", tilt_deg=site.tilt_deg)
    sequences = {
        name: scan_to_file(rng, tissue, site, affine, sequence=name) for name in site.contrast
    }
    complete = to_file_frame(labels.astype(np.uint16), affine, site)
    case_id = f"Case{'ABCDEFGH'.index(centre) + 1}{number:03d}"
    stem = f"{ROOT}/Center{centre}/{case_id}/{case_id}"
    files = {f"{stem}_{s}.nii.gz": sequences[s] for s in SEQUENCES[centre]}
    drawn = replace(complete, array=partial_labels(complete.array, centre))
    return DrawnCase(case_id, centre, sequences, complete, {**files, f"{stem}_gd.nii.gz": drawn})


def partial_labels(labels: npt.NDArray[Any], centre: str) -> npt.NDArray[Any]:
    """What a centre annotates of complete labels (datasets.md 3.4); same shape and type.

    Edema that was not looked for is myocardium; any other structure that is not annotated is 0.
    """
    if centre == "H":
        return np.where(labels == SCAR, labels, 0).astype(labels.dtype)
    drawn = labels.copy()
    if "T2" not in SEQUENCES[centre]:
        drawn[labels == EDEMA] = MYOCARDIUM
    if centre == "A":
        drawn[labels == RV] = 0
    return drawn


def draw_val(rng: np.random.Generator, centre: str, numbers: Mapping[str, int]) -> ValCase:
    """The LGE image of a patient, and its mask of CARE-Cardiac: myocardium, cavity and scar."""
    (number,) = numbers.values()
    case = draw(rng, centre, number)
    name = f"Case1{number:03d}"
    mask = case.labels.array.copy()
    mask[mask == EDEMA] = MYOCARDIUM
    mask[mask == RV] = 0
    return ValCase(
        name,
        {f"AnonymousCenter/{name}/{name}_LGE.nii.gz": case.sequences["LGE"]},
        {f"MyoPS/Anonymous Center/{name}/{name}.nii.gz": replace(case.labels, array=mask)},
    )


def _heart(
    rng: np.random.Generator, shape: tuple[int, int, int], spacing: Spacing, *, scarred: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Complete labels and the tissue map, (R, C, S): a heart with a scar and edema around it, or edema alone."""
    place = breathing_positions(rng, shape, spacing)
    heart = draw_anatomy(rng, depth_mm=shape[2] * spacing[2])
    while heart.scar is None:
        heart = draw_anatomy(rng, depth_mm=shape[2] * spacing[2])
    labels, tissue = paint(rng, heart, place)
    scar = labels == SCAR
    # edema reaches further than scar, mostly along the wall
    away = distance_transform_edt(~scar, (spacing[0], spacing[1], 12.0))
    ragged = 3 * smooth_noise(rng, shape, (4, 4, 1))
    edema = (labels == MYOCARDIUM) & (away < rng.uniform(6, 14) + ragged)
    labels[edema], tissue[edema] = EDEMA, Tissue.EDEMA
    if not scarred:
        labels[scar], tissue[scar] = EDEMA, Tissue.EDEMA
    return labels, tissue


DEFECTS = (
    Defect(
        "scar stored as 1",
        defects.values_become("_gd", {SCAR: 1}),
        "value 1 is read as 2221",
        ("H",),
    ),
    Defect(
        "label map of another affine",
        defects.lost_affine("_gd"),
        "the label map takes the geometry of LGE (same shape, another affine)",
    ),
    Defect(
        "C0 and T2 on another grid",
        defects.on_another_grid(("_C0", "_T2"), (1.25, 1.25, 1.0), order=1),
        "is resampled to the grid of the labels",
        ("B", "C"),
    ),
    Defect(
        "float label map", defects.stored_as("_gd", "float32"), "has type float32 and is rounded"
    ),
    Defect("one slice", defects.one_slice("_gd"), "a stack of one slice"),
    Defect(
        "slices of 1 mm",
        defects.slice_thickness("", 1.0),
        "slices of 1 mm: a suspect header, kept as it is",
    ),
    Defect("not finite", defects.not_finite("_LGE"), "10 voxels are not finite and become 0"),
    Defect("resource forks", defects.resource_forks),
    Defect("nii beside nii.gz", defects.uncompressed("_gd")),
    Defect(
        "empty label map", defects.values_become("_gd", {SCAR: 0}), "the label map is empty", ("H",)
    ),
)
# Defects that no download is known to hold, or that only the user can settle: the converter stops.
REFUSED = (
    Defect(
        "unknown value", defects.a_tenth_becomes("_gd", SCAR, 7), "the label map holds the value 7"
    ),
    Defect(
        "scar as 1 and 2221",
        defects.a_tenth_becomes("_gd", SCAR, 1),
        "the label map holds both 1 and 2221",
    ),
    Defect(
        "edema without T2",
        defects.a_tenth_becomes("_gd", MYOCARDIUM, EDEMA),
        "edema (1220) is labelled without T2",
        ("A", "E", "F", "G"),
    ),
    Defect("unaligned copy", defects.copied_to("unaligned"), "--version-root"),
)
MOCK_CHALLENGE = MockChallenge(
    "myops",
    {"A": 81, "B": 50, "C": 45, "E": 7, "F": 9, "G": 8, "H": 35},
    ("D",),
    draw,
    ValSet(("D",), draw_val),
    DEFECTS,
)
