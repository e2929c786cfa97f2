"""All CARE downloads as one nnU-Net data set: one image channel, each sequence of a case a training case of its own.

Cases come from the converters of the tasks (`nnunet_prompt.dataset_conversion`) and take the labels of the unified
set. A structure that none of the given tasks has is left out, because a head that no case annotates answers at random.
Names are anonymous; who is who stands in the side file. Beside it lie `conversion_report.json` and
`nnunet_prompt_folds.json`, which states what each fold holds out. Plans and `splits_final.json` go to
nnUNet_preprocessed.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.common.log import progress
from nnunet_prompt.data.care_labels import TASKS, UNIFIED, Task, atoms_of, table_for, taught_by
from nnunet_prompt.data.care_labels import to_unified as to_registry
from nnunet_prompt.data.case import Case
from nnunet_prompt.data.plans import NNUNET_PLANS, no_resampling_plans, preprocessed_root
from nnunet_prompt.data.raw import RawTarget, raw_root
from nnunet_prompt.data.splits import SPLITS_FILE, Fold, held_out_folds, patient_folds, write_splits
from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.io.json_file import read_object, write_json

from .detect import tasks_of
from .download import DEFAULTS, CareOptions
from .duplicates import merge_patients
from .inspect import Examined, write_examined
from .numbering import anonymous, reserve_names

_log = logging.getLogger(__name__)

NAME = "CARE"
FOLDS_FILE = "nnunet_prompt_folds.json"
FOLDS_VERSION = 1
_WORKERS_VARIABLE = "nnUNet_n_proc_DA"


def unify(
    sources: Sequence[Path],
    dataset_id: int,
    *,
    name: str | None = None,
    options: CareOptions = DEFAULTS,
) -> Path:
    """Writes the unified data set with its folds and returns its raw folder.

    Each of `sources` is the folder of one task's download, in any order, or of the one version of it that is wanted;
    `options.version_root` and `options.stack_sequences` are not used. Where nnUNet_preprocessed is set, nnU-Net plans
    the data set and `splits_final.json` is written there. Raises `DatasetError` for folders that `tasks_of` refuses,
    for a folder that was begun with other cases, for splits that are there and differ, and everything that the
    converters, `write_examined` and `plan_dataset` raise.
    """
    tasks = tasks_of(sources)
    found = anonymous(examine(tasks, options))
    cases = [e.case for e in found if e.case is not None]
    target = RawTarget(dataset_id, name or NAME)
    if cases and (options.leave_out or not any(e.inspection.problems for e in found)):
        reserve_names(target, cases)
    table = replace(unified_table(tasks), weights=sampling_weights(cases))
    folder = write_examined(found, target, table=table, leave_out=options.leave_out)
    for line in marks(cases):
        _log.info("%s", line)
    folds = folds_of(cases)
    _write_folds(folder / FOLDS_FILE, folds)
    _plan(dataset_id, folder.name, folds)
    return folder


def examine(sources: Mapping[Task, Path], options: CareOptions = DEFAULTS) -> list[Examined]:
    """Examines the downloads, task after task, and gives their cases the labels of the unified set.

    Cases and patients are named `<task>:<name>`. Cases of any tasks that show the same image share a patient.
    """
    options = replace(options, version_root=None, stack_sequences=False)
    tasks = tuple(sources)
    found: list[Examined] = []
    for task, source in sources.items():
        module = import_module(f"nnunet_prompt.dataset_conversion.care.{task}")
        converter: Callable[[Path, CareOptions], Iterator[Examined]] = module.examine
        ids = to_unified(task, tasks)
        for e in progress(converter(source, options), f"{task} examine"):
            found.append(_unified(e, task, ids))
    return merge_patients(found)


def unified_table(tasks: Iterable[Task] = TASKS) -> StructureTable:
    """`table_for("unified")` without the structures that none of the tasks has; labels close up to 1..K."""
    labels, whole = _labels(tasks), table_for(UNIFIED)
    structures = tuple(
        Structure(
            s.name, labels[s.label], tuple(labels[m] for m in s.members if m in labels), s.official
        )
        for s in whole.structures
        if s.label in labels
    )
    names = {s.name for s in structures}
    return replace(
        whole, structures=structures, priority=tuple(n for n in whole.priority if n in names)
    )


def to_unified(task: Task, tasks: Iterable[Task] = TASKS) -> dict[int, int]:
    """The label of `unified_table(tasks)` for each label of `task`, background included."""
    labels = {0: 0} | _labels(tasks)
    return {label: labels[unified] for label, unified in to_registry(task).items()}


def sampling_weights(cases: Iterable[Case]) -> dict[str, float]:
    """How often each case is drawn for training: 1 / (sqrt(patients of its task) x cases of its patient).

    So a task counts with the square root of its patients, and a patient as much with one sequence as with three.
    """
    cases = list(cases)
    of_task = Counter(task for task, _ in {(c.task, c.patient) for c in cases})
    of_patient = Counter(c.patient for c in cases)
    return {c.case_id: 1 / (math.sqrt(of_task[c.task]) * of_patient[c.patient]) for c in cases}


def folds_of(cases: Iterable[Case]) -> list[Fold]:
    """The usual folds by patient, and after them one fold per centre of a task ("myops A") that holds it out.

    The letter of a centre means another site in another task.
    """
    cases = list(cases)
    patients = {c.case_id: c.patient or c.case_id for c in cases}
    centres = {c.case_id: f"{c.task} {c.centre}" for c in cases if c.centre}
    return [*patient_folds(patients), *held_out_folds(patients, centres)]


def marks(cases: Iterable[Case]) -> list[str]:
    """A line for each task: how many cases are of which centre and modality, as the side file marks them."""
    counted: dict[str, dict[str, Counter[str]]] = {}
    for case in cases:
        own = counted.setdefault(
            case.task or "no task", {"centre": Counter(), "modality": Counter()}
        )
        own["centre"][case.centre or "not known"] += 1
        own["modality"][case.modality or "not known"] += 1
    return [
        f"{task}: "
        + "; ".join(
            f"{column} " + ", ".join(f"{value} ({n})" for value, n in sorted(found.items()))
            for column, found in own.items()
        )
        for task, own in counted.items()
    ]


def _labels(tasks: Iterable[Task]) -> dict[int, int]:
    """The label in the data set of each label of the registry's unified set that one of the tasks has."""
    tasks = frozenset(tasks)
    there = [i for i, atom in enumerate(atoms_of(UNIFIED), 1) if tasks & set(atom.official)]
    return {label: i for i, label in enumerate(there, 1)}


def _unified(examined: Examined, task: Task, ids: Mapping[int, int]) -> Examined:
    """The examined case with the labels of the unified set; its names begin with the task."""
    inspection = replace(examined.inspection, case=f"{task}:{examined.inspection.case}")
    case = examined.case
    if case is None:
        return Examined(inspection)
    values = ids if case.label_values is None else {v: ids[k] for v, k in case.label_values.items()}
    shown = frozenset(table_for(task).names) if case.annotated is None else case.annotated
    unified = replace(
        case,
        label_values=MappingProxyType(dict(values)),
        annotated=taught_by(shown, [case.sequence] if case.sequence else []),
        prompted=shown if case.prompted is None else case.prompted,
        patient=f"{task}:{case.patient or case.case_id}",
        task=task,
    )
    return Examined(inspection, unified)


def _write_folds(path: Path, folds: Sequence[Fold]) -> None:
    """Reports, in JSON and in the log, what each fold of nnU-Net's command line is.

    It names centres, so it stays with the raw data.
    """
    entries: list[dict[str, Any]] = []
    for number, fold in enumerate(folds):
        entry: dict[str, Any] = {"fold": number, "train": len(fold.train), "val": len(fold.val)}
        if fold.held_out:
            task, centre = fold.held_out.split(" ", 1)
            entry |= {"task": task, "centre": centre}
            cases = "1 case" if len(fold.val) == 1 else f"{len(fold.val)} cases"
            _log.info("fold %d holds out %s: %s", number, fold.held_out, cases)
        entries.append(entry)
    write_json(path, {"version": FOLDS_VERSION, "folds": entries})


def _plan(dataset_id: int, dataset: str, folds: Sequence[Fold]) -> None:
    """Splits and both plans where nnU-Net looks for them, or one line that states what to do later."""
    try:
        root = preprocessed_root()
    except DatasetError:
        _log.info(
            "nnUNet_preprocessed is not set: set it and run the same command again, which then plans the data set"
            " and writes its splits"
        )
        return
    if folds:
        write_splits(root / dataset / SPLITS_FILE, folds)
    else:
        _log.info("a single patient cannot be split: no splits are written")
    plans = (plan_dataset(dataset_id), no_resampling_plans(dataset_id))
    names = " and ".join(path.stem for path in plans)
    _log.info("wrote the plans %s to %s", names, root / dataset)


def plan_dataset(dataset_id: int) -> Path:
    """Has nnU-Net take the fingerprint of a raw data set and plan it; returns its plans.

    What nnU-Net prints goes to stderr. A fingerprint that is newer than every case and counts as many is kept. Raises
    `DatasetError` where nnUNet_raw or nnUNet_preprocessed is not set and where nnU-Net refuses.
    """
    from nnunetv2.configuration import default_num_processes
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api
    from nnunetv2.utilities.dataset_name_id_conversion import convert_id_to_dataset_name

    raw, preprocessed = raw_root(), preprocessed_root()
    workers = max(1, min(default_num_processes, os.cpu_count() or 1))
    try:
        with contextlib.redirect_stdout(sys.stderr), _planning_threads():
            name = str(convert_id_to_dataset_name(dataset_id))
            old = _fingerprint_is_old(preprocessed / name, raw / name)
            api.extract_fingerprints([dataset_id], num_processes=workers, clean=old)
            api.plan_experiments([dataset_id])
    except RuntimeError as error:
        text = " ".join(str(error).split())
        raise DatasetError(f"data set {dataset_id}: nnU-Net cannot plan it ({text})") from error
    return preprocessed / name / f"{NNUNET_PLANS}.json"


def _fingerprint_is_old(preprocessed: Path, raw: Path) -> bool:
    path = preprocessed / "dataset_fingerprint.json"
    if not path.is_file():
        return True
    try:
        counted = len(read_object(path, DatasetError)["spacings"])
    except (DatasetError, KeyError, TypeError):
        return True
    labels = list((raw / "labelsTr").iterdir())
    newest = max((label.stat().st_mtime for label in labels), default=0.0)
    return counted != len(labels) or newest >= path.stat().st_mtime


@contextlib.contextmanager
def _planning_threads() -> Iterator[None]:
    """nnU-Net plans with as many threads as it has workers for augmentation, and cannot do so with none."""
    found = os.environ.get(_WORKERS_VARIABLE)
    if found != "0":
        yield
        return
    os.environ[_WORKERS_VARIABLE] = "1"
    try:
        yield
    finally:
        os.environ[_WORKERS_VARIABLE] = found
