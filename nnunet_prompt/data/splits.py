"""nnU-Net's `splits_final.json`: folds by patient, and folds that hold out a centre."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.io.json_file import read_json, write_json
from nnunet_prompt.io.names import composed

SPLITS_FILE = "splits_final.json"
SPLIT_SEED = 12345  # nnU-Net's own
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Fold:
    """One fold: the names of its cases, sorted, and the group that it holds out ("": some patients of all)."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    held_out: str = ""


def patient_folds(
    patients: Mapping[str, str], *, folds: int = FOLDS, seed: int = SPLIT_SEED
) -> list[Fold]:
    """Folds whose validation cases are each case once, with all cases of a patient on one side.

    `patients` gives the patient of each case. The same patients and seed give the same folds, whatever the order;
    folds get about equally many cases. There are as many as there are patients where these are fewer than `folds`,
    and none for a single patient.
    """
    names = sorted(set(patients.values()))
    folds = min(folds, len(names))
    if folds < 2:
        return []
    order = np.random.default_rng(seed).permutation(len(names))
    groups = [[c for c in sorted(patients) if patients[c] == names[i]] for i in order]
    held_out: list[list[str]] = [[] for _ in range(folds)]
    for group in sorted(groups, key=len, reverse=True):
        min(held_out, key=len).extend(group)
    return [
        Fold(tuple(sorted(set(patients) - set(some))), tuple(sorted(some))) for some in held_out
    ]


def held_out_folds(patients: Mapping[str, str], groups: Mapping[str, str]) -> list[Fold]:
    """One fold per group, by name: its cases are for validation, those of all other patients for training.

    `groups` gives the group of a case, such as its centre; a case that it does not list is trained with in every
    fold. A patient of the group has all other cases left out of the fold. A fold that has nothing to train with is
    left out.
    """
    found = []
    for group in sorted(set(groups.values())):
        val = tuple(sorted(c for c in patients if groups.get(c) == group))
        held = {patients[c] for c in val}
        train = tuple(sorted(c for c in patients if patients[c] not in held))
        if train and val:
            found.append(Fold(train, val, group))
    return found


def fold_of(folder: Path, fold: int | str, cases: Collection[str]) -> Fold:
    """The cases of a fold of a preprocessed data set, as nnU-Net will choose them; `cases` are those preprocessed.

    nnU-Net writes five folds into a folder without splits, and takes all cases for both parts of the fold "all". Raises
    `DatasetError` where it would end in a traceback or take other cases than one may think: too few cases for five
    folds, a fold that the splits lack (nnU-Net draws a random one), one without cases, and cases that are not there.
    """
    if fold == "all":
        return Fold(tuple(sorted(cases)), tuple(sorted(cases)))
    path = folder / SPLITS_FILE
    if not path.is_file():
        if len(cases) < FOLDS:
            raise DatasetError(
                f"{folder}: fold {fold}: holds {len(cases)} case(s), and nnU-Net's split into {FOLDS} folds needs as"
                f" many: train with the fold `all`, or write {SPLITS_FILE}"
            )
        count, chosen = FOLDS, None
    else:
        splits = _read_splits(path)
        count, chosen = len(splits), splits[int(fold)] if int(fold) < len(splits) else None
    if not count:
        raise DatasetError(f"{path}: lists no fold: remove it, and nnU-Net makes {FOLDS}")
    if not 0 <= int(fold) < count:
        raise DatasetError(
            f"{path}: fold {fold}: expected a fold from 0 to {count - 1}, or `all` to train on every case"
        )
    if chosen is None:
        return Fold(tuple(sorted(cases)), ())  # nnU-Net has yet to split them
    _check_fold(f"{path}: fold {fold}", chosen, cases)
    return chosen


def _read_splits(path: Path) -> list[Fold]:
    form = 'expected [{"train": [case, ...], "val": [case, ...]}, ...]'
    content = read_json(path, DatasetError, way_out=f"; {form}", encoding="utf-8-sig")
    try:
        if not isinstance(content, list):
            raise TypeError(f"a {type(content).__name__}")
        parts = [(entry["train"], entry["val"]) for entry in content]
    except (KeyError, TypeError) as error:
        raise DatasetError(f"{path}: {form}, found {error}") from None
    for part in (part for both in parts for part in both):
        if not isinstance(part, list) or not all(isinstance(case, str) for case in part):
            raise DatasetError(f"{path}: {form}, found {str(part)[:60]!r}")
    return [Fold(tuple(train), tuple(val)) for train, val in parts]


def _check_fold(where: str, fold: Fold, cases: Collection[str]) -> None:
    for name, part in (("train", fold.train), ("val", fold.val)):
        if not part:
            raise DatasetError(
                f"{where}: {name} lists no case, expected at least one: name some, or train with the fold `all`"
            )
        missing = sorted(set(part) - set(cases))
        if missing:
            raise DatasetError(
                f"{where}: {name} lists {missing[0]!r}, which is not preprocessed ({len(missing)} such case(s)):"
                " preprocess again, or take it out"
            )


def write_splits(path: Path, folds: Sequence[Fold]) -> None:
    """Writes nnU-Net's `splits_final.json`, unless it holds the same already; more folds may follow those it has.

    Raises `DatasetError` when it holds something else: trainings may rest on it, and a fold that changes its cases
    between two of them puts what one is trained on among what the other is measured by.
    """
    wanted = [{"train": list(fold.train), "val": list(fold.val)} for fold in folds]
    if path.is_file():
        try:
            found = read_json(path, DatasetError)
        except DatasetError:
            found = None
        if not isinstance(found, list) or _composed(found) != _composed(wanted[: len(found)]):
            raise DatasetError(
                f"{path}: holds other folds than the data set has now, and trainings may rest on them:"
                " move the file away, or choose another id, and run again"
            )
        if len(found) == len(wanted):
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, wanted)


def _composed(folds: list[dict[str, list[str]]]) -> str:
    """The folds as text, to compare: names that look alike are the same."""
    return composed(json.dumps(folds, ensure_ascii=False, sort_keys=True))
