"""A phantom heart: short-axis stacks with known structures, for trying the package out without a download.

    <folder>/
      images/<case>.nii.gz     int16, in the odd orientation of its centre
      labels/<case>.nii.gz     official values: 200 myocardium, 500 LV, 600 RV, 2221 scar
      cases.json               {"seed": 0, "cases": {case: {"centre": "A", "annotated": ["LV", ...] or null}}}

The stack is generated in the frame (row, column, slice): rows towards posterior, columns towards left, slices from base
to apex. Three centres differ in contrast, noise, voxel size and file orientation. Scar is not annotated in the training
cases of centre C: there it is labelled as myocardium. The anatomy is synthetic; nothing medical should be read from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.common.log import progress
from nnunet_prompt.io.atomic import make_folder
from nnunet_prompt.io.json_file import read_object, write_json
from nnunet_prompt.phantom.anatomy import (
    OFFICIAL,
    Tissue,
    breathing_positions,
    draw_anatomy,
    paint,
)
from nnunet_prompt.phantom.record import save_volume
from nnunet_prompt.phantom.scanner import (
    FloatArray,
    Site,
    Volume,
    by_name,
    magnitude,
    scanner_affine,
    smooth_noise,
    to_file_frame,
)

CASES_FILE = "cases.json"
Part = Literal["train", "test"]
_FIRST_CASE: Mapping[Part, int] = {"train": 1001, "test": 9001}


def _contrast(
    blood: float, myocardium: float, scar: float, fat: float, liver: float
) -> Mapping[str, Mapping[int, float]]:
    """The mean signals of a centre; the generator is asked for their scatter in this order."""
    return {
        "LGE": {
            Tissue.BLOOD: blood,
            Tissue.MYOCARDIUM: myocardium,
            Tissue.SCAR: scar,
            Tissue.FAT: fat,
            Tissue.LIVER: liver,
            Tissue.MUSCLE: 0.9 * myocardium + 0.1,
            Tissue.LUNG: 0.06,
        }
    }


CENTRES = by_name(
    Site(
        "A",
        _contrast(blood=0.62, myocardium=0.22, scar=0.92, fat=0.80, liver=0.40),
        in_plane_mm=(1.35, 1.5),
        slice_mm=(8.0, 8.0),
        axes=(1, 0, 2),
        tilt_deg=8,
        noise=0.045,
        gain=900.0,
    ),
    Site(
        "B",
        _contrast(blood=0.85, myocardium=0.40, scar=0.68, fat=0.95, liver=0.48),
        in_plane_mm=(1.6, 1.75),
        slice_mm=(10.0, 10.0),
        axes=(2, 0, 1),
        flips=(True, False, True),
        tilt_deg=8,
        noise=0.060,
        gain=300.0,
    ),
    Site(
        "C",
        _contrast(blood=0.50, myocardium=0.24, scar=0.75, fat=0.70, liver=0.55),
        in_plane_mm=(1.5, 1.6),
        slice_mm=(9.0, 9.0),
        axes=(1, 2, 0),
        flips=(True, False, True),
        tilt_deg=8,
        noise=0.075,
        gain=2500.0,
    ),
)
WITHOUT_SCAR = ("C",)  # centres that do not annotate scar


@dataclass(frozen=True, slots=True, eq=False)
class PhantomCase:
    """One phantom in its file frame: `image` int16 and `labels` (official values) of one shape, `affine` RAS+, mm.

    `annotated` names the structures that the labels show; None means all.
    """

    image: npt.NDArray[np.int16]
    labels: npt.NDArray[np.uint16]
    affine: FloatArray
    centre: str
    annotated: frozenset[str] | None


def phantom_case(rng: np.random.Generator, *, centre: str, complete: bool = True) -> PhantomCase:
    """Generates one phantom of a centre. Without `complete`, a centre without scar labels it as myocardium.

    Raises `DatasetError` for an unknown centre. The same generator state gives the same case.
    """
    if centre not in CENTRES:
        raise DatasetError(f"phantom centre {centre!r}: expected one of {sorted(CENTRES)}")
    site = CENTRES[centre]
    in_plane, thickness = float(rng.uniform(*site.in_plane_mm)), site.slice_mm[0]
    rows, columns = (int(n) for n in np.clip(rng.integers(140, 165, 2) / in_plane, 80, 112))
    shape = (rows, columns, int(rng.integers(8, 13)))
    spacing = (in_plane, in_plane, thickness)
    anatomy = draw_anatomy(rng, depth_mm=shape[2] * thickness)
    labels, tissue = paint(rng, anatomy, breathing_positions(rng, shape, spacing))
    annotated = _annotated(centre, complete)
    if annotated is not None:
        labels = np.where(labels == OFFICIAL["scar"], OFFICIAL["myocardium"], labels)
    image = _scan(rng, tissue, site)
    affine = scanner_affine(rng, shape, spacing, plane="short axis", tilt_deg=site.tilt_deg)
    stored = to_file_frame(image, affine, site)
    drawn = to_file_frame(labels.astype(np.uint16), affine, site)
    return PhantomCase(stored.array, drawn.array, stored.affine, centre, annotated)


def write_phantoms(target: Path, cases: int, *, seed: int = 0, part: Part = "train") -> Path:
    """Writes phantoms of centres A, B, C by rotation to `target` in the layout above, and returns `target`.

    A test case is labelled completely, whatever its centre; training and test cases of one seed are different hearts.
    Case i does not depend on how many there are. Existing files are kept, so a stopped run resumes;
    `cases.json` is written last. Raises `DatasetError` for fewer than one case, and for a folder of another seed.
    """
    if cases < 1:
        raise DatasetError(f"{target}: {cases} phantoms asked for, expected at least one")
    _check_seed(target / CASES_FILE, seed)
    known: dict[str, Any] = {}
    for folder in ("images", "labels"):
        make_folder(target / folder)
    first = _FIRST_CASE[part]
    for i in progress(range(cases), f"phantoms ({part})"):
        name, centre = f"Case{first + i}", sorted(CENTRES)[i % len(CENTRES)]
        files = [target / folder / f"{name}.nii.gz" for folder in ("images", "labels")]
        complete = part == "test"
        if not all(path.is_file() for path in files):
            rng = np.random.default_rng([seed, first, i])
            case = phantom_case(rng, centre=centre, complete=complete)
            for path, array in zip(files, (case.image, case.labels), strict=True):
                if not path.is_file():
                    save_volume(path, Volume(array, case.affine))
        annotated = _annotated(centre, complete)
        known[name] = {
            "centre": centre,
            "annotated": None if annotated is None else sorted(annotated),
        }
    write_json(target / CASES_FILE, {"seed": seed, "cases": known})
    return target


def _check_seed(path: Path, seed: int) -> None:
    """Raises where another seed was used: existing files are kept, and hearts of two seeds must not share a folder."""
    if not path.is_file():
        return
    try:
        found = read_object(path, DatasetError, way_out=": choose another folder")["seed"]
    except KeyError as error:
        raise DatasetError(f"{path}: not in the form of a phantom folder ({error!r})") from error
    if found != seed:
        raise DatasetError(f"{path}: seed is {found}, expected {seed}: choose another folder")


def _annotated(centre: str, complete: bool) -> frozenset[str] | None:
    """The structures that a case annotates; None means all."""
    partial = not complete and centre in WITHOUT_SCAR
    return frozenset(OFFICIAL) - {"scar"} if partial else None


def _scan(
    rng: np.random.Generator, tissue: npt.NDArray[np.uint8], site: Site
) -> npt.NDArray[np.int16]:
    """The image of the tissues: texture, partial volume in the plane, bias field, Rician noise."""
    signal = np.zeros(tissue.shape)
    for kind, mean in site.contrast["LGE"].items():
        signal[tissue == kind] = mean * rng.uniform(0.9, 1.1)
    signal *= 1 + site.texture * smooth_noise(rng, signal.shape, (2, 2, 0.5))
    signal = gaussian_filter(signal, (0.7, 0.7, 0.2))
    signal *= np.exp(site.bias * smooth_noise(rng, signal.shape, (30, 30, 4)))
    return magnitude(rng, signal, site)
