"""Which task a downloaded folder holds, inferred from the names of its files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.care_labels import TASKS, Task

from .download import nifti_files, stem

# Stems that occur in the download of one task only. What none of them fits is left to the task's converter.
SIGNS: Mapping[Task, re.Pattern[str]] = MappingProxyType(
    {
        "myops": re.compile(r".+[_ ](C0|LGE|DE|T2|gd)", re.IGNORECASE),
        "whs": re.compile(r".+[_ ](image|label)", re.IGNORECASE),
        "lascarqs": re.compile(r"enhanced|atriumSegImgMO|scarSegImgM", re.IGNORECASE),
        "liqa": re.compile(r"T1|T2(WI)?|DWI[_ -]800|GED[1-4]|mask[_ -]GED4", re.IGNORECASE),
    }
)
EXPECTED = (
    "MyoPS (*_C0, *_LGE, *_DE, *_T2, *_gd), WHS (*_image, *_label),"
    " LAScarQS (enhanced, atriumSegImgMO, scarSegImgM) or LiQA (GED4, mask_GED4, T1, ...)"
)


def task_of(source: Path) -> Task:
    """The task of a folder. Raises `DatasetError` for a folder without NIfTI files, of no task, or of several."""
    found: dict[Task, Path] = {}
    files = nifti_files(source)
    for path in files:
        for task, sign in SIGNS.items():
            if task not in found and sign.fullmatch(stem(path)):
                found[task] = path
    if not found:
        raise DatasetError(
            f"{source}: no file is named as in {EXPECTED}, found {files[0].relative_to(source)}:"
            " give the folder of an unpacked download"
        )
    if len(found) > 1:
        names = " and ".join(f"{p.relative_to(source)} ({t})" for t, p in found.items())
        raise DatasetError(
            f"{source}: files of {len(found)} tasks, {names}: give the folder of each download on its own"
        )
    return next(iter(found))


def tasks_of(sources: Sequence[Path]) -> dict[Task, Path]:
    """The folder of each task, in the order of `TASKS` whatever the order of the folders.

    Raises `DatasetError` like `task_of`, for two folders of one task, and where there is no folder at all.
    """
    if not sources:
        raise DatasetError("no folder of a download is given, expected at least one")
    found: dict[Task, Path] = {}
    for source in sources:
        task = task_of(source)
        if task in found:
            raise DatasetError(
                f"{found[task]} and {source}: both hold files of {task}, expected one folder per task:"
                " give the folder around both, or only the version that you want"
            )
        found[task] = source
    return {task: found[task] for task in TASKS if task in found}
