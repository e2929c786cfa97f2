"""Which image files make a case, and which key of a prompts file belongs to it.

    Case7.nii.gz                                   one image, case Case7
    Case7_0000.nii.gz, Case7_0001.nii.gz           the channels of case Case7, as nnU-Net names them
    Case7_C0.nii.gz, Case7_LGE.nii.gz, ...         the sequences of patient Case7 (MyoPS), any of which may be missing

A prompts file may name a case with its file ending and with a sequence. Sequences are the challenge's rule: `submit`
groups by them, `predict` never does. Names are compared in Unicode's composed form (`io.names`).
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nnunet_prompt.common.errors import ImageError, NNUNetPromptError
from nnunet_prompt.io.image_files import without_image_ending
from nnunet_prompt.io.names import composed
from nnunet_prompt.io.nifti import is_nifti_name

# The mask of a patient lies on the grid of the first that is there. DE is another name of LGE.
SEQUENCES = ("LGE", "DE", "C0", "T2")
STACKED = ("C0", "LGE", "T2")  # the channels that `convert myops --stack-sequences` makes of them
PLAIN = ""  # the tag of a file that is the only image of its case

_CHANNEL = re.compile(r"(?P<case>.+)_(?P<tag>[0-9]{4})", re.DOTALL)
_SEQUENCE = re.compile(rf"(?P<case>.+)_(?P<tag>{'|'.join(SEQUENCES)})", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ImageCase:
    """The image files of one case by tag: `PLAIN`, a channel such as "0000", or a sequence such as "LGE".

    A tag has more than one file only if the folder holds the same name with two endings.
    """

    case: str
    files: Mapping[str, tuple[Path, ...]]

    @property
    def first(self) -> Path:
        """The file whose grid the mask of the case has, if it can be read."""
        return self.ordered[0]

    @property
    def ordered(self) -> tuple[Path, ...]:
        """All files; the mask has the grid of the first that can be read: sequences in the order of `SEQUENCES`."""
        sequences = [tag for tag in SEQUENCES if tag in self.files]
        tags = [*sequences, *(tag for tag in self.files if tag not in sequences)]
        return tuple(path for tag in tags for path in self.files[tag])

    def pick(self, n_channels: int) -> dict[str, Path]:
        """The files for a model of `n_channels` by their tags; the mask of the case has the grid of the first.

        Channels come in the model's order, and sequences in that of `SEQUENCES`, all that are there: a model of one
        channel looks at one after the other, and one of three takes them as `STACKED` (`fusion.predict_case`). Raises
        `ImageError` if the files do not fit the model or cannot be distinguished.
        """
        files = self._alone()
        wanted = [f"{i:04d}" for i in range(n_channels)]
        if sorted(files) == wanted:
            return {tag: files[tag] for tag in wanted}
        if n_channels in (1, len(STACKED)) and are_sequences(files):
            return {tag: files[tag] for tag in SEQUENCES if tag in files}
        if n_channels == 1 and list(files) == [PLAIN]:
            return files
        found = ", ".join(p.name for p in files.values())
        names = ", ".join(f"{self.case}_{tag}.nii.gz" for tag in wanted)
        raise ImageError(f"the model takes {n_channels} image channel(s), {names}; found {found}")

    def files_of_channels(self) -> dict[str, Path]:
        """The files in the order of their channels, of which each may hold several.

        Raises `ImageError` where a channel is missing between them.
        """
        files = self._alone()
        if list(files) != [PLAIN] and sorted(files) != [f"{i:04d}" for i in range(len(files))]:
            found = ", ".join(p.name for p in files.values())
            raise ImageError(f"expected {self.case}_0000 and the channels after it, found {found}")
        return dict(sorted(files.items()))

    def _alone(self) -> dict[str, Path]:
        """The one file of each tag; raises `ImageError` where there are two."""
        double = next((paths for paths in self.files.values() if len(paths) > 1), None)
        if double:
            names = " and ".join(p.name for p in double)
            raise ImageError(f"{names} are both an image of this case: keep one of them")
        return {tag: paths[0] for tag, paths in self.files.items()}


def are_sequences(tags: Collection[str]) -> bool:
    """Whether the tags of a case are all sequences, which may be missing, and not channels, of which none may."""
    return bool(tags) and all(tag in SEQUENCES for tag in tags)


def image_files(folder: Path) -> list[Path]:
    """The NIfTI files of a folder, sorted. Raises `NNUNetPromptError` if there is no folder or no such file in it."""
    if not folder.is_dir():
        raise NNUNetPromptError(f"{folder}: no such folder; it must hold the images")
    files = sorted(p for p in folder.iterdir() if is_nifti_name(p.name) and p.is_file())
    if not files:
        raise NNUNetPromptError(f"{folder}: no .nii.gz or .nii file in it")
    return files


def group_images(
    paths: Iterable[Path], *, keys: Collection[str], n_channels: int
) -> list[ImageCase]:
    """Groups files into cases by the challenge's rule, sorted by case id. `keys` are the case keys of the prompts file.

    Four digits at the end are a channel only if the prompts do not name the whole file, and either they name the case
    without the digits or there is a channel 0000 beside it. Sequences are cases of their own where the prompts
    name more than one of them.
    """
    stems = {path: without_ending(path.name) for path in paths}
    named = {composed(without_ending(key)) for key in keys}
    known = set(stems.values())
    patients = Counter(_split(_SEQUENCE, name)[0] for name in named)
    files: list[tuple[str, str, Path]] = []
    for path, stem in sorted(stems.items()):
        case, tag = stem, PLAIN
        base, digits = _split(_CHANNEL, stem)
        is_channel = composed(base) in named or (
            f"{base}_0000" in known and int(digits or 0) < n_channels
        )
        if digits and composed(stem) not in named and is_channel:
            case, tag = base, digits
        base, sequence = _split(_SEQUENCE, case)
        several = composed(case) in named and patients[composed(base)] > 1
        if sequence and not several and (tag == PLAIN or n_channels == 1):
            case, tag = base, sequence.upper()
        files.append((case, tag, path))
    return _joined(files)


def group_channels(
    paths: Iterable[Path], *, keys: Collection[str], n_channels: int, whole_names: bool = False
) -> list[ImageCase]:
    """Groups files into cases by nnU-Net's rule, sorted by case id. `keys` are the case keys of the prompts file.

    For a model of several channels, four digits at the end are a channel (`ImageCase.pick` names what does not fit).
    For a model of one, 0000 is, unless the prompts name the file or one beside it (vol_0001) as a whole; with
    `whole_names` no digits are. Raises `NNUNetPromptError` where both readings are possible: vol_0000 beside vol_0001,
    and the prompts name neither.
    """
    stems = {path: without_ending(path.name) for path in paths}
    named = {composed(without_ending(key)) for key in keys}
    named_whole = {_split(_CHANNEL, stem)[0] for stem in stems.values() if composed(stem) in named}
    files: list[tuple[str, str, Path]] = []
    whole: dict[str, Path] = {}
    for path, stem in sorted(stems.items()):
        base, digits = _split(_CHANNEL, stem)
        if digits is None or whole_names or (n_channels == 1 and base in named_whole):
            files.append((stem, PLAIN, path))
        elif composed(base) in named or n_channels > 1 or digits == "0000":
            files.append((base, digits, path))
        else:
            whole[base] = path
            files.append((stem, PLAIN, path))
    for case, tag, path in files:
        if tag and case in whole and composed(case) not in named:
            raise NNUNetPromptError(_two_readings(case, path, whole[case]))
    return _joined(files)


def _two_readings(case: str, first: Path, other: Path) -> str:
    names = f"{without_ending(first.name)} and {without_ending(other.name)}"
    return (
        f"{first.parent}: the file names can be read in two ways: {first.name} and {other.name} are channels of one"
        f" case {case}, but the model takes 1 channel; or they are the images of two cases, {names}. Give --whole-names"
        f" for two cases, or keep only {first.name} of case {case} for one case"
    )


def _joined(files: Iterable[tuple[str, str, Path]]) -> list[ImageCase]:
    """The cases of (case, tag, path)."""
    cases: dict[str, dict[str, tuple[Path, ...]]] = {}
    for case, tag, path in files:
        here = cases.setdefault(case, {})
        here[tag] = (*here.get(tag, ()), path)
    return [ImageCase(case, tags) for case, tags in sorted(cases.items())]


def count_channels(paths: Iterable[Path]) -> int:
    """How many channels the files speak of: case_0000, case_0001 and so on of any case without a gap; at least 1."""
    stems = {without_ending(path.name) for path in paths}
    cases = {_split(_CHANNEL, stem)[0] for stem in stems}
    counts = (
        next(n for n in itertools.count() if f"{case}_{n:04d}" not in stems) for case in cases
    )
    return max([1, *counts])


def find_key(keys: Iterable[str], case: str, *, sequences: bool = True) -> str | None:
    """The key that means `case`: the same name, with or without file ending, and if `sequences` with or without one.

    None if there is none, or if several keys mean it equally well. Two different sequences never match.
    """
    names = {key: composed(without_ending(key)) for key in keys}
    case = without_ending(case)
    plain = composed(case)
    ways = [
        [key for key in names if key == case],
        [key for key, name in names.items() if name == plain],
    ]
    if sequences:
        ways += [
            [key for key, name in names.items() if _split(_SEQUENCE, name)[0] == plain],
            [key for key, name in names.items() if name == _split(_SEQUENCE, plain)[0]],
        ]
    for fits in ways:
        if fits:
            return fits[0] if len(fits) == 1 else None
    return None


def without_ending(name: str) -> str:
    """A file name without the ending of an image file, such as .nii.gz."""
    return without_image_ending(name)


def _split(pattern: re.Pattern[str], name: str) -> tuple[str, str | None]:
    match = pattern.fullmatch(name)
    return (match["case"], match["tag"]) if match else (name, None)
