"""What teams are ranked by: the columns of a scheme, and what its source leaves open.

    general       a column per structure and metric, over all cases
    tfm4media     CARE 2024, track 1: a column per sub-task, and seen or unseen centres, of Dice
    care-cardiac  CARE 2025: six tables, Lb1 to Lb6, of Dice and HD
    care-myops    CARE 2025: Lb1 to Lb4, scar and edema
    care-whs      CARE 2025: Lb1 to Lb4, CT and MR

In every scheme a team's score is the weighted mean of its ranks in the columns, the lowest first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import NNUNetPromptError, did_you_mean
from nnunet_prompt.evaluation.ranking.groups import SEEN, UNSEEN, CaseInfo
from nnunet_prompt.evaluation.ranking.options import RankOptions
from nnunet_prompt.evaluation.ranking.values import TIME, Column, Values

# Official values of structures, and the names they have in data sets.
_NAMES: Mapping[int, frozenset[str]] = {
    420: frozenset({"la", "left atrium", "la_cavity"}),
    500: frozenset({"lv", "left ventricle"}),
    600: frozenset({"rv", "right ventricle"}),
    550: frozenset({"ra", "right atrium"}),
    205: frozenset({"myo", "myocardium", "myocardium_unspecified"}),
    200: frozenset({"myo", "myocardium", "myocardium_healthy", "myocardium_unspecified"}),
    820: frozenset({"ao", "aorta"}),
    850: frozenset({"pa", "pulmonary_artery", "pulmonary artery"}),
    1220: frozenset({"edema"}),
    2221: frozenset({"scar"}),
}
_HEART = (500, 205, 600, 420, 550, 820, 850)
_OWN = {  # structures that a sub-task of CARE alone has, by which a case without a task is recognised
    "myops": (2221, 1220, 200),
    "whs": (205, 550, 820, 850),
    "lascarqs": (420,),
}


@dataclass(frozen=True, slots=True)
class Board:
    """One of the organisers' tables: some structures in the cases of a sub-task from seen or from unseen centres."""

    name: str
    title: str
    group: str
    task: str
    structures: tuple[int, ...]
    sequence: str = ""


BOARDS: Mapping[str, tuple[Board, ...]] = {
    "care-cardiac": (
        Board("Lb1", "single cardiac structure, seen centres", SEEN, "lascarqs", (420,)),
        Board("Lb2", "single cardiac structure, unseen centres", UNSEEN, "lascarqs", (420,)),
        Board("Lb3", "whole heart structures, seen centres", SEEN, "whs", _HEART),
        Board("Lb4", "whole heart structures, unseen centres", UNSEEN, "whs", _HEART),
        Board("Lb5", "structure and pathology, seen centres", SEEN, "myops", (500, 200, 2221)),
        Board("Lb6", "structure and pathology, unseen centres", UNSEEN, "myops", (500, 200, 2221)),
    ),
    "care-myops": (
        Board("Lb1", "scar, seen centres", SEEN, "myops", (2221,)),
        Board("Lb2", "scar, unseen centres", UNSEEN, "myops", (2221,)),
        Board("Lb3", "edema, seen centres", SEEN, "myops", (1220,)),
        Board("Lb4", "edema, unseen centres", UNSEEN, "myops", (1220,)),
    ),
    "care-whs": (
        Board("Lb1", "CT, seen centres", SEEN, "whs", _HEART, "ct"),
        Board("Lb2", "CT, unseen centres", UNSEEN, "whs", _HEART, "ct"),
        Board("Lb3", "MR, seen centres", SEEN, "whs", _HEART, "mr"),
        Board("Lb4", "MR, unseen centres", UNSEEN, "whs", _HEART, "mr"),
    ),
}

_SHARED = (
    "score: the weighted mean of a team's ranks in the columns; places: the lowest score first, ties share the better"
    " place (1, 1, 3)",
    "in a column ties share their mean rank (1.5, 1.5, 3), and a team without a value ranks last",
    "value of a column: the mean over the cases of each structure, then over the structures; structures that a"
    " reference never has are left out",
    "the weight of a metric is shared out evenly among its columns",
)
_CARE = (
    "published rows were scored on the hidden test cases of CARE 2025: beside teams that are scored on other cases they"
    " are for orientation",
    "the organisers' pages define the tables and their metrics, not how Dice and HD make one place: rows are in the"
    " order of Dice, the lower HD first where it is equal",
    "the organisers' pages do not define how tables are combined, nor how structures are: scores are made as in every"
    " scheme here",
    "myocardium is the structure as it is labelled (200, without scar and edema)",
)
CHOICES: Mapping[str, tuple[str, ...]] = {
    "general": _SHARED,
    "tfm4media": (
        "defined by the organisers: ranks by Dice for each sub-task on seen and on unseen centres, then their mean",
        *_SHARED,
    ),
    "care-cardiac": (*_CARE, *_SHARED),
    "care-myops": (*_CARE[:-1], *_SHARED),
    "care-whs": (
        *_CARE[:-1],
        "whole heart is the plain mean of seven structures; the pages of 2026 weigh it by volume",
        *_SHARED,
    ),
}


def tasks_of(values: Values, infos: Mapping[str, CaseInfo]) -> dict[str, CaseInfo]:
    """The same with the sub-task of CARE of each case that states none, by the structures in its reference."""
    return {
        case: info if info.task else replace(info, task=_task(values, number))
        for number, (case, info) in enumerate((c, infos[c]) for c in values.cases)
    }


def columns_of(
    values: Values, infos: Mapping[str, CaseInfo], options: RankOptions
) -> tuple[list[Column], list[str]]:
    """The columns of a scheme, and a line for each table or group that has no case.

    Raises `NNUNetPromptError` for a metric that the evaluation does not have, and where no column is left.
    """
    _check_metrics(values, options)
    make = {"general": _general, "tfm4media": _tfm4media}.get(options.scheme, _boards)
    columns, notes = make(values, infos, options)
    if not columns:
        why = f": {'; '.join(notes)}" if notes else ""
        raise NNUNetPromptError(
            f"scheme {options.scheme}: expected cases to rank by, found none{why}; give the centre of each case in a"
            " CSV with --groups, and the centres that training has not seen with --unseen"
        )
    if TIME in options.weights:
        columns.append(Column(TIME, TIME, (), np.zeros(len(values.cases), bool), 1.0))
    return _weighted(columns, options.weights), notes


def structures_of(values: Values, wanted: Sequence[int]) -> tuple[str, ...]:
    """The label values of structures that are given by official value; a data set may number them otherwise."""
    return tuple(s for s in values.structures if any(_is(values, s, one) for one in wanted))


def _general(
    values: Values, infos: Mapping[str, CaseInfo], options: RankOptions
) -> tuple[list[Column], list[str]]:
    everything = np.ones(len(values.cases), bool)
    return [
        Column(f"{values.name_of(s)} {metric}", metric, (s,), everything, 1.0)
        for s in values.structures
        for metric in _metrics(options)
    ], []


def _tfm4media(
    values: Values, infos: Mapping[str, CaseInfo], options: RankOptions
) -> tuple[list[Column], list[str]]:
    columns: list[Column] = []
    notes: list[str] = []
    for task in sorted({infos[case].task for case in values.cases}):
        for group in (SEEN, UNSEEN):
            cases = _cases(values, infos, task=task, group=group)
            title = f"{task or 'all'} {group}"
            labels = {"task": task or "all", "group": group}
            structures = tuple(
                s
                for s, row in zip(values.structures, values.in_reference, strict=True)
                if row[cases].any()
            )
            if not structures:
                notes.append(f"{title}: no case: left out")
                continue
            columns += [
                Column(f"{title} {metric}", metric, structures, cases, 1.0, labels)
                for metric in _metrics(options)
            ]
    return columns, notes


def _boards(
    values: Values, infos: Mapping[str, CaseInfo], options: RankOptions
) -> tuple[list[Column], list[str]]:
    columns: list[Column] = []
    notes: list[str] = []
    for board in BOARDS[options.scheme]:
        found = board_columns(values, infos, board, _metrics(options))
        columns += found
        if not found:
            notes.append(f"{board.name} ({board.title}): no case with its structures: left out")
    return columns, notes


def board_columns(
    values: Values, infos: Mapping[str, CaseInfo], board: Board, metrics: Sequence[str]
) -> list[Column]:
    """The columns of one table; none where no case has its structures."""
    cases = _cases(values, infos, board.task, board.group, board.sequence)
    structures = tuple(
        s
        for s in structures_of(values, board.structures)
        if values.in_reference[values.structures.index(s), cases].any()
    )
    labels = {"table": board.name, "task": board.task, "group": board.group}
    if not structures:
        return []
    return [Column(f"{board.name} {m}", m, structures, cases, 1.0, labels) for m in metrics]


def _cases(
    values: Values, infos: Mapping[str, CaseInfo], task: str, group: str, sequence: str = ""
) -> npt.NDArray[np.bool_]:
    def chosen(info: CaseInfo) -> bool:
        fits = info.sequence.casefold().startswith(sequence)
        return (info.task, info.group) == (task, group) and fits

    return np.array([chosen(infos[case]) for case in values.cases], bool)


def _weighted(columns: Sequence[Column], weights: Mapping[str, float]) -> list[Column]:
    counts = {m: sum(column.metric == m for column in columns) for m in weights}
    return [replace(c, weight=weights[c.metric] / counts[c.metric]) for c in columns]


def _metrics(options: RankOptions) -> list[str]:
    return [metric for metric in options.weights if metric != TIME]


def _check_metrics(values: Values, options: RankOptions) -> None:
    for metric in _metrics(options):
        if metric not in values.scores:
            known = did_you_mean(metric, values.scores)
            raise NNUNetPromptError(
                f"weights: expected metrics of the evaluation, found {metric!r}{known}"
            )


def _is(values: Values, structure: str, official: int) -> bool:
    name = (values.names.get(structure) or "").strip().casefold()
    return structure == str(official) or name in _NAMES[official]


def _task(values: Values, case: int) -> str:
    for task, own in _OWN.items():
        rows = [values.structures.index(s) for s in structures_of(values, own)]
        if values.in_reference[rows, case].any():
            return task
    return ""
