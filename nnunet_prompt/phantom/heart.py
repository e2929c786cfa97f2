"""A phantom heart: short-axis stacks with known structures, for trying the package out without a download.

    <folder>/
      images/<case>.nii.gz     int16, in the odd orientation of its centre
      labels/<case>.nii.gz     official values: 200 myocardium, 500 LV, 600 RV, 2221 scar
      cases.json               {"seed": 0, "cases": {case: {"centre": "A", "annotated": ["LV", ...] or null}}}

The stack is drawn in the frame (row, column, slice): rows towards posterior, columns towards left, slices from base to
apex. Three centres differ in contrast, noise, voxel size and file orientation. Nobody looked for scar in the training
cases of centre C: there it is labelled as myocardium. The anatomy is made up; nothing medical should be read from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from nnunet_prompt.errors import DatasetError
from nnunet_prompt.io.atomic import make_folder
from nnunet_prompt.io.nifti import replacing, save_nifti
from nnunet_prompt.phantom.anatomy import (
    OFFICIAL,
    FloatArray,
    Positions,
    draw_anatomy,
    paint,
    smooth_noise,
)
from nnunet_prompt.prompts.frames import flip_permute

CASES_FILE = "cases.json"
Part = Literal["train", "test"]
_FIRST_CASE: Mapping[Part, int] = {"train": 1001, "test": 9001}


@dataclass(frozen=True, slots=True)
class Centre:
    """How a centre scans and stores. `tissue` is the mean signal, `axes` and `flips` make the file from the stack."""

    tissue: Mapping[str, float]
    in_plane_mm: tuple[float, float]
    thickness_mm: float
    noise: float
    scale: float
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    reads_scar: bool = True


def _tissue(
    blood: float, myocardium: float, scar: float, fat: float, liver: float
) -> dict[str, float]:
    known = {"blood": blood, "myocardium": myocardium, "scar": scar, "fat": fat, "liver": liver}
    return {**known, "muscle": 0.9 * myocardium + 0.1, "lung": 0.06}


CENTRES: Mapping[str, Centre] = {
    "A": Centre(
        _tissue(blood=0.62, myocardium=0.22, scar=0.92, fat=0.80, liver=0.40),
        in_plane_mm=(1.35, 1.5),
        thickness_mm=8.0,
        noise=0.045,
        scale=900.0,
        axes=(1, 0, 2),
        flips=(False, False, False),
    ),
    "B": Centre(
        _tissue(blood=0.85, myocardium=0.40, scar=0.68, fat=0.95, liver=0.48),
        in_plane_mm=(1.6, 1.75),
        thickness_mm=10.0,
        noise=0.060,
        scale=300.0,
        axes=(2, 0, 1),
        flips=(True, False, True),
    ),
    "C": Centre(
        _tissue(blood=0.50, myocardium=0.24, scar=0.75, fat=0.70, liver=0.55),
        in_plane_mm=(1.5, 1.6),
        thickness_mm=9.0,
        noise=0.075,
        scale=2500.0,
        axes=(1, 2, 0),
        flips=(True, False, True),
        reads_scar=False,
    ),
}


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
    """Draws one phantom of a centre. Without `complete`, a centre that does not read scar labels it as myocardium.

    Raises `DatasetError` for an unknown centre. The same generator state gives the same case.
    """
    if centre not in CENTRES:
        raise DatasetError(f"phantom centre {centre!r}: expected one of {sorted(CENTRES)}")
    site = CENTRES[centre]
    in_plane = float(rng.uniform(*site.in_plane_mm))
    pixels = [int(n) for n in np.clip(rng.integers(140, 165, 2) / in_plane, 80, 112)]
    shape = (pixels[0], pixels[1], int(rng.integers(8, 13)))
    spacing = (in_plane, in_plane, site.thickness_mm)
    anatomy = draw_anatomy(rng, depth_mm=shape[2] * site.thickness_mm)
    position = _positions(rng, shape, spacing)
    labels, tissue = paint(rng, anatomy, position)
    if not (complete or site.reads_scar):
        labels = np.where(labels == OFFICIAL["scar"], OFFICIAL["myocardium"], labels)
    image = _scan(rng, tissue, site)
    turn = flip_permute(site.axes, site.flips, shape)
    affine = _scanner_affine(rng, shape, spacing) @ np.linalg.inv(turn.matrix())
    return PhantomCase(
        np.ascontiguousarray(turn.apply(image)),
        np.ascontiguousarray(turn.apply(labels.astype(np.uint16))),
        affine,
        centre,
        _annotated(centre, complete),
    )


def write_phantoms(target: Path, cases: int, *, seed: int = 0, part: Part = "train") -> Path:
    """Writes phantoms of centres A, B, C in turn to `target` in the layout above, and returns `target`.

    A test case is labelled completely, whatever its centre; training and test cases of one seed are different hearts.
    Case i does not depend on how many there are. Files that are there are kept, so a stopped run goes on;
    `cases.json` is written last. Raises `DatasetError` for fewer than one case, and for a folder of another seed.
    """
    if cases < 1:
        raise DatasetError(f"{target}: {cases} phantoms asked for, expected at least one")
    _check_seed(target / CASES_FILE, seed)
    known: dict[str, Any] = {}
    for folder in ("images", "labels"):
        make_folder(target / folder)
    first = _FIRST_CASE[part]
    for i in tqdm(range(cases), desc=f"phantoms ({part})", unit="case"):
        name, centre = f"Case{first + i}", sorted(CENTRES)[i % len(CENTRES)]
        files = [target / folder / f"{name}.nii.gz" for folder in ("images", "labels")]
        complete = part == "test"
        if not all(path.is_file() for path in files):
            rng = np.random.default_rng([seed, first, i])
            case = phantom_case(rng, centre=centre, complete=complete)
            for path, array in zip(files, (case.image, case.labels), strict=True):
                if not path.is_file():
                    _save(path, array, case.affine)
        annotated = _annotated(centre, complete)
        known[name] = {
            "centre": centre,
            "annotated": None if annotated is None else sorted(annotated),
        }
    with replacing(target / CASES_FILE) as partial:
        partial.write_text(
            json.dumps({"seed": seed, "cases": known}, indent=2) + "\n", encoding="utf-8"
        )
    return target


def _check_seed(path: Path, seed: int) -> None:
    """Files that are there are kept, so hearts of two seeds must not share a folder."""
    if not path.is_file():
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["seed"]
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: not in the form of a phantom folder ({error!r})") from error
    if found != seed:
        raise DatasetError(f"{path}: seed is {found}, expected {seed}: choose another folder")


def _annotated(centre: str, complete: bool) -> frozenset[str] | None:
    """What the labels of a case show; None is everything."""
    all_of_it = complete or CENTRES[centre].reads_scar
    return None if all_of_it else frozenset(OFFICIAL) - {"scar"}


def _positions(
    rng: np.random.Generator, shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> Positions:
    """Row and column in mm from the middle of the image and depth in mm, (R, C, S); breathing shifts the slices."""
    axes = [(np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(shape[:2], spacing[:2], strict=True)]
    shift = rng.normal(0, 0.8, (2, shape[2]))
    row = np.broadcast_to(axes[0][:, None, None] + shift[0], shape)
    column = np.broadcast_to(axes[1][None, :, None] + shift[1], shape)
    return row, column, np.broadcast_to(np.arange(shape[2]) * spacing[2], shape)


def _scan(
    rng: np.random.Generator, tissue: npt.NDArray[np.str_], site: Centre
) -> npt.NDArray[np.int16]:
    """The image of the tissues: texture, partial volume in the plane, bias field, Rician noise."""
    signal = np.zeros(tissue.shape)
    for name, mean in site.tissue.items():
        signal[tissue == name] = mean * rng.uniform(0.9, 1.1)
    signal *= 1 + 0.07 * smooth_noise(rng, signal.shape, (2, 2, 0.5))
    signal = gaussian_filter(signal, (0.7, 0.7, 0.2))
    signal *= np.exp(0.22 * smooth_noise(rng, signal.shape, (30, 30, 4)))
    real, imaginary = rng.normal(0, site.noise, (2, *signal.shape))
    gain = site.scale * rng.uniform(0.8, 1.25)
    return np.asarray(np.rint(gain * np.hypot(signal + real, imaginary)), dtype=np.int16)


def _scanner_affine(
    rng: np.random.Generator, shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> FloatArray:
    """An oblique short-axis plane: slices go left, forward and down, RAS+ mm; the middle lies near the isocentre."""
    normal = np.array([-0.60, 0.55, -0.58])
    normal /= np.linalg.norm(normal)
    row = np.array([0.0, -1.0, 0.0])
    row -= normal * (row @ normal)
    row /= np.linalg.norm(row)
    column = np.cross(normal, row)
    column *= np.sign(column @ [-1.0, 0.0, 0.0])
    turned = Rotation.from_euler("xyz", rng.normal(0, 8, 3), degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turned @ np.stack([row, column, normal], axis=1) * spacing
    affine[:3, 3] = rng.normal(0, 15, 3) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def _save(path: Path, array: npt.NDArray[Any], affine: FloatArray) -> None:
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    save_nifti(path, image)
