"""Which image files make a case, and which key of a prompts file belongs to it.

    Case7.nii.gz                                   one image, case Case7
    Case7_0000.nii.gz, Case7_0001.nii.gz           the channels of case Case7, as nnU-Net names them
    Case7_C0.nii.gz, Case7_LGE.nii.gz, ...         the sequences of patient Case7 (MyoPS), any of which may be missing

A prompts file may name a case with its file ending and with a sequence.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nnunet_prompt.data.nifti import ENDINGS, is_nifti_name
from nnunet_prompt.errors import ImageError, PromptError

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
        `ImageError` if the files do not fit the model or cannot be told apart.
        """
        double = next((paths for paths in self.files.values() if len(paths) > 1), None)
        if double:
            names = " and ".join(p.name for p in double)
            raise ImageError(f"{names} are both an image of this case: keep one of them")
        files = {tag: paths[0] for tag, paths in self.files.items()}
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


def are_sequences(tags: Collection[str]) -> bool:
    """Whether the tags of a case are all sequences, which may be missing, and not channels, of which none may."""
    return bool(tags) and all(tag in SEQUENCES for tag in tags)


def image_files(folder: Path) -> list[Path]:
    """The NIfTI files of a folder, sorted. Raises `PromptError` if there is no folder or no such file in it."""
    if not folder.is_dir():
        raise PromptError(f"{folder}: no such folder; it must hold the images")
    files = sorted(p for p in folder.iterdir() if is_nifti_name(p.name) and p.is_file())
    if not files:
        raise PromptError(f"{folder}: no .nii.gz or .nii file in it")
    return files


def group_images(
    paths: Iterable[Path], *, keys: Collection[str], n_channels: int, sequences: bool = True
) -> list[ImageCase]:
    """Groups files into cases, sorted by case id. `keys` are the case keys of the prompts file.

    Without `sequences`, each sequence of a patient is a case of its own.

    Four digits at the end are a channel only if the prompts do not name the whole file, and either they name the case
    without the digits or there is a channel 0000 beside it. Sequences are cases of their own where the prompts
    name more than one of them.
    """
    stems = {path: without_ending(path.name) for path in paths}
    named = {without_ending(key) for key in keys}
    known = set(stems.values())
    patients = Counter(_split(_SEQUENCE, name)[0] for name in named)
    cases: dict[str, dict[str, tuple[Path, ...]]] = {}
    for path, stem in sorted(stems.items()):
        case, tag = stem, PLAIN
        base, digits = _split(_CHANNEL, stem)
        is_channel = base in named or (f"{base}_0000" in known and int(digits or 0) < n_channels)
        if digits and stem not in named and is_channel:
            case, tag = base, digits
        base, sequence = _split(_SEQUENCE, case)
        several = case in named and patients[base] > 1
        if sequences and sequence and not several and (tag == PLAIN or n_channels == 1):
            case, tag = base, sequence.upper()
        files = cases.setdefault(case, {})
        files[tag] = (*files.get(tag, ()), path)
    return [ImageCase(case, files) for case, files in sorted(cases.items())]


def count_channels(paths: Iterable[Path]) -> int:
    """How many channels the files speak of: case_0000, case_0001 and so on of any case without a gap; at least 1."""
    stems = {without_ending(path.name) for path in paths}
    cases = {_split(_CHANNEL, stem)[0] for stem in stems}
    counts = (
        next(n for n in itertools.count() if f"{case}_{n:04d}" not in stems) for case in cases
    )
    return max([1, *counts])


def find_key(keys: Iterable[str], case: str) -> str | None:
    """The key that means `case`: the same name, with or without file ending, with or without sequence.

    None if there is none, or if several keys mean it equally well. Two different sequences never match.
    """
    names = {key: without_ending(key) for key in keys}
    case = without_ending(case)
    for fits in (
        [key for key in names if key == case],
        [key for key, name in names.items() if name == case],
        [key for key, name in names.items() if _split(_SEQUENCE, name)[0] == case],
        [key for key, name in names.items() if name == _split(_SEQUENCE, case)[0]],
    ):
        if fits:
            return fits[0] if len(fits) == 1 else None
    return None


def without_ending(name: str) -> str:
    """A file name without .nii.gz or .nii."""
    for ending in ENDINGS:
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name


def _split(pattern: re.Pattern[str], name: str) -> tuple[str, str | None]:
    match = pattern.fullmatch(name)
    return (match["case"], match["tag"]) if match else (name, None)
