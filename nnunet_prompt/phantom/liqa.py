"""Mock challenge data of LiQA (CARE-Liver): the liver in seven MR phases, one with a mask in ten cases per vendor.

    LiQA_training_data/Vendor_A/1009-A-S4/{T1,T2,DWI_800,GED1,GED2,GED3,GED4,mask_GED4}.nii.gz
    LiQA_val/info.csv, LiQA_val/Data/Vendor_A/3001-A/{T1,...,GED4}.nii.gz      (a download of its own)

The first thirty cases are those that are known to be annotated, under their own names; all further ones have no mask.
Phases are scanned one after the other, each on its own grid and in its own breath: they are not registered. Apart from
GED4, a phase may be missing. Of the masks of the validation set only that of GED4 is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from types import MappingProxyType

import numpy as np
from scipy.spatial.transform import Rotation

from nnunet_prompt.phantom import defects
from nnunet_prompt.phantom.defects import Injection
from nnunet_prompt.phantom.liver_scanner import PHASES, LiverPatient
from nnunet_prompt.phantom.mock_challenge import Defect, DrawnCase, MockChallenge
from nnunet_prompt.phantom.record import File
from nnunet_prompt.phantom.scanner import Volume
from nnunet_prompt.phantom.val_set import ValCase, ValSet

LABELLED, MASK = "GED4", "mask_GED4"
TRAINING, VALIDATION = "LiQA_training_data", "LiQA_val"
# The annotated cases by their known names; 1053 comes first, because it is there at two vendors.
ANNOTATED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "A": tuple(
            "1053-A-S3 1009-A-S4 1406-A-S1 1432-A-S4 1920-A-S1"
            " 1927-A-S1 1967-A-S2 1971-A-S2 1991-A-S4 1998-A-S4".split()
        ),
        "B1": tuple(
            "0241-B1-S2 0482-B1-S2 0487-B1-S2 0496-B1-S3 1002-B1-S1"
            " 1012-B1-S4 1029-B1-S4 1144-B1-S1 1158-B1-S2 1194-B1-S4".split()
        ),
        "B2": tuple(
            "1053-B2-S3 1031-B2-S1 1041-B2-S3 1070-B2-S4 1075-B2-S4"
            " 1076-B2-S4 1086 1097 1098 1115-B2-S4".split()
        ),
    }
)
FIRST_FURTHER = 2000  # numbers of cases without mask begin above this
FIRST_OF_VAL = 3000  # numbers of validation cases, over all vendors
MISSING = 0.3  # share of the cases in which a phase is missing, T2 never without a defect


class FilesOnDemand(Mapping[str, File]):
    """The files of a case, generated at the first access: a test case needs none of them."""

    def __init__(self, make: Callable[[], dict[str, File]]) -> None:
        self._make = make
        self._files: dict[str, File] | None = None

    def _drawn(self) -> dict[str, File]:
        if self._files is None:
            self._files = self._make()
        return self._files

    def __getitem__(self, name: str) -> File:
        return self._drawn()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._drawn())

    def __len__(self) -> int:
        return len(self._drawn())


def draw(rng: np.random.Generator, centre: str, number: int) -> DrawnCase:
    """Generates the patient with this number of a vendor; vendor C has no training files."""
    known = ANNOTATED.get(centre, ())
    stage = int(rng.integers(1, 5))
    name = f"{FIRST_FURTHER + number}-{centre}-S{stage}"
    if number <= len(known):
        name = known[number - 1]
        stage = int(name[-1]) if "-S" in name else stage
    patient = LiverPatient(rng, centre, stage=stage)
    image, mask = patient.scan(LABELLED)

    def files() -> dict[str, File]:
        folder = f"{TRAINING}/Vendor_{centre}/{name}"
        found: dict[str, File] = {
            f"{folder}/{phase}.nii.gz": patient.scan(phase)[0] for phase in other_phases(rng)
        }
        found[f"{folder}/{LABELLED}.nii.gz"] = image
        if number <= len(known):
            found[f"{folder}/{MASK}.nii.gz"] = mask
        return found

    case_id = f"LiQA_{centre}_{name.partition('-')[0]}"
    own = FilesOnDemand(files) if centre in CENTRES else {}
    return DrawnCase(case_id, centre, {"": image}, mask, own)


def draw_val(rng: np.random.Generator, centre: str, numbers: Mapping[str, int]) -> ValCase:
    """Generates a patient of a vendor with its number among all of them; the mask is that of GED4."""
    (number,) = numbers.values()
    patient = LiverPatient(rng, centre, stage=int(rng.integers(1, 5)))
    name = f"{FIRST_OF_VAL + number}-{centre}"
    folder = f"{VALIDATION}/Data/Vendor_{centre}/{name}"
    image, mask = patient.scan(LABELLED)
    images = {f"{folder}/{phase}.nii.gz": patient.scan(phase)[0] for phase in other_phases(rng)}
    images[f"{folder}/{LABELLED}.nii.gz"] = image
    return ValCase(name, images, {f"LiSeg_pred/{name}/{LABELLED}.nii.gz": mask})


def info_of_val(images: Sequence[str]) -> dict[str, bytes]:
    """The table of the validation cases, from the paths of their images: which phases each lacks."""
    phases: dict[str, set[str]] = {}
    for path in map(PurePosixPath, images):
        phases.setdefault(path.parent.name, set()).add(path.name.removesuffix(defects.SUFFIX))
    lines = ["Case,Vendor,Missing Modality"]
    for case in sorted(phases):
        missing = " ".join(phase for phase in PHASES if phase not in phases[case])
        lines.append(f"{case},{case.partition('-')[2]},{missing}")
    return {f"{VALIDATION}/info.csv": "\n".join([*lines, ""]).encode()}


def other_phases(rng: np.random.Generator) -> list[str]:
    """The phases that a case has beside GED4: in some cases one is missing."""
    gone = rng.choice(["T1", "DWI_800", "GED1", "GED2", "GED3"]) if rng.random() < MISSING else ""
    return [phase for phase in PHASES if phase not in (LABELLED, gone)]


def on_images(inject: Injection) -> Injection:
    """The defect for everything but masks, whose names end like those of their images."""

    def inject_images(rng: np.random.Generator, files: Mapping[str, File]) -> dict[str, File]:
        images = {name: file for name, file in files.items() if MASK not in name}
        return {**files, **inject(rng, images)}

    return inject_images


def second_name_of_t2(rng: np.random.Generator, files: Mapping[str, File]) -> dict[str, File]:
    """T2 is called T2WI."""
    del rng
    return {name.replace("/T2.nii.gz", "/T2WI.nii.gz"): file for name, file in files.items()}


def without(*phases: str) -> Injection:
    """Some phases are missing."""

    def inject(rng: np.random.Generator, files: Mapping[str, File]) -> dict[str, File]:
        del rng
        gone = tuple(f"/{phase}.nii.gz" for phase in phases)
        return {name: file for name, file in files.items() if not name.endswith(gone)}

    return inject


def _tilted(volume: Volume) -> Volume:
    """An oblique plane, as of 0241-B1-S2: about four degrees."""
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", (3.0, -2.5, 1.0), degrees=True).as_matrix()
    return replace(volume, affine=turn @ volume.affine)


def _moved(volume: Volume) -> Volume:
    """An affine that states another place, by less than a voxel."""
    affine = volume.affine.copy()
    affine[:3, 3] += (0.9, -0.7, 0.5)
    return replace(volume, affine=affine)


CENTRES: Mapping[str, int] = MappingProxyType({v: len(names) for v, names in ANNOTATED.items()})
DEFECTS = (
    Defect("fourth axis", defects.fourth_axis(""), "the axes of length one are dropped"),
    Defect("mask of int16", defects.stored_as(MASK, "int16")),
    Defect("mask of floats", defects.stored_as(MASK, "float32"), "has type float32 and is rounded"),
    Defect("not finite", on_images(defects.not_finite(LABELLED)), "10 voxels are not finite"),
    Defect("T2WI", second_name_of_t2),
    Defect("oblique", defects.change("", _tilted)),
    Defect(
        "slices along another axis", defects.reoriented(LABELLED, (2, 0, 1), (True, False, False))
    ),
    Defect("missing phases", without("T1", "T2", "DWI_800")),
    Defect("mask at another place", defects.change(MASK, _moved), "takes the geometry of GED4"),
    Defect("resource forks", defects.resource_forks),
)
MOCK_CHALLENGE = MockChallenge(
    "liqa",
    CENTRES,
    ("A", "B1", "B2", "C"),
    draw,
    ValSet(("A", "B1", "B2"), draw_val, tables=info_of_val),
    DEFECTS,
)
