"""The three uploads of CARE-Cardiac: which files of a download are predicted, where their masks go, and what they hold.

    leftatrium  CARE-Leftatrium-TEAM.zip   LA cavity segmentation/val_1/1_pred.nii.gz         LA with its scar: 1
                                           LA scar quantification/val_1/1_pred.nii.gz         scar: 1
    wholeheart  CARE-Wholeheart-TEAM.zip   ct_val/CaseCTVal001_pred.nii.gz, mr_val/...        seven official values
    pathology   CARE-Myocardium-TEAM.zip   MyoPS/Anonymous Center/Case1001/Case1001_pred.nii.gz   200, 500, 2221

The tree of CARE-Cardiac 2025 was never published. These are the trees of the validation uploads of CARE 2026; its test
images went to containers, and here their masks take the same places (ct_test, test_01/01_pred.nii.gz). The zip has no
folder above those shown, like uploads that were scored.

The left atrium of CARE-Cardiac is the cavity alone; the scar folder is written for the cases that a download has for
it. Which value stands for the cavity is nowhere stated: label maps hold 420 or 255, masks of scar 1, and the published
evaluation counts whatever is above 0.5. Uploads of 1 were scored on the board of 2026, so it is 1 (`ATRIUM_VALUE`).
The page of the uploads writes `val_****/****_pred.nii.gz`, and so do we; `val_1/val_1_pred.nii.gz` was scored, too.

The centres of the pathology downloads are anonymous: their folder AnonymousCenter is `Anonymous Center` in the upload,
and where no folder names a centre it is the same. The muscle is written whole, as 200 but for its scar. Edema is
muscle, too, and its own head is not asked: no LGE image ever annotates it. A voxel that the right ventricle claims more
than the left one is background, because the upload has no right ventricle.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.care_labels import table_for
from nnunet_prompt.data.structures import StructureTable
from nnunet_prompt.dataset_conversion.care.download import nifti_files, stem
from nnunet_prompt.dataset_conversion.care.names import (
    ATRIUM_CASE,
    ATRIUM_CT,
    ATRIUM_TASKS,
    HEART_FILE,
    SHORT_AXIS_FILE,
    plain_name,
)
from nnunet_prompt.dataset_conversion.care.whs import centre_and_modality

ATRIUM_VALUE = 1
ANONYMOUS = "Anonymous Center"

_HEART_CASE = re.compile(r"case(?P<modality>ct|mr)(?P<phase>val|test)\d+", re.IGNORECASE)
_ATRIUM_MASKS = ("atriumsegimgmo", "scarsegimgm")
_CENTRE = re.compile(r"(?:anonymous[ _-]*)?cent(?:er|re)(?:[ _-]*\w{1,2})?")
_NO_CENTRE = re.compile(r"anonymous[ _-]*cent(?:er|re)")
_TRAIN = re.compile(r"(?<![a-z])train(?:ing)?(?![a-z])")
_PHASE = re.compile(r"(?<![a-z])(val|test)(?:idation|ing)?(?![a-z])")


@dataclass(frozen=True, slots=True)
class MaskForm:
    """The content of a mask: the value of each structure. `rivals` that the model knows compete and become 0."""

    name: str
    values: Mapping[str, int]
    rivals: tuple[str, ...] = ()

    def ask(self, table: StructureTable) -> tuple[tuple[str, ...], dict[int, int]]:
        """The names to ask a model for, and the value of this form for each value of the model.

        Raises `DatasetError` for a structure that the model does not know, and for two that share a value in it.
        """
        missing = [name for name in self.values if name not in table.names]
        if missing:
            raise DatasetError(
                f"{self.name}: the model has no structure {missing[0]!r}, expected"
                f" {', '.join(self.values)}, found {', '.join(table.names)}: train on the unified data set"
            )
        rivals = tuple(name for name in self.rivals if name in table.names)
        values: dict[int, int] = {}
        for name in (*self.values, *rivals):
            official = table.find(name).official
            if official in values:
                raise DatasetError(
                    f"{self.name}: in the model the value {official} stands for {name!r} and for another"
                    " structure of this upload, expected one value each: train on the unified data set"
                )
            values[official] = self.values.get(name, 0)
        return (*self.values, *rivals), values


@dataclass(frozen=True, slots=True)
class Entry:
    """An image of a download and its mask in the upload: `member` is the path in the zip, with slashes."""

    image: Path
    member: str
    mask: MaskForm


Place = Callable[[str, Sequence[str]], tuple[str, MaskForm] | None]


@dataclass(frozen=True, slots=True)
class UploadForm:
    """An upload. `place` gives a file's member and form from its name without ending and the folders around it.

    The folders are the nearest first, the last is the one that the user gave. None is a file that is not predicted;
    `DatasetError` one that is undocumented.
    """

    name: str
    zip_name: str
    expected: str
    place: Place
    notes: tuple[str, ...]


def find_entries(
    form: UploadForm, source: Path, *, besides: Path
) -> tuple[list[Entry], list[Path]]:
    """The images to predict below `source`, by their place in the upload, and the files that are left out.

    What lies below `besides` is our own output and not seen. Raises `DatasetError` for a file that is not in a
    documented form, for two files of one place, and if there is no image.
    """
    entries: dict[str, Entry] = {}
    left_out: list[Path] = []
    base = source.resolve()
    for path in nifti_files(source):
        if path.resolve().is_relative_to(besides.resolve()):
            continue
        folders = (*reversed(path.relative_to(source).parts[:-1]), base.name)
        try:
            placed = None if _of_training(folders) else form.place(stem(path), folders)
        except DatasetError as error:
            raise DatasetError(f"{path}: {error}") from None
        if placed is None:
            left_out.append(path)
            continue
        member, mask = placed
        if member in entries:
            raise DatasetError(
                f"{path}: has the place of {entries[member].image} in the upload, {member}, expected one image for it:"
                " give a folder that holds one copy of the download with -i"
            )
        entries[member] = Entry(path, member, mask)
    if not entries:
        raise DatasetError(
            f"{source}: expected {form.expected} for the upload {form.name}, found none and"
            f" {len(left_out)} other file(s) (label maps, training cases, ...): give a validation or test download"
        )
    return [entries[member] for member in sorted(entries)], left_out


def _place_heart(name: str, folders: Sequence[str]) -> tuple[str, MaskForm] | None:
    found = HEART_FILE.fullmatch(name)
    if found is None:
        raise DatasetError("expected a name that ends in _image")
    if found["part"].lower() == "label":
        return None
    case = _HEART_CASE.fullmatch(found["case"])
    if case:
        modality, phase = case["modality"].lower(), case["phase"].lower()
    else:
        _, told, problem = centre_and_modality(found["case"], folders[::-1])
        if problem:
            raise DatasetError(problem)
        if told is None:
            raise DatasetError("no name states CT or MR: put it into a folder such as ct_val")
        modality, phase = told.lower(), _phase((found["case"], *folders), "ct_val")
    return f"{modality}_{phase}/{found['case']}_pred.nii.gz", _WHOLE_HEART


def _place_atrium(name: str, folders: Sequence[str]) -> tuple[str, MaskForm] | None:
    if name.lower() in _ATRIUM_MASKS or any(ATRIUM_CT.search(plain_name(f)) for f in folders[:-1]):
        return None
    if name.lower() != "enhanced":
        raise DatasetError("expected the image enhanced.nii.gz")
    case = ATRIUM_CASE.fullmatch(plain_name(folders[0]))
    if case is None:
        raise DatasetError(f"found the folder {folders[0]!r}, expected val_<number>")
    phase = case["part"] or _phase(folders, "val_1")
    for folder in folders:
        for form, task in ((_SCAR_MASK, ATRIUM_TASKS[1]), (_CAVITY_MASK, ATRIUM_TASKS[2])):
            if task.search(plain_name(folder)):
                number = case["number"]
                return f"{form.name}/{phase}_{number}/{number}_pred.nii.gz", form
    raise DatasetError(
        "no folder name states scar or cavity: give with -i a folder that has it in one named task1_val or task2_val"
    )


def _place_pathology(name: str, folders: Sequence[str]) -> tuple[str, MaskForm] | None:
    found = SHORT_AXIS_FILE.fullmatch(name)
    if found is None:
        raise DatasetError("expected a name that ends in _LGE")
    if found["part"].upper() not in ("LGE", "DE"):
        return None
    case = found["case"]
    centre = next((f for f in folders if _CENTRE.fullmatch(plain_name(f))), ANONYMOUS)
    if _NO_CENTRE.fullmatch(plain_name(centre)):
        centre = ANONYMOUS
    return f"MyoPS/{centre}/{case}/{case}_pred.nii.gz", _PATHOLOGY


def _phase(names: Sequence[str], folder: str) -> str:
    """The part of the first name that states one: "val" or "test"."""
    found = next((m for n in names if (m := _PHASE.search(plain_name(n)))), None)
    if found is None:
        raise DatasetError(
            f"no folder name states val or test: put it into a folder such as {folder}"
        )
    return found[1]


def _of_training(folders: Sequence[str]) -> bool:
    """Whether the nearest folder that names a part of the data set names the training part alone."""
    told = (f for f in map(plain_name, folders) if _TRAIN.search(f) or _PHASE.search(f))
    nearest = next(told, "")
    return bool(_TRAIN.search(nearest)) and not _PHASE.search(nearest)


def _official(task: str, *names: str) -> dict[str, int]:
    """The official values of a task: of all its structures, or of these."""
    return {s.name: s.official for s in table_for(task).structures if not names or s.name in names}


_WHOLE_HEART = MaskForm("whole heart", _official("whs"))
_CAVITY_MASK = MaskForm("LA cavity segmentation", {"la": ATRIUM_VALUE})
_SCAR_MASK = MaskForm("LA scar quantification", {"la_scar": ATRIUM_VALUE})
_PATHOLOGY = MaskForm("pathology", _official("myops", "lv", "myocardium", "scar"), rivals=("rv",))

_TREE = "the tree of CARE-Cardiac 2025 is not published: this is that of CARE 2026, look at the page of the upload"
FORMS: Mapping[str, UploadForm] = MappingProxyType(
    {
        form.name: form
        for form in (
            UploadForm(
                "leftatrium",
                "CARE-Leftatrium",
                "task1_val or task2_val with val_1/enhanced.nii.gz ...",
                _place_atrium,
                (f"{_TREE}; cavity and scar are written as {ATRIUM_VALUE}",),
            ),
            UploadForm(
                "wholeheart",
                "CARE-Wholeheart",
                "ct_val/CaseCTVal001_image.nii.gz, mr_val/CaseMRVal001_image.nii.gz ...",
                _place_heart,
                (_TREE,),
            ),
            UploadForm(
                "pathology",
                "CARE-Myocardium",
                "AnonymousCenter/Case1001/Case1001_LGE.nii.gz ...",
                _place_pathology,
                (f"{_TREE}; uploads with a case without scar were refused in 2026",),
            ),
        )
    }
)
