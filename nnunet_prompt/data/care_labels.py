"""Every structure of the CARE sub-tasks, in one place: pure data and the small functions that read it.

Labels are atoms: no two of them share a voxel and none loses what a download states. Structures are what heads learn
and users name. nnU-Net trains one structure per label (structure k holds label k), so each atom lends its label to
the structure that it is the core of:

    label                    structure            union of
    myocardium_unspecified   myocardium           unspecified, healthy, edema, scar: the full muscle
    myocardium_healthy       myocardium_healthy   healthy
    la_cavity                la                   cavity, scar in the cavity
    la_scar_in_cavity        la_scar              scar in the cavity, scar outside of it
    every other              its own name         itself

`myocardium_healthy` is muscle of a case in which somebody looked for scar *and* edema, `myocardium_unspecified` is
muscle of a case in which nobody did. The full muscle belongs to the unspecified label, because every reader gives it;
the healthy label keeps a head of its own, since both are written as 200 and a prompt for 200 means it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.structures import Structure, StructureTable

Task = Literal["myops", "whs", "lascarqs", "liqa", "atriumct"]
TASKS: tuple[Task, ...] = ("myops", "whs", "lascarqs", "liqa")  # those of the unified set
UNIFIED = "unified"


@dataclass(frozen=True, slots=True)
class Atom:
    """A label that loses nothing, and the structure to which it lends its label.

    `members` are the other atoms of that structure. `official` is the value in written masks, per task.
    """

    name: str
    structure: str
    official: Mapping[str, int]
    members: tuple[str, ...] = ()


# WHS calls the whole muscle 205, MyoPS calls what is neither scar nor edema 200: so does the unified set.
# 421 for the scar of the left atrium is a guess; prompts files bring their own ids.
ATOMS: tuple[Atom, ...] = (
    Atom(
        "myocardium_unspecified",
        "myocardium",
        {"myops": 200, "whs": 205, UNIFIED: 205},
        ("myocardium_healthy", "edema", "scar"),
    ),
    Atom("myocardium_healthy", "myocardium_healthy", {"myops": 200, UNIFIED: 200}),
    Atom("lv", "lv", {"myops": 500, "whs": 500, UNIFIED: 500}),
    Atom("rv", "rv", {"myops": 600, "whs": 600, UNIFIED: 600}),
    Atom("edema", "edema", {"myops": 1220, UNIFIED: 1220}),
    Atom("scar", "scar", {"myops": 2221, UNIFIED: 2221}),
    Atom("la_cavity", "la", {"whs": 420, "lascarqs": 420, UNIFIED: 420}, ("la_scar_in_cavity",)),
    Atom("ra", "ra", {"whs": 550, UNIFIED: 550}),
    Atom("aorta", "aorta", {"whs": 820, UNIFIED: 820}),
    Atom("pulmonary_artery", "pulmonary_artery", {"whs": 850, UNIFIED: 850}),
    Atom("la_scar_in_cavity", "la_scar", {"lascarqs": 421, UNIFIED: 421}, ("la_scar_outside",)),
    Atom("la_scar_outside", "la_scar_outside", {"lascarqs": 421, UNIFIED: 421}),
    Atom("liver", "liver", {"liqa": 1, UNIFIED: 1}),
)

# Tasks that are a data set of their own. The atrium of the CT task of 2026 ends where its veins and its appendage
# begin; that of WHS and LAScarQS holds the roots of both, so that one head cannot be trained on all of them.
ALONE: Mapping[Task, tuple[Atom, ...]] = MappingProxyType(
    {
        "atriumct": (
            Atom("la_body", "la", {"atriumct": 1}),
            Atom("pulmonary_veins", "pulmonary_veins", {"atriumct": 2}),
            Atom("la_appendage", "la_appendage", {"atriumct": 3}),
        )
    }
)

# What lies inside something else wins; neighbours that only touch decide a voxel by the higher probability.
PRIORITY = ("scar", "edema", "la_scar_outside", "la_scar", "myocardium_healthy")

# Values that are known to stand for another one in some files. LAScarQS masks are read as `> 0` instead.
ALIASES: Mapping[str, Mapping[int, int]] = MappingProxyType(
    {"myops": {1: 2221}, "whs": {421: 420}, "lascarqs": {}, "liqa": {}, "atriumct": {}}
)

# Which structure heads a sequence annotates; a sequence that is not listed annotates every annotated structure. The
# object head may be prompted for any structure in any sequence. No single sequence shows both scar and edema: LGE
# annotates `myocardium_healthy`, since a head that no case annotates would answer at random.
_ANATOMY = frozenset({"myocardium", "lv", "rv"})
TAUGHT: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "C0": _ANATOMY,
        "LGE": _ANATOMY | {"myocardium_healthy", "scar", "la", "la_scar", "la_scar_outside"},
        "T2": frozenset({"myocardium", "edema"}),
    }
)


def atoms_of(task: str) -> tuple[Atom, ...]:
    """The atoms of a task, or of `"unified"`, in the order of their labels 1..K.

    Raises `DatasetError` for a task that is neither in `TASKS` nor in `ALONE`.
    """
    if task != UNIFIED and task not in (*TASKS, *ALONE):
        known = ", ".join((*TASKS, *ALONE, UNIFIED))
        raise DatasetError(f"task {task!r}: expected one of {known}")
    for alone, atoms in ALONE.items():
        if task == alone:
            return atoms
    return tuple(a for a in ATOMS if task in a.official)


def label_ids(task: str) -> dict[str, int]:
    """The label of each atom of a task: {"myocardium_unspecified": 1, ...}."""
    return {atom.name: i for i, atom in enumerate(atoms_of(task), 1)}


def table_for(task: str) -> StructureTable:
    """The structures of a task, or of `"unified"`, with contiguous labels.

    Where two structures share an official value, the one that the value names comes first.
    """
    ids = label_ids(task)
    structures = tuple(
        Structure(
            atom.structure,
            ids[atom.name],
            (ids[atom.name], *(ids[m] for m in atom.members if m in ids)),
            atom.official[task],
        )
        for atom in atoms_of(task)
    )
    names = {s.name for s in structures}
    return StructureTable(
        structures, orientation="canonical", priority=tuple(n for n in PRIORITY if n in names)
    )


def to_unified(task: str) -> dict[int, int]:
    """The label of the unified set for each label of a task, background included."""
    unified = label_ids(UNIFIED)
    return {0: 0} | {label: unified[name] for name, label in label_ids(task).items()}


def label_values(task: str, atoms: Mapping[int, str], *, aliases: bool = True) -> dict[int, int]:
    """From the values of a label file to the labels of `task`, for `Case.label_values`.

    `atoms` names the atom that each value stands for in this file (see `atoms_on_disk`); the known aliases are added
    unless `aliases` is False.
    """
    ids = label_ids(task)
    values = {0: 0} | {value: ids[name] for value, name in atoms.items()}
    if aliases:
        values |= {a: values[v] for a, v in ALIASES[task].items() if v in values}
    return values


def atoms_on_disk(task: str, *, pathology_read: bool = True) -> dict[int, str]:
    """The atom that each official value stands for in a label file of a task.

    `pathology_read` states whether scar and edema were both looked for: it decides what 200 means in MyoPS. A left
    atrium has two files, which `la_labels` joins, and only its cavity value here.
    """
    found: dict[int, str] = {}
    for atom in atoms_of(task):
        value = atom.official[task]
        if value not in found or (atom.name == "myocardium_healthy" and pathology_read):
            found[value] = atom.name
    if task == "lascarqs":
        found = {420: "la_cavity"}
    return found


@dataclass(frozen=True, slots=True)
class Audit:
    """Checks the values of a label file: lines for the user, and the values that become background."""

    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    background: frozenset[int] = frozenset()


def audit_values(task: str, values: Iterable[int], *, unknown_to_background: bool = False) -> Audit:
    """Checks the values of a label file of a task against its official values and their known aliases.

    An undocumented value is a problem, or a note if `unknown_to_background`. A file with both a value and
    an alias of it is a problem for MyoPS, where its meaning is unknown.
    """
    values = set(values) - {0}
    official = {atom.official[task] for atom in atoms_of(task)}
    aliases = ALIASES[task]
    unknown = sorted(values - official - set(aliases))
    notes = [f"value {a} is read as {aliases[a]}" for a in sorted(values & set(aliases))]
    problems = [
        f"the label map holds both {a} and {aliases[a]}, expected one of them: ask the organisers what {a} means"
        for a in sorted(values & set(aliases))
        if task == "myops" and aliases[a] in values
    ]
    if unknown and unknown_to_background:
        notes.append(f"unknown label values {unknown} become background")
    elif unknown:
        known = f" (or the known {', '.join(map(str, sorted(aliases)))})" if aliases else ""
        problems.append(
            f"the label map holds the value {unknown[0]}, expected only {sorted(official | {0})}"
            f"{known}: look at it, or use --unknown-to-background"
        )
    return Audit(tuple(notes), tuple(problems), frozenset(unknown))


def la_labels(
    cavity: npt.NDArray[np.bool_], scar: npt.NDArray[np.bool_] | None, task: str = "lascarqs"
) -> npt.NDArray[np.uint8]:
    """The labels of a left atrium from its cavity mask and its scar mask (None: scar was not annotated)."""
    ids = label_ids(task)
    labels = np.where(cavity, np.uint8(ids["la_cavity"]), np.uint8(0))
    if scar is None:
        return labels
    inside, outside = np.uint8(ids["la_scar_in_cavity"]), np.uint8(ids["la_scar_outside"])
    return np.where(scar, np.where(cavity, inside, outside), labels)


def taught_by(annotated: Iterable[str], sequences: Iterable[str]) -> frozenset[str]:
    """The annotated structures that images of these sequences annotate for the structure heads."""
    annotated, sequences = frozenset(annotated), list(sequences)
    if any(s not in TAUGHT for s in sequences):
        return annotated
    return annotated & frozenset().union(*(TAUGHT[s] for s in sequences))
