"""Files that hold the prompts of one case: which case they belong to, and what is in them.

PROMPTS/case_001.mrk.json, case_001_LV.csv, case_001_scar-neg.fcsv     named by their case, then perhaps a label
PROMPTS/case_001/LV.mrk.json                                           in a folder of its name, named by a label
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_prompt.common.errors import NNUNetPromptError, PromptFileError
from nnunet_prompt.io.names import composed
from nnunet_prompt.io.nifti_file import ENDINGS
from nnunet_prompt.prompt_files import own_form, slicer
from nnunet_prompt.prompt_files.added import added_ending, read_added
from nnunet_prompt.prompt_files.located import Located
from nnunet_prompt.prompt_files.napari import Axes, parse_napari
from nnunet_prompt.prompt_files.prompts_json import (
    load_json,
    parse_prompts_json,
    read_text,
    shorten,
)
from nnunet_prompt.prompt_files.prompts_json_convention import RawCase
from nnunet_prompt.prompt_files.segmentation import NRRD_ENDINGS, masks_of

# longest first, as each is also the end of another
OF_ONE_CASE = (".seg.nrrd", ".fcsv", ".csv", *NRRD_ENDINGS, *ENDINGS, ".mha", ".mhd", ".gipl")
_ENDINGS = (".mrk.json", ".json", *OF_ONE_CASE)
_SEPARATORS = "_-. "
_CHANNEL = re.compile(r"^0000(?:[_. -]|$)")
FORMS = (
    "our own JSON form, a prompts.json of TFM4MedIA, .mrk.json or .fcsv of 3D Slicer, .csv of napari, or a label map"
    " (.nii.gz, .seg.nrrd, .mha)"
)


@dataclass(frozen=True, slots=True)
class FileOfCase:
    """A file with prompts of one case; `names` is what its name states of a label, if anything."""

    path: Path
    names: tuple[str, ...] = ()

    @property
    def is_csv(self) -> bool:
        """Whether it is a table of napari, by its name."""
        return self.path.name.lower().endswith(".csv")

    def read(self, case: str, axes: Axes) -> tuple[Located, ...] | RawCase:
        """The prompts in it. Raises `PromptFileError` (or `ImageError` for a label map) in one line."""
        name = self.path.name.lower()
        if not name.endswith(_ENDINGS):
            return self._of_own_form(read_added(self.path), case)
        if name.endswith(".json"):
            return self._read_json(case)
        if name.endswith(".fcsv"):
            return tuple(slicer.parse_fcsv(read_text(self.path), self.path.name, self.names))
        if self.is_csv:
            return tuple(parse_napari(read_text(self.path), self.path.name, self.names, axes))
        return tuple(masks_of(self.path, self.names))

    def read_or_refuse(self, case: str, axes: Axes) -> tuple[Located, ...] | RawCase:
        """As `read`, but raises `PromptFileError` for a label map, too."""
        try:
            return self.read(case, axes)
        except PromptFileError:
            raise
        except NNUNetPromptError as error:
            raise PromptFileError(str(error)) from error

    def check(self, axes: Axes) -> None:
        """Raises `PromptFileError` for what can be seen to be wrong at once; label maps are only looked for."""
        if self.path.name.lower().endswith((".fcsv", ".csv")):
            self.read("", axes)
        elif not self.path.is_file():
            raise PromptFileError(f"{self.path}: cannot be read: no such file")

    def _read_json(self, case: str) -> tuple[Located, ...] | RawCase:
        content = load_json(self.path)
        if slicer.is_markups(content):
            return tuple(slicer.parse_markups(content, self.path.name, self.names))
        if not isinstance(content, dict):
            raise PromptFileError(
                f"{self.path.name}: expected an object, found {shorten(content)}; for example {own_form.SAMPLE}"
            )
        return self._of_own_form(content, case)

    def _of_own_form(self, content: dict[str, Any], case: str) -> tuple[Located, ...] | RawCase:
        """The prompts of a case in an object of our own form, or of a prompts.json."""
        found: dict[str | None, tuple[Located, ...] | RawCase] = {}
        if "format" in content:
            found.update(own_form.parse_own_form(content, self.path))
        else:
            found.update(parse_prompts_json(content, self.path.name).cases)
        fitting = [key for key in found if key is None or stem_of(key) == composed(case)]
        if len(fitting) != 1:
            keys = ", ".join(shorten(key) for key in list(found)[:3]) or "no case"
            raise PromptFileError(
                f"{self.path.name}: expected the prompts of case {case!r}, found {keys}; for example {own_form.SAMPLE}"
            )
        return found[fitting[0]]


def is_prompts_name(name: str) -> bool:
    """Whether a file name ends like one of the forms that can be read, and is not hidden."""
    return not name.startswith(".") and (
        name.lower().endswith(_ENDINGS) or added_ending(name) is not None
    )


def stem_of(name: str) -> str:
    """The name without its ending, in composed form."""
    known = (e for e in _ENDINGS if name.lower().endswith(e) and len(name) > len(e))
    ending = next(known, added_ending(name) or "")
    return composed(name[: len(name) - len(ending)])


def files_by_case(
    folder: Path, cases: Iterable[str]
) -> tuple[dict[str, list[FileOfCase]], list[Path]]:
    """The files of a folder for each of the `cases`, and those that belong to none. Raises `PromptFileError`."""
    known = {composed(case): case for case in cases}
    found: dict[str, list[FileOfCase]] = {}
    unassigned = []
    for path in _files(folder):
        stem = stem_of(path.name)
        case = known.get(composed(path.parent.name)) if path.parent != folder.absolute() else None
        rest = _rest(stem, composed(case)) if case is not None else None
        if case is None:
            matches = [c for c in known if _rest(stem, c) is not None]
            plain = max(matches, key=len, default=None)
            case, rest = (known[plain], _rest(stem, plain)) if plain is not None else (None, None)
        if case is None:
            unassigned.append(path)
            continue
        name = stem if rest is None else rest
        found.setdefault(case, []).append(FileOfCase(path, (name,) if name else ()))
    return found, unassigned


def file_of(path: Path, cases: Iterable[str]) -> dict[str, list[FileOfCase]]:
    """The case of a single file: the one it is named by, or the only one there is.

    Raises `PromptFileError` where there are several and it is named by none.
    """
    known = {composed(case): case for case in cases}
    path, stem = path.absolute(), stem_of(path.name)
    plain = max((c for c in known if _rest(stem, c) is not None), key=len, default=None)
    if plain is not None:
        rest = _rest(stem, plain)
        return {known[plain]: [FileOfCase(path, (rest,) if rest else ())]}
    if len(known) == 1:
        return {next(iter(known.values())): [FileOfCase(path, (stem,))]}
    raise PromptFileError(
        f"{path}: holds the prompts of one case, but there are {len(known)} images and it is named by none of them;"
        f" expected for example a folder with {next(iter(known.values()), 'case_001')}{path.name[len(stem) :]}"
    )


def _rest(stem: str, case: str) -> str | None:
    """The rest of a stem behind the name of a case, "" for nothing; None if it is not of that case."""
    if stem == case:
        return ""
    if stem.startswith(case) and stem[len(case)] in _SEPARATORS:
        rest = stem[len(case) :].lstrip(_SEPARATORS)
        return _CHANNEL.sub("", rest)  # vol_0000_LV is of vol_0000.nii.gz, whose case is vol
    return None


def _files(folder: Path) -> Iterator[Path]:
    try:
        for path in sorted(folder.absolute().iterdir()):  # a worker elsewhere may read them
            if path.is_dir() and not path.name.startswith("."):
                yield from sorted(
                    p for p in path.iterdir() if p.is_file() and is_prompts_name(p.name)
                )
            elif path.is_file() and is_prompts_name(path.name):
                yield path
    except OSError as error:
        raise PromptFileError(f"{folder}: cannot be read: {error.strerror}") from error
