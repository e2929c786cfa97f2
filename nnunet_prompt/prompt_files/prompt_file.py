"""Prompts for `nnunet-prompt predict -p`: a file for all cases, or a folder with files for each.

    our own form                 own_form.py      JSON with "format": "nnunet-prompt"
    prompts.json of TFM4MedIA    prompts_json.py  JSON of slices; what x, y and slice 0 are is inferred from the images
    3D Slicer                    slicer.py        .mrk.json, .fcsv
    napari                       napari.py        .csv of points, shapes and tracks
    label maps                   segmentation.py  .nii.gz, .nii, .seg.nrrd, .nrrd

The last three belong to one case each. `load_prompts` reads what can be read without the images; `for_images` assigns
files to cases and infers the convention of a prompts.json from all images, or else `PromptFile.prompts` from its one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from nnunet_prompt.common.arguments import as_path, check_type
from nnunet_prompt.common.errors import NNUNetPromptError, PromptFileError
from nnunet_prompt.data.structures import StructureTable
from nnunet_prompt.io.image_cases import find_key
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.prompt_files import own_form, slicer
from nnunet_prompt.prompt_files.added import is_added, read_added
from nnunet_prompt.prompt_files.infer_convention import Reading, settle
from nnunet_prompt.prompt_files.json_content import cases_of_slices, load_or_hint
from nnunet_prompt.prompt_files.label_text import understand
from nnunet_prompt.prompt_files.located import (
    Located,
    MaskAt,
    TextAt,
    Warn,
    place,
    report_texts,
    texts_of,
)
from nnunet_prompt.prompt_files.napari import DEFAULT_AXES, Axes
from nnunet_prompt.prompt_files.prompt_folder import (
    FORMS,
    OF_ONE_CASE,
    FileOfCase,
    file_of,
    files_by_case,
    stem_of,
)
from nnunet_prompt.prompt_files.prompts_json import (
    PromptsJson,
    shorten,
)
from nnunet_prompt.prompt_files.prompts_json_convention import (
    ALL_OPEN,
    GivenConvention,
    JsonConvention,
    RawCase,
)
from nnunet_prompt.prompt_files.prompts_json_text import with_texts
from nnunet_prompt.prompt_files.text import labels_of
from nnunet_prompt.prompts.frames import pls_map
from nnunet_prompt.prompts.types import CasePrompts

_log = logging.getLogger(__name__)
Content = RawCase | tuple[Located, ...] | tuple[FileOfCase, ...]


@dataclass(frozen=True, slots=True)
class PromptFile:
    """The prompts of several cases, each to be placed in its own image.

    cases    what is known of each case by its key: prompts, or the files that hold them
    loose    whether the path holds files that are not assigned to cases yet
    given    what the user states of the convention of a prompts.json
    reading  the convention, None until the images are known
    axes     what axis-0, axis-1 and axis-2 of a napari file are, None for the default, which is reported
    table    the structures that labels may be named by
    """

    path: Path
    cases: Mapping[str, Content]
    loose: bool = False
    given: GivenConvention = ALL_OPEN
    reading: Reading | None = None
    axes: Axes | None = None
    table: StructureTable | None = None

    @property
    def named(self) -> frozenset[str]:
        """The names that a case may have: the keys, and the names of files that are not assigned yet."""
        if not self.loose:
            return frozenset(self.cases)
        if self.path.is_dir():
            return frozenset(stem_of(path.name) for path in files_by_case(self.path, ())[1])
        return frozenset({stem_of(self.path.name)})

    @property
    def masks(self) -> tuple[Path, ...]:
        """The files besides `path` that the prompts are read from: masks, and the files of a folder."""
        if self.loose:
            return tuple(files_by_case(self.path, ())[1]) if self.path.is_dir() else (self.path,)
        found = set()
        for content in self.cases.values():
            for one in () if isinstance(content, RawCase) else content:
                if isinstance(one, FileOfCase):
                    found.add(one.path)
                elif isinstance(one.what, MaskAt):
                    found.add(one.what.path)
        return tuple(sorted(found))

    def labels(self, case: str, *, texts: bool = True) -> frozenset[int]:
        """The labels that the prompts name for a case, without `texts` those that something points at.

        None for a case without prompts, or with some that are wrong.
        """
        key = find_key(self.cases, case, sequences=False)
        found: Content = () if key is None else self.cases[key]
        if isinstance(found, RawCase):
            pointed = frozenset(label for sets in found.slices.values() for label in sets)
            return pointed | labels_of(found.texts if texts else (), self.table)
        try:
            located = [one for each in found for one in self._read(each, case)]
            pointed = frozenset(
                understand(one.label, self.table).label
                for one in located
                if not isinstance(one.what, TextAt)
            )
            return pointed | labels_of(texts_of(located, self.table) if texts else (), self.table)
        except NNUNetPromptError:  # an error of this case, later
            return frozenset()

    def without_prompts(self, cases: Iterable[str]) -> list[str]:
        """Those of the `cases` that the file does not name."""
        return [case for case in cases if find_key(self.cases, case, sequences=False) is None]

    def only(self, case: str) -> PromptFile:
        """The same without the prompts of other cases."""
        key = find_key(self.cases, case, sequences=False)
        return self if key is None else replace(self, cases={key: self.cases[key]})

    def for_images(
        self,
        images: Mapping[str, Path | str],
        *,
        table: StructureTable | None = None,
        warn: Warn = _log.warning,
    ) -> PromptFile:
        """The same with files assigned to cases, and the convention of a prompts.json inferred.

        `images` has the first image of each case. `warn` gets a line about prompts without an image. `reading` of the
        result has the evidence. Raises `PromptFileError` for a file that belongs to none of several cases.
        """
        check_type("images", images, Mapping, "{'case_001': path}")
        paths = {case: as_path("images", path) for case, path in images.items()}
        cases = self._assigned(paths, warn) if self.loose else dict(self.cases)
        raw = {key: value for key, value in cases.items() if isinstance(value, RawCase)}
        if self.given != ALL_OPEN and not raw:
            raise PromptFileError(
                f"{self.path}: --order, --base and --inclusive are for a prompts.json of TFM4MedIA, and this is none"
            )
        reading = self.reading
        if reading is None and raw:
            found = [(find_key(raw, case, sequences=False), path) for case, path in paths.items()]
            named = [(key, path) for key, path in found if key is not None]
            reading = settle(PromptsJson(self.path.name, raw), named, self.given)
        used = {find_key(cases, case, sequences=False) for case in images}
        unused = [key for key in cases if key not in used]
        if unused:
            more = ", ..." if len(unused) > 3 else ""
            names = ", ".join(shorten(key) for key in unused[:3])
            warn(f"{self.path.name}: names {len(unused)} case(s) without an image: {names}{more}")
        return replace(self, cases=cases, loose=False, reading=reading, table=table or self.table)

    def prompts(self, case: str, image: NiftiVolume, *, warn: Warn = _log.warning) -> CasePrompts:
        """The prompts of a case in the file frame of its image, or in PLS for a prompts.json.

        `warn` gets a line about what had to be changed or assumed. Raises `PromptFileError` if there are none for the
        case, or if they do not fit the image.
        """
        check_type("case", case, str, "'case_001'")
        check_type("image", image, NiftiVolume, "read_nifti('case_001.nii.gz')")
        if self.loose:
            return self.for_images({case: image.path}, warn=warn).prompts(case, image, warn=warn)
        key = find_key(self.cases, case, sequences=False)
        if key is None:
            names = ", ".join(shorten(name) for name in list(self.cases)[:3])
            more = ", ..." if len(self.cases) > 3 else ""
            patient = find_key(self.cases, case)
            hint = f"; `submit` takes the prompts of {patient!r} for all its sequences, `predict` does not"
            raise PromptFileError(
                f"{self.path}: no prompts for case {case!r}, it names {names or 'no case'}{more}"
                + (hint if patient is not None else "")
            )
        found = self.cases[key]
        if isinstance(found, RawCase):
            return self._from_slices(key, found, image, warn)
        located = [p for one in found for p in self._read(one, case)]
        return self._checked(place(located, image, self.table, warn), image, case)

    def _read(self, one: Located | FileOfCase, case: str) -> tuple[Located, ...]:
        if isinstance(one, Located):
            return (one,)
        found = one.read_or_refuse(case, self.axes or DEFAULT_AXES)
        if isinstance(found, RawCase):
            raise PromptFileError(
                f"{one.path.name}: a prompts.json of TFM4MedIA cannot be one of several files of case {case!r}"
            )
        return found

    def _checked(self, prompts: CasePrompts, image: NiftiVolume, case: str) -> CasePrompts:
        for label, one in prompts.labels.items():
            try:
                one.check_inside(image.shape)
            except NNUNetPromptError as error:
                raise PromptFileError(
                    f"{self.path.name}: case {case!r} {label}: {error}"
                ) from error
        return prompts

    def _from_slices(self, key: str, raw: RawCase, image: NiftiVolume, warn: Warn) -> CasePrompts:
        reading = self.reading
        if reading is None:  # `for_images` was not called: this image must do
            alone = PromptsJson(self.path.name, {key: raw})
            reading = settle(alone, [(key, image.path)], self.given)
            for line in (*reading.notes, *reading.guessed):
                warn(line)
        shape = pls_map(image.affine, image.shape).target_shape
        axis = reading.slice_axes.get(key, 2)
        prompts = raw.to_prompts(shape, reading.convention, axis)
        prompts, lines = with_texts(prompts, raw, shape[axis], reading.convention, self.table)
        report_texts(lines, warn, left=bool(prompts.labels or prompts.named))
        return prompts

    def _assigned(self, images: Mapping[str, Path], warn: Warn) -> dict[str, Content]:
        if self.path.is_dir():
            files, unassigned = files_by_case(self.path, images)
            for path in unassigned[:3]:
                nothing = "its name begins with that of no image, so its prompts are of no case"
                warn(f"{path}: {nothing}")
        else:
            files = file_of(self.path, images)
        csv = [f.path for several in files.values() for f in several if f.is_csv]
        if csv and self.axes is None:
            warn(
                f"{csv[0].name}: axis-0, axis-1, axis-2 of napari files are taken as z, y, x of the image file, by"
                " default; state it with --axes zyx, or --axes xyz"
            )
        cases: dict[str, Content] = {case: tuple(several) for case, several in files.items()}
        for case, several in files.items():
            if len(several) == 1 and several[0].path.name.lower().endswith(".json"):
                try:
                    cases[case] = several[0].read(case, self.axes or DEFAULT_AXES)
                except NNUNetPromptError:  # an error of this case, later
                    continue
        return cases


def load_prompts(
    path: Path | str,
    *,
    convention: JsonConvention | GivenConvention = ALL_OPEN,
    axes: Axes | None = None,
) -> PromptFile:
    """Reads prompts of any form that the module lists, from a file or a folder.

    `convention` is of a prompts.json, and what it leaves open is inferred from the images; `axes` is of napari files.
    Raises `PromptFileError` in one line for anything wrong that can be seen without the images; the files of a folder
    are read with their cases.
    """
    path = as_path("prompts", path)
    if not isinstance(convention, JsonConvention):
        check_type("convention", convention, GivenConvention, "GivenConvention('yx')")
    if axes not in (None, "zyx", "xyz"):
        raise PromptFileError(f"axes: expected zyx or xyz, found {axes!r}")
    given = convention if isinstance(convention, GivenConvention) else ALL_OPEN
    reading = None if isinstance(convention, GivenConvention) else Reading(convention)
    file = PromptFile(path, {}, True, given, reading, axes)
    if path.is_dir():
        if not any(files_by_case(path, ())[1]):
            raise PromptFileError(
                f"{path}: holds no prompts; expected {FORMS}, named by their cases"
            )
        return file
    if path.name.lower().endswith(OF_ONE_CASE):
        FileOfCase(path).check(axes or DEFAULT_AXES)
        return file
    content = read_added(path) if is_added(path) else load_or_hint(path)
    if slicer.is_markups(content):
        slicer.parse_markups(content, path.name, ())
        return file
    if isinstance(content, dict) and "format" in content:
        cases = own_form.parse_own_form(content, path)
        named = {key: value for key, value in cases.items() if key is not None}
        return replace(file, cases=named, loose=False) if named == cases else file
    return replace(file, cases=cases_of_slices(content, path), loose=False)
