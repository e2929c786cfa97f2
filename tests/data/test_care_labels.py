"""The structure registry: labels, unions, official values, and the way back."""

from __future__ import annotations

import numpy as np
import pytest

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.care_labels import (
    ALIASES,
    ALONE,
    ATOMS,
    TASKS,
    UNIFIED,
    atoms_of,
    atoms_on_disk,
    audit_values,
    la_labels,
    label_ids,
    label_values,
    table_for,
    taught_by,
    to_unified,
)
from nnunet_prompt.data.structures import Structure
from tests.helpers.each import each
from tests.official_fixture import la_masks, to_official

OFFICIAL = {
    "myops": [200, 500, 600, 1220, 2221],
    "whs": [205, 420, 500, 550, 600, 820, 850],
    "liqa": [1],
}


def test_the_unified_set_has_thirteen_labels_and_the_unions_of_the_design() -> None:
    table = table_for(UNIFIED)
    assert table.names == (
        "myocardium",
        "myocardium_healthy",
        "lv",
        "rv",
        "edema",
        "scar",
        "la",
        "ra",
        "aorta",
        "pulmonary_artery",
        "la_scar",
        "la_scar_outside",
        "liver",
    )
    assert table.find("myocardium") == Structure("myocardium", 1, (1, 2, 5, 6), 205)
    assert table.find("la") == Structure("la", 7, (7, 11), 420)
    assert table.find("la_scar") == Structure("la_scar", 11, (11, 12), 421)
    assert table.orientation == "canonical"


@each("task", [*TASKS, *ALONE, UNIFIED])
def test_every_table_is_contiguous_and_finds_by_official_value(task: str) -> None:
    table = table_for(task)
    assert [s.label for s in table.structures] == list(range(1, len(atoms_of(task)) + 1))
    for value in {s.official for s in table.structures}:
        first = next(s for s in table.structures if s.official == value)
        assert table.find(str(value)) == first


def test_a_value_that_two_structures_share_names_the_union() -> None:
    assert table_for("myops").find("200").name == "myocardium"
    assert table_for("lascarqs").find("421").name == "la_scar"
    assert table_for(UNIFIED).find("200").name == "myocardium_healthy"
    assert table_for(UNIFIED).find("205").name == "myocardium"


def test_in_the_priority_whatever_lies_inside_something_comes_before_it() -> None:
    table = table_for(UNIFIED)
    rank = {name: i for i, name in enumerate(table.priority)}
    last = len(rank)
    assert rank["scar"] < rank["edema"] < rank["myocardium_healthy"]
    for inner, outer in (
        ("scar", "myocardium"),
        ("myocardium_healthy", "myocardium"),
        ("la_scar_outside", "la_scar"),
        ("la_scar", "la"),
    ):
        assert rank[inner] < rank.get(outer, last)


@each("task", ["myops", "whs", "liqa"])
@each("pathology_read", [True, False])
def test_reading_and_writing_values_are_exact_inverses(task: str, pathology_read: bool) -> None:
    ids = label_values(task, atoms_on_disk(task, pathology_read=pathology_read), aliases=False)
    disk = np.array([0, *OFFICIAL[task]]).reshape(-1, 1, 1)
    labels = np.vectorize(ids.__getitem__)(disk)
    assert len(np.unique(labels)) == len(disk)  # nothing is lost
    assert np.array_equal(to_official(labels, task), disk)
    unified = np.vectorize(to_unified(task).__getitem__)(labels)
    assert np.array_equal(to_official(unified, task, unified=True), disk)


def test_200_is_healthy_only_where_scar_and_edema_were_looked_for() -> None:
    ids = label_ids("myops")
    assert label_values("myops", atoms_on_disk("myops"))[200] == ids["myocardium_healthy"]
    unread = label_values("myops", atoms_on_disk("myops", pathology_read=False))
    assert unread[200] == ids["myocardium_unspecified"]
    assert to_official(np.array([1, 2]), "myops").tolist() == [200, 200]


def test_the_known_aliases_are_read_as_what_they_stand_for() -> None:
    assert ALIASES["myops"] == {1: 2221} and ALIASES["whs"] == {421: 420}
    myops, whs = (label_values(t, atoms_on_disk(t)) for t in ("myops", "whs"))
    assert myops[1] == myops[2221] == label_ids("myops")["scar"]
    assert whs[421] == whs[420] == label_ids("whs")["la_cavity"]


def test_a_left_atrium_goes_to_labels_and_back() -> None:
    cavity = np.array([0, 1, 1, 0], bool)
    scar = np.array([0, 0, 1, 1], bool)
    labels = la_labels(cavity, scar)
    assert labels.tolist() == [0, 1, 2, 3]
    for found, wanted in zip(la_masks(labels), (cavity, scar), strict=True):
        assert np.array_equal(found, wanted)
    assert la_labels(cavity, None).tolist() == [0, 1, 1, 0]
    assert to_official(labels, "lascarqs").tolist() == [0, 420, 421, 421]
    assert la_labels(cavity, scar, UNIFIED).tolist() == [0, 7, 11, 12]


@each(
    ("labels", "task", "unified", "found"),
    [([7], "myops", False, 7), ([-1], "whs", False, -1), ([3, 13], "whs", True, 13)],
)
def test_labels_that_a_task_does_not_have(
    labels: list[int], task: str, unified: bool, found: int
) -> None:
    with pytest.raises(DatasetError, match=f"task {task}: expected labels .* found {found}$"):
        to_official(np.array(labels), task, unified=unified)


def test_an_empty_volume_stays_empty_and_an_unknown_task_is_named() -> None:
    assert to_official(np.zeros((2, 0, 3), int), "liqa").shape == (2, 0, 3)
    with pytest.raises(DatasetError, match="task 'heart': expected one of myops, whs"):
        table_for("heart")


def test_what_the_sequences_teach() -> None:
    everything = {s.name for s in table_for("myops").structures}
    assert taught_by(everything, ["C0"]) == {"myocardium", "lv", "rv"}
    assert taught_by(everything, ["T2"]) == {"myocardium", "edema"}
    assert taught_by(everything, ["LGE"]) == everything - {"edema"}
    assert taught_by(everything, ["C0", "LGE", "T2"]) == everything
    assert taught_by({"scar"}, ["LGE"]) == {"scar"}
    assert taught_by({"ra", "aorta"}, ["CT"]) == {"ra", "aorta"}
    assert taught_by(everything, []) == set()


@each("task", TASKS)
def test_every_structure_is_taught_by_some_sequence(task: str) -> None:
    names = table_for(task).names
    sequences = {"myops": ["C0", "LGE", "T2"], "lascarqs": ["LGE"]}.get(task, ["MR"])
    assert set().union(*(taught_by(names, [s]) for s in sequences)) == set(names)


def test_every_atom_belongs_to_a_task_and_to_the_unified_set() -> None:
    assert all(UNIFIED in a.official and set(a.official) & set(TASKS) for a in ATOMS)


def test_values_are_audited() -> None:
    assert audit_values("myops", [0, 200, 2221]) == audit_values("myops", [])
    assert audit_values("whs", [0, 420, 421]).notes == ("value 421 is read as 420",)
    assert not audit_values("whs", [420, 421]).problems
    both = audit_values("myops", [1, 2221])
    assert "holds both 1 and 2221" in both.problems[0]
    (problem,) = audit_values("myops", [200, 1221]).problems
    assert "the value 1221, expected only [0, 200, 500, 600, 1220, 2221]" in problem
    assert "(or the known 1): look at it" in problem
    (problem,) = audit_values("liqa", [2]).problems
    assert problem.startswith("the label map holds the value 2, expected only [0, 1]: look at it")
    allowed = audit_values("myops", [200, 7, 9], unknown_to_background=True)
    assert not allowed.problems and allowed.background == {7, 9}
    assert allowed.notes == ("unknown label values [7, 9] become background",)


def test_a_task_that_is_a_data_set_of_its_own_has_no_place_in_the_unified_set() -> None:
    assert table_for("atriumct").names == ("la", "pulmonary_veins", "la_appendage")
    assert label_values("atriumct", atoms_on_disk("atriumct")) == {0: 0, 1: 1, 2: 2, 3: 3}
    assert audit_values("atriumct", {0, 1, 4}).problems
    for task, atoms in ALONE.items():
        assert task in ALIASES and task not in TASKS
        assert all(set(atom.official) == {task} for atom in atoms)
