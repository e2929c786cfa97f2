"""Task, centre and sequence of each case, and whether training has seen its centre.

They come from the converters' side file beside the label maps, and from a CSV with a row per case: a column `case` and
any of `task`, `centre` (or `center`, `vendor`), `sequence` (or `modality`) and `seen` (yes or no). The CSV has the last
word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nnunet_prompt.common.errors import DatasetError, NNUNetPromptError
from nnunet_prompt.evaluation.facts import facts_of, find_facts, read_facts

SEEN, UNSEEN = "seen", "unseen"
_SAMPLE = "case,centre,seen"
_SPELT = {"center": "centre", "vendor": "centre", "modality": "sequence", "sub-task": "task"}
_FIELDS = ("task", "centre", "sequence", "seen")
_YES = {"yes", "true", "1", "seen", "id", "in"}
_NO = {"no", "false", "0", "unseen", "ood", "out"}
# how sub-tasks are called by converters and by people
_TASKS = {
    "lascarqs": {"lascarqs++", "la", "left atrium", "atrium", "single cardiac structure"},
    "whs": {"whs++", "care-whs", "whole heart", "heart", "whole heart structures"},
    "myops": {"myops++", "care-myops", "pathology", "structure and pathology"},
    "liqa": {"care-liver", "liver", "lifs"},
}
# The centres of the training data, as the organisers list them: TFM4MedIA of CARE 2024, the others of CARE 2025.
# WHS has one set "C & D". Where a scheme has no entry, the user states what training has seen.
_WHS = frozenset({"a", "b", "c", "d", "c & d", "c and d", "c/d", "e"})
_MYOPS = frozenset("abcefgh")
KNOWN: Mapping[str, Mapping[str, frozenset[str]]] = {
    "tfm4media": {
        "lascarqs": frozenset("a"),
        "whs": _WHS,
        "myops": frozenset({*"abcefg", *"123567"}),
        "liqa": frozenset({"a", "b1", "b2"}),
    },
    "care-cardiac": {"lascarqs": frozenset("a"), "whs": _WHS, "myops": _MYOPS},
    "care-myops": {"myops": _MYOPS},
    "care-whs": {"whs": _WHS},
}


@dataclass(frozen=True, slots=True)
class CaseInfo:
    """Facts on a case, empty where unknown; `group` is "seen" or "unseen"."""

    task: str = ""
    centre: str = ""
    sequence: str = ""
    group: str = ""


def read_groups(labels: Path, table: Path | None, cases: Sequence[str]) -> dict[str, CaseInfo]:
    """What is known of each of `cases`.

    Raises `NNUNetPromptError` for a table that cannot be read or shares no case with the label maps.
    """
    entries, _ = find_facts(labels)
    rows = {} if table is None else read_table(table)
    if table is not None and not rows.keys() & set(cases):
        raise DatasetError(
            f"{table}: expected the cases of {labels} in its column case, such as {cases[0]}, found for example"
            f" {next(iter(rows), 'no row')}"
        )
    return {case: _info(facts_of(entries, case) | rows.get(case, {})) for case in cases}


def read_table(path: Path) -> dict[str, dict[str, str]]:
    """The rows of a CSV by case; the columns are `_FIELDS`, those without a value are left out."""
    columns, facts = read_facts(path, _SAMPLE)
    if not set(_FIELDS) & set(map(_field, columns)):
        raise DatasetError(
            f"{path}: expected a CSV with the columns case and any of {', '.join(_FIELDS)}, such as {_SAMPLE},"
            f" found case, {', '.join(columns)}"
        )
    found: dict[str, dict[str, str]] = {}
    for case, entry in facts.items():
        row = {_field(column): value for column, value in entry.items()}
        found[case] = {k: row[k] for k in _FIELDS if k in row}
        if "seen" in found[case]:
            found[case]["group"] = _group(path, case, found[case].pop("seen"))
    return found


def task_name(task: str) -> str:
    """The converters' name of a sub-task of CARE, whatever it is called; other tasks keep their name."""
    low = task.strip().casefold()
    return next((name for name, others in _TASKS.items() if low == name or low in others), task)


def with_groups(
    infos: Mapping[str, CaseInfo], scheme: str, seen: Iterable[str], unseen: Iterable[str]
) -> dict[str, CaseInfo]:
    """The same with the group of each case, where its centre decides it.

    A row of the CSV comes first, then `seen` and `unseen`, then the centres that the organisers list. Where only one
    of `seen` and `unseen` is given, all other centres belong to the other.
    """
    chosen = _centres(seen), _centres(unseen)
    known = KNOWN.get(scheme, {})
    return {
        case: replace(info, group=info.group or _group_of(info, *chosen, known))
        for case, info in infos.items()
    }


def _group_of(
    info: CaseInfo,
    seen: set[tuple[str, str]],
    unseen: set[tuple[str, str]],
    known: Mapping[str, frozenset[str]],
) -> str:
    centre = info.centre.casefold()
    if not centre:
        return ""
    keys = {("", centre), (info.task.casefold(), centre)}
    if keys & seen or keys & unseen:
        return SEEN if keys & seen else UNSEEN
    if seen or unseen:
        return "" if seen and unseen else UNSEEN if seen else SEEN
    if info.task in known:
        return SEEN if centre in known[info.task] else UNSEEN
    return ""


def _centres(given: Iterable[str]) -> set[tuple[str, str]]:
    """Task and centre of "whs:A"; the task of "A" is empty."""
    parts = [one.rpartition(":") for one in given]
    return {(task_name(task).casefold(), centre.strip().casefold()) for task, _, centre in parts}


def _info(entry: Mapping[str, str]) -> CaseInfo:
    return CaseInfo(
        task_name(entry.get("task", "")),
        entry.get("centre", "") or entry.get("vendor", ""),
        entry.get("sequence", "") or entry.get("modality", ""),
        entry.get("group", ""),
    )


def _field(name: str) -> str:
    low = name.strip().casefold()
    return _SPELT.get(low, low)


def _group(path: Path, case: str, text: str) -> str:
    low = text.casefold()
    if low not in _YES | _NO:
        raise NNUNetPromptError(f"{path}: seen of case {case}: expected yes or no, found {text!r}")
    return SEEN if low in _YES else UNSEEN
