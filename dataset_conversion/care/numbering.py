"""Anonymous names for cases, and the promise that a name keeps its meaning until a data set is finished."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.case import Case
from nnunet_prompt.data.raw import RawTarget
from nnunet_prompt.data.raw_case import FILE_ENDING
from nnunet_prompt.data.side_file import read_side_file, write_side_file
from nnunet_prompt.data.splits import SPLIT_SEED
from nnunet_prompt.io.atomic import make_folder

from .inspect import Examined

DIGITS = 5


def anonymous(examined: Sequence[Examined]) -> list[Examined]:
    """The same with names such as `case00012_LGE`, one number for the sequences of a scan.

    Numbers are those of all scans in an order that is shuffled in the same way each time, so that neighbours show
    nothing about each other; the same cases get the same names, in any order.
    """
    scans = sorted({_scan(e.case) for e in examined if e.case is not None})
    order = np.random.default_rng(SPLIT_SEED).permutation(len(scans))
    number = {scans[scan]: i for i, scan in enumerate(order, 1)}
    return [
        e if e.case is None else replace(e, case=_named(e.case, number[_scan(e.case)]))
        for e in examined
    ]


def reserve_names(target: RawTarget, cases: Sequence[Case]) -> None:
    """Writes the side file of a data set before its first case, so that a stopped run continues with the same names.

    Raises `DatasetError` when the folder holds images of which the side file states something else: a name would stand
    for two scans. Does nothing where another data set has the id, which the writer refuses.
    """
    folder = target.folder
    if any(p != folder for p in folder.parent.glob(f"Dataset{target.dataset_id:03d}_*")):
        return
    wanted = {case.case_id: case.side_information() for case in cases}
    known = read_side_file(folder)
    differ = sorted(n for n in {*known, *wanted} if known.get(n) != wanted.get(n))
    if differ and any(folder.glob(f"images*/*{FILE_ENDING}")):
        was, now = (_source(side.get(differ[0])) for side in (known, wanted))
        raise DatasetError(
            f"{folder}: was begun with other sources or options ({differ[0]} was {was}, and is {now} now):"
            " remove the folder, or choose another id"
        )
    make_folder(folder)
    write_side_file(folder, wanted)


def _scan(case: Case) -> tuple[str, str]:
    """The task and the name of the case without its sequence."""
    return case.task or "", case.case_id.removesuffix(f"_{case.sequence}")


def _named(case: Case, number: int) -> Case:
    sequence = re.sub(r"[^A-Za-z0-9]+", "", case.sequence or "")
    return replace(case, case_id="_".join(p for p in (f"case{number:0{DIGITS}d}", sequence) if p))


def _source(entry: dict[str, str] | None) -> str:
    return "unknown" if entry is None else f"{entry.get('task', '')} {entry.get('source', '')}"
