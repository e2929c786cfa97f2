"""`nnunet-prompt predict --upload`: a validation or test download to the zip that a CARE-Cardiac platform takes.

    OUTPUT/CARE-Wholeheart-TEAM/ct_val/CaseCTVal001_pred.nii.gz ...    each mask on the grid of its image
    OUTPUT/CARE-Wholeheart-TEAM.zip                                    the same tree, once every case has its mask

What goes where, with which values, and how sure it is: `upload_forms`. The form decides the values, not the model: the
muscle is 205 in the unified data set and in the whole heart, but 200 in the pathology upload.
"""

from __future__ import annotations

import logging
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nnunet_prompt.challenge.upload_forms import FORMS, Entry, UploadForm, find_entries
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.inference.case_runner import (
    Predictor,
    all_failures,
    each_case,
)
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.io.atomic import check_writable, make_folder, replacing
from nnunet_prompt.io.guard import check_output_folder, check_targets, model_folders
from nnunet_prompt.io.mask_file import is_finished
from nnunet_prompt.io.nifti import NiftiVolume, read_stored, write_labels_like

_log = logging.getLogger(__name__)

NO_TEAM = "TeamName"
_TEAM = re.compile(r"\w[\w .-]*(?<![ .])")
_ZIP_TIME = (
    1980,
    1,
    1,
    0,
    0,
    0,
)  # the earliest that a zip can state: the same masks make the same zip


@dataclass(frozen=True, slots=True)
class Upload:
    """The result of a run: the zip, how many masks were written now and how many were kept, and lines for the user."""

    zip_file: Path
    written: int
    kept: int
    notes: tuple[str, ...]


def predict_upload(
    images: Path,
    output: Path,
    *,
    form: str,
    model: Path,
    team: str = NO_TEAM,
    options: PredictOptions = PredictOptions(),  # noqa: B008 - frozen
) -> Upload:
    """Predicts every image of a download and packs the masks; `form` is a key of `FORMS`.

    Existing masks are kept, so that a stopped run continues; another model needs another output folder. Raises
    `NNUNetPromptError` for a download or a model that does not fit the form, before anything is predicted, and after
    the last case if one failed: then there is no zip, an earlier one is removed, and the other cases keep their masks.
    """
    chosen = _form(form)
    if not _TEAM.fullmatch(team):
        raise NNUNetPromptError(
            f"team {team!r}: expected letters, digits, blanks, dots, _ and -, as it becomes part of a file name"
        )
    root = output / f"{chosen.zip_name}-{team}"
    check_output_folder(output, [images, *model_folders(model)])
    check_output_folder(root, [images])
    entries, left_out = find_entries(chosen, images, besides=root)
    from nnunet_prompt.inference.predictor import PromptPredictor

    predictor = PromptPredictor.from_folder(model, options)
    make_folder(root)
    written, kept = write_masks(predictor, entries, root=root)
    zip_file = _pack(root, [entry.member for entry in entries])
    notes = [*chosen.notes]
    if kept:
        notes.append(f"kept {kept} existing mask(s): use another -o for another model")
    if left_out:
        notes.append(
            f"left out {len(left_out)} file(s) (label maps, training cases, other sequences), such as"
            f" {left_out[0]}"
        )
    if team == NO_TEAM:
        notes.append(f"the zip is named {zip_file.name}: give your team's name with --team")
    return Upload(zip_file, written, kept, tuple(notes))


def write_masks(predictor: Predictor, entries: Sequence[Entry], *, root: Path) -> tuple[int, int]:
    """Writes the mask of each entry that has none below `root`; returns how many are new, and how many were there.

    Raises `NNUNetPromptError` before the first case if the model does not fit the entries, and after the last if a case
    failed.
    """
    if predictor.n_image_channels != 1:
        raise NNUNetPromptError(
            f"the model takes {predictor.n_image_channels} image channels, expected 1: an upload has one image per case"
        )
    asked = {e.mask.name: e.mask.ask(predictor.table) for e in entries}
    stages = _Stages(predictor, asked, root)
    check_targets((root / e.member for e in entries), (e.image for e in entries))
    missing = [e for e in entries if not _is_done(e, asked[e.mask.name][1], root)]
    if missing:
        make_folder(root)
        check_writable(root)
        _zip_of(root).unlink(missing_ok=True)  # it would not show the state of the masks
    named = [(entry.member, entry) for entry in missing]
    run = each_case(named, load=stages.load, work=stages.predict, write=stages.write, verb="upload")
    if run.failed:
        raise NNUNetPromptError(f"{all_failures(run.failed, len(entries))}; no zip is written")
    return len(missing), len(entries) - len(missing)


def _is_done(entry: Entry, values: Mapping[int, int], root: Path) -> bool:
    """Whether the mask of an entry is finished; `values` has this form's value for each of the model."""
    return is_finished(root / entry.member, [entry.image], frozenset(values.values()))


@dataclass(frozen=True, slots=True, eq=False)
class _Image:
    """An entry on its way: its image, and with a mask the mask on the image's grid."""

    entry: Entry
    volume: NiftiVolume
    mask: npt.NDArray[np.int32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Stages:
    """The work on each entry; `asked` has the structures and values of each kind of mask."""

    predictor: Predictor
    asked: Mapping[str, tuple[tuple[str, ...], Mapping[int, int]]]
    root: Path

    def load(self, entry: Entry) -> _Image:
        volume = read_stored(entry.image)
        for line in volume.remarks():
            _log.warning(line)
        return _Image(entry, volume)

    def predict(self, image: _Image) -> _Image:
        entry = image.entry
        names, values = self.asked[entry.mask.name]
        labels = np.asarray(self.predictor.predict_structures([image.volume], names))
        mask = np.zeros(labels.shape, np.int32)
        for official, value in values.items():
            mask[labels == official] = value
        for name, value in entry.mask.values.items():
            if not (mask == value).any():
                _log.warning(f"{entry.member}: no voxel of {name} ({value})")
        return replace(image, mask=mask)

    def write(self, image: _Image) -> None:
        assert image.mask is not None
        make_folder((self.root / image.entry.member).parent)
        write_labels_like(self.root / image.entry.member, image.mask, image.volume)


def _form(name: str) -> UploadForm:
    if name not in FORMS:
        raise NNUNetPromptError(f"upload {name!r}: expected one of {', '.join(FORMS)}")
    return FORMS[name]


def _zip_of(root: Path) -> Path:
    return root.with_name(f"{root.name}.zip")


def _pack(root: Path, members: Sequence[str]) -> Path:
    """The zip beside `root` with these files of it, in this order; equal files make equal bytes."""
    target = _zip_of(root)
    with replacing(target) as partial, zipfile.ZipFile(partial, "w") as archive:
        for member in members:
            entry = zipfile.ZipInfo(member, _ZIP_TIME)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16  # Unix, on every system
            archive.writestr(entry, (root / member).read_bytes())
    return target
