"""Finding the files of a download, whose folder levels change with every year and every zip tool."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.io.nifti import is_nifti_name
from nnunet_prompt.io.nifti_file import ENDINGS

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class CareOptions:
    """The options of the CARE converters."""

    # the one folder of the download that is searched, absolute or relative to it
    version_root: Path | None = None
    leave_out: bool = False  # leave out unexpected cases instead of stopping
    unknown_to_background: bool = False  # undocumented label values become background
    stack_sequences: bool = False  # MyoPS: C0, LGE and T2 are three channels of one case
    fix_spacing: bool = False  # LAScarQS: repair the headers that are known to be wrong
    # MyoPS: trust the affines of C0 and T2, resample even stacks of equal shape
    unaligned: bool = False


DEFAULTS = CareOptions()


def nifti_files(source: Path, options: CareOptions = DEFAULTS) -> list[Path]:
    """All NIfTI files below `source`, or below the version root, sorted; each with `source` in front.

    Endings count in any case. `__MACOSX`, `._*` and everything else that is hidden is skipped. Raises `DatasetError`
    for a folder that does not exist, a version root outside of it, and when there is no file.
    """
    if not source.is_dir():
        raise DatasetError(f"{source}: no such folder: give the folder of the unpacked download")
    root = source if options.version_root is None else source / options.version_root
    if not root.is_dir() or not root.resolve().is_relative_to(source.resolve()):
        raise DatasetError(f"--version-root {options.version_root}: expected a folder in {source}")
    found = sorted(_walk(root))
    if not found:
        raise DatasetError(
            f"{root}: no file that ends in {' or '.join(ENDINGS)}: unpack the download first"
        )
    return found


def _refuse(error: OSError) -> None:
    """A folder that cannot be listed must not look like an empty one."""
    raise DatasetError(f"{error.filename}: cannot be listed: {error.strerror}") from error


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root, onerror=_refuse):
        folders[:] = [f for f in folders if not f.startswith(".") and f != "__MACOSX"]
        yield from (Path(folder) / f for f in files if is_nifti_name(f))


def stem(path: Path) -> str:
    """The name of a NIfTI file without its ending, whatever the case of that."""
    lower = path.name.lower()
    ending = next((e for e in ENDINGS if lower.endswith(e)), "")
    return path.name[: len(path.name) - len(ending)]


def files_by_case(
    source: Path, options: CareOptions, *, name: re.Pattern[str], part: Callable[[str], str]
) -> tuple[dict[str, dict[str, Path]], list[Path]]:
    """The files of each case by what they hold, cases by name, and the files whose names show neither.

    `name` matches the stem of a file and has the groups `case` and `part`; `part` gives the one spelling of the
    latter. Blanks in the name of a case become underscores. Raises like `nifti_files` and `one_each`.
    """
    named: list[tuple[tuple[str, str], Path]] = []
    odd: list[Path] = []
    for path in nifti_files(source, options):
        found = name.fullmatch(stem(path))
        if found is None:
            odd.append(path)
        else:
            named.append(((re.sub(r"\s+", "_", found["case"]), part(found["part"])), path))
    cases: dict[str, dict[str, Path]] = defaultdict(dict)
    for (case, held), path in one_each(named, source).items():
        cases[case][held] = path
    return {case: cases[case] for case in sorted(cases)}, odd


def one_each(files: Iterable[tuple[Key, Path]], source: Path) -> dict[Key, Path]:
    """The file of each key. Raises `DatasetError` when a key has two: which copy is meant is not ours to guess."""
    found: dict[Key, Path] = {}
    for key, path in files:
        if key in found:
            a, b = (p.relative_to(source) for p in (found[key], path))
            raise DatasetError(
                f"{source}: {a} and {b} are two copies of one file, expected each once (the download may hold an"
                " aligned and an unaligned version): name the folder to use with --version-root"
            )
        found[key] = path
    return found
