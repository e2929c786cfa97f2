"""Task, centre and sequence of each case, and whether training has seen its centre.

They come from the converters' side file beside the label maps, and from a CSV with a row per case: a column `case` and
any of `task`, `centre` (or `center`, `vendor`), `sequence` (or `modality`) and `seen` (yes or no). The CSV has the last
word.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nnunet_prompt.common.errors import DatasetError, NNUNetPromptError, system_reason
from nnunet_prompt.data.side_file import SIDE_FILE, read_side_file
from nnunet_prompt.evaluation.pairs import PREDICTION_SUFFIX
from nnunet_prompt.io.image_files import without_image_ending
from nnunet_prompt.io.names import composed

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
    entries: dict[str, dict[str, str]] = {}
    for folder in (labels, labels.absolute().parent):
        if (folder / SIDE_FILE).is_file():
            entries = {composed(case): entry for case, entry in read_side_file(folder).items()}
            break
    rows = {} if table is None else read_table(table)
    if table is not None and not rows.keys() & set(cases):
        raise DatasetError(
            f"{table}: expected the cases of {labels} in its first column, such as {cases[0]}, found for example"
            f" {next(iter(rows))}"
        )
    return {case: _info(entries.get(case, {}) | rows.get(case, {})) for case in cases}


def read_table(path: Path) -> dict[str, dict[str, str]]:
    """The rows of a CSV by case; the columns are `_FIELDS`, those without a value are left out."""
    rows = [{_field(k): (v or "").strip() for k, v in row.items() if k} for row in csv_rows(path)]
    if not rows or not {"case"} < rows[0].keys() or not set(_FIELDS) & rows[0].keys():
        head = ", ".join(rows[0]) if rows else "no row"
        raise DatasetError(
            f"{path}: expected a CSV with the columns case and any of {', '.join(_FIELDS)}, such as {_SAMPLE},"
            f" found {head}"
        )
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        case = composed(without_image_ending(row["case"])).removesuffix(PREDICTION_SUFFIX)
        if case in found:
            raise DatasetError(f"{path}: expected one row per case, found two of {case}")
        found[case] = {k: row[k] for k in _FIELDS if row.get(k)}
        if "seen" in found[case]:
            found[case]["group"] = _group(path, case, found[case].pop("seen"))
    return found


def csv_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV with commas, semicolons or tabs. Raises `DatasetError`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = system_reason(error) or "it is not text in UTF-8"
        raise DatasetError(f"{path}: cannot be read: {reason}; give a CSV file") from error
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    return list(csv.DictReader(io.StringIO(text), delimiter=delimiter))


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
