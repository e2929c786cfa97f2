"""What a data set calls its structures: read, checked, written, and stripped of its cases."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from typing import Any

import pytest

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.structures import (
    Structure,
    StructureTable,
    structures_from_dataset_json,
    without_cases,
)
from tests.helpers.each import each

CAVITY, WALL, SCAR = (
    Structure("cavity", 1, (1,), 500),
    Structure("wall", 2, (2, 3), 200),
    Structure("scar", 3, (3,), 2221),
)
TABLE = StructureTable(
    (CAVITY, WALL, SCAR),
    orientation="canonical",
    priority=("scar",),
    annotated={"a": frozenset({"wall", "cavity"}), "b": frozenset()},
)


def described(table: StructureTable = TABLE) -> dict[str, Any]:
    labels = {"background": 0, **{s.name: s.label for s in table.structures}}
    return {"labels": labels, "file_ending": ".nii.gz", "nnunet_prompt": table.to_block()}


def refusal(dataset_json: Any) -> str:
    with pytest.raises(DatasetError) as caught:
        structures_from_dataset_json(dataset_json)
    message = str(caught.value)
    assert "\n" not in message and message.startswith("dataset.json: ")
    return message


def test_it_is_read_as_it_was_written() -> None:
    through_json = json.loads(json.dumps(described()))
    assert structures_from_dataset_json(through_json) == TABLE


def test_the_block_is_the_documented_one() -> None:
    assert TABLE.to_block() == {
        "version": 1,
        "orientation": "canonical",
        "structures": {
            "cavity": {"label": 1, "members": [1], "official": 500},
            "wall": {"label": 2, "members": [2, 3], "official": 200},
            "scar": {"label": 3, "members": [3], "official": 2221},
        },
        "priority": ["scar"],
        "cases": {"a": {"annotated": ["cavity", "wall"]}, "b": {"annotated": []}},
    }


def test_structures_may_be_listed_in_any_order() -> None:
    shuffled = described()
    structures = shuffled["nnunet_prompt"]["structures"]
    shuffled["nnunet_prompt"]["structures"] = dict(reversed(structures.items()))
    assert structures_from_dataset_json(shuffled) == TABLE


def test_without_a_block_every_label_is_a_structure() -> None:
    labels = {"background": 0, "spleen": 2, "liver": 1, "ignore": 3}
    table = structures_from_dataset_json({"labels": labels})
    assert table.structures == (Structure("liver", 1, (1,), 1), Structure("spleen", 2, (2,), 2))
    assert table.orientation == "file"
    assert table.annotated_labels("anything") == {1, 2}


def test_the_ignore_label_is_no_structure() -> None:
    content = described()
    content["labels"]["ignore"] = 4
    assert structures_from_dataset_json(content) == TABLE


def test_defaults_of_the_block() -> None:
    content = described()
    content["nnunet_prompt"] = {"structures": content["nnunet_prompt"]["structures"]}
    assert structures_from_dataset_json(content) == StructureTable((CAVITY, WALL, SCAR))


def test_what_a_case_annotates() -> None:
    assert TABLE.annotated_labels("a") == {1, 2}
    assert TABLE.annotated_labels("b") == frozenset()
    assert TABLE.annotated_labels("not listed") == {1, 2, 3}


def test_what_a_case_shows() -> None:
    table = replace(TABLE, prompted={"a": frozenset(TABLE.names), "b": frozenset({"scar"})})
    assert table.prompted_labels("a") == {1, 2, 3} and table.annotated_labels("a") == {1, 2}
    assert table.prompted_labels("b") == {3} and table.annotated_labels("b") == frozenset()
    assert table.prompted_labels("not listed") == {1, 2, 3}
    assert TABLE.prompted_labels("a") == {1, 2}  # what it annotates, where nothing else is said
    cases = table.to_block()["cases"]
    assert cases["a"] == {"annotated": ["cavity", "wall"], "prompted": ["cavity", "scar", "wall"]}
    assert structures_from_dataset_json(json.loads(json.dumps(described(table)))) == table
    assert structures_from_dataset_json(without_cases(described(table))).prompted == {}


def test_how_often_a_case_is_drawn() -> None:
    weights = {"a": 0.5, "b": 1, "c": 2.5}
    table = replace(TABLE, weights=weights)
    cases = table.to_block()["cases"]
    assert cases["a"] == {"annotated": ["cavity", "wall"], "weight": 0.5}
    assert cases["c"] == {"weight": 2.5}  # it annotates everything
    assert structures_from_dataset_json(json.loads(json.dumps(described(table)))) == table
    assert table.annotated_labels("c") == {1, 2, 3}
    assert table.probabilities(["c", "a"]) == (2.5 / 3, 0.5 / 3)
    assert table.probabilities([]) == ()
    assert TABLE.probabilities(["a"]) is None
    assert structures_from_dataset_json(without_cases(described(table))).weights == {}
    with pytest.raises(DatasetError, match=r"cases\['d'\] has no weight") as caught:
        table.probabilities(["a", "d"])
    assert "\n" not in str(caught.value)


def test_a_part_and_its_whole_may_share_a_value_which_names_the_whole() -> None:
    part, whole = Structure("healthy", 1, (1,), 200), Structure("wall", 2, (2, 3, 1), 200)
    for structures in (
        (part, whole, SCAR),
        (replace(whole, label=1), replace(part, label=2, members=(2,)), SCAR),
    ):
        table = StructureTable(structures)
        assert table.find("200").name == "wall"
        assert table.find("healthy").name == "healthy"


def test_structures_side_by_side_may_not_share_a_value() -> None:
    whole = Structure("wall", 1, (1, 2, 3), 200)
    twins = [Structure(f"part {k}", k, (k,), 200) for k in (2, 3)]
    with pytest.raises(
        DatasetError, match=r"'part 3'.*official .* its parts or its whole, found 200"
    ):
        StructureTable((whole, *twins))
    StructureTable((whole, twins[0], replace(twins[1], official=7)))


def test_find_by_name_or_official_value() -> None:
    assert TABLE.find("wall") is WALL
    assert TABLE.find("2221") is SCAR
    assert TABLE.names == ("cavity", "wall", "scar")
    assert TABLE.find("Wall") is WALL  # blind to case
    for unknown in ("Walls of it", "2", "", "9999"):
        with pytest.raises(DatasetError, match=r"wall \(200\)"):
            TABLE.find(unknown)


def test_in_labels_nnunets_ids_stand_for_the_structures() -> None:
    plain = TABLE.in_labels()
    assert [s.official for s in plain.structures] == [1, 2, 3]
    assert plain.priority == TABLE.priority
    assert [s.members for s in plain.structures] == [(1,), (2, 3), (3,)]


def test_no_case_is_named_in_the_repr() -> None:
    table = replace(
        TABLE,
        annotated={"patient-7": frozenset({"wall"})},
        prompted={"patient-7": frozenset({"wall", "scar"})},
        weights={"patient-7": 0.5},
    )
    assert "patient-7" not in repr(table)


def test_without_cases_nothing_names_a_case_and_the_original_is_left_alone() -> None:
    original = described()
    before = copy.deepcopy(original)
    stripped = without_cases(original)
    assert "cases" not in stripped["nnunet_prompt"]
    assert original == before
    assert structures_from_dataset_json(stripped) == replace(TABLE, annotated={})
    plain = {"labels": {"background": 0, "liver": 1}}
    assert without_cases(plain) == plain


def test_a_region_is_refused_and_the_way_out_is_named() -> None:
    message = refusal({"labels": {"background": 0, "whole": [1, 2], "core": 2}})
    assert "'whole'" in message and "members" in message


@each(
    ("edit", "word"),
    [
        (lambda b: b.update(version=2), "version"),
        (lambda b: b.update(orientation="RAS"), "orientation"),
        (lambda b: b.pop("structures"), "structures"),
        (lambda b: b.update(structures={}), "structures"),
        (lambda b: b.update(structures=[]), "nnunet_prompt"),
        (lambda b: b["structures"].pop("scar"), "members"),
        (lambda b: b["structures"].pop("cavity"), "labels 1 to 2"),
        (lambda b: b["structures"]["wall"].pop("members"), "members"),
        (lambda b: b["structures"]["wall"].pop("official"), "official"),
        (lambda b: b["structures"]["wall"].update(members=[3]), "members"),
        (lambda b: b["structures"]["wall"].update(members=[2, 4]), "members"),
        (lambda b: b["structures"]["wall"].update(members="23"), "members"),
        (lambda b: b["structures"]["wall"].update(members=[2.5]), "members"),
        (lambda b: b["structures"]["wall"].update(label="two"), "label"),
        (lambda b: b["structures"]["wall"].update(label=3), "labels 1 to 3"),
        (lambda b: b["structures"]["wall"].update(official=0), "official"),
        (lambda b: b["structures"]["wall"].update(official=500), "official"),
        (lambda b: b["structures"]["wall"].update(official="many"), "official"),
        (lambda b: b["structures"].update(wall=None), "nnunet_prompt"),
        (lambda b: b.update(priority=["liver"]), "'liver'"),
        (lambda b: b.update(priority="scar"), "priority"),
        (lambda b: b.update(priority=5), "nnunet_prompt"),
        (lambda b: b["cases"].update(c={"annotated": ["liver"]}), "'liver'"),
        (lambda b: b["cases"].update(c={"annotated": "wall"}), "annotated"),
        (lambda b: b["cases"].update(c={}), "annotated"),
        (lambda b: b.update(cases=["a"]), "nnunet_prompt"),
        (lambda b: b["cases"]["a"].update(prompted=["wall", "cavity", "x"]), "prompted names 'x'"),
        (lambda b: b["cases"]["a"].update(prompted=["wall"]), "'cavity'"),
        (lambda b: b["cases"]["a"].update(prompted=3), "nnunet_prompt"),
        (lambda b: b["cases"]["a"].update(weight=0), "cases['a'].weight must be a number above 0"),
        (lambda b: b["cases"]["a"].update(weight=-0.5), "found -0.5"),
        (lambda b: b["cases"]["a"].update(weight=math.inf), "found inf"),
        (lambda b: b["cases"]["a"].update(weight=math.nan), "found nan"),
        (lambda b: b["cases"]["a"].update(weight=True), "found True"),
        (lambda b: b["cases"]["a"].update(weight="1"), "found '1'"),
        (lambda b: b["cases"]["a"].update(weight=None), "found None"),
    ],
)
def test_a_block_that_breaks_the_form_says_where(edit: Any, word: str) -> None:
    content = described()
    edit(content["nnunet_prompt"])
    assert word in refusal(content)


@each("block", [[], "text", 5, True])
def test_a_block_that_is_no_object(block: Any) -> None:
    assert "nnunet_prompt" in refusal({**described(), "nnunet_prompt": block})


@each(
    "labels", [None, {}, [], {"background": 0}, {"background": 0, "liver": "one"}, {"liver": None}]
)
def test_labels_that_are_none(labels: Any) -> None:
    assert "labels" in refusal({"labels": labels})
    refusal({})


def test_labels_and_structures_must_be_as_many() -> None:
    content = described()
    content["labels"]["more"] = 4
    assert "3 structures, labels has 4" in refusal(content)


def test_label_gaps_are_refused() -> None:
    assert "labels 1 to 2" in refusal({"labels": {"background": 0, "liver": 1, "spleen": 3}})


def test_a_name_twice_is_refused() -> None:
    with pytest.raises(DatasetError, match="twice"):
        StructureTable((CAVITY, Structure("cavity", 2, (2,), 9)))
