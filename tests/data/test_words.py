"""Which structure a phrase means."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.structures import (
    Structure,
    StructureTable,
    structures_from_dataset_json,
)
from nnunet_prompt.data.word_forms import distance, nearest, plain
from nnunet_prompt.data.words import anatomy, find_words
from tests.helpers.each import each

HEART = ("lv", "rv", "myocardium", "scar", "la")
EVERY = {row.name: () for row in anatomy()}
PHRASINGS = json.loads((Path(__file__).parent / "phrasings.json").read_text(encoding="utf-8"))


def _in(phrase: str, names: tuple[str, ...] = HEART) -> str:
    return find_words(phrase, dict.fromkeys(names, ())).name


@each(
    ("phrase", "name"),
    [
        ("left ventricular cavity", "lv"),
        ("Ventricle, LEFT", "lv"),
        ("LV blood pool", "lv"),
        ("left_ventricle", "lv"),
        ("LeftVentricle", "lv"),
        ("left ventricle of the heart", "lv"),
        (
            "left ventricular myocardium",
            "myocardium",
        ),  # which has the words of another structure, too
        ("heart muscle", "myocardium"),
        ("myocardial infarct", "scar"),
        ("sct:87878005", "lv"),
        ("SCT:82471001", "la"),
    ],
)
def test_names_codes_and_aliases(phrase: str, name: str) -> None:
    assert _in(phrase) == name


@each(
    "phrase",
    [
        "liver",  # known anatomy, not of this model
        "right atrium",
        "ventricle",  # which one
        "lv and rv",
        "left and right ventricle",
        "no left ventricle",
        "left ventricle without the papillary muscle",
        "tumour of the left ventricle",
        "left ventricle apex",
        "left",
        "CT scan of the chest",
        "the",
        "",
        "xyz",
    ],
)
def test_what_is_not_understood_completely_is_refused(phrase: str) -> None:
    with pytest.raises(DatasetError, match="structure"):
        _in(phrase)


def test_a_tie_names_both() -> None:
    with pytest.raises(DatasetError, match="could be 'kidney_left' or 'kidney_right'"):
        _in("kidney", ("kidney_left", "kidney_right", "liver"))
    two = {"a": ("chamber",), "b": ("chamber",)}
    with pytest.raises(DatasetError, match="could be 'a' or 'b': name one of them"):
        find_words("the chamber", two)
    with pytest.raises(DatasetError, match="could be 'a' or 'b': name one of them"):
        find_words("chamber", two)


def test_a_slip_between_two_structures_is_no_choice() -> None:
    two = {"a": ("tibiala",), "b": ("tibialo",)}
    with pytest.raises(DatasetError, match="could be 'a' or 'b'"):
        find_words("tibialx", two)


@each(
    ("phrase", "name", "read"),
    [
        ("left ventrical", "lv", "'ventrical' read as 'ventricle'"),
        ("myocradium", "myocardium", "'myocradium' read as 'myocardium'"),
        (
            "lfet ventricle",
            "",
            "",
        ),  # short words are not corrected: "lfet" is as near to "left" as "feet"
    ],
)
def test_slips_are_forgiven_and_reported(phrase: str, name: str, read: str) -> None:
    if not name:
        with pytest.raises(DatasetError, match="not understood: lfet"):
            _in(phrase)
        return
    found = find_words(phrase, dict.fromkeys(HEART, ()))
    assert (found.name, found.note) == (name, read)


def test_a_word_of_the_vocabulary_is_never_corrected() -> None:
    with pytest.raises(DatasetError):
        _in("renal gland", ("adrenal_gland",))
    assert nearest("ventrical", frozenset({"ventricle", "vertical"})) == ["ventricle", "vertical"]


def test_own_aliases_and_unknown_names() -> None:
    structures = {"gtv": ("primary tumour", "GTVp"), "liver": ()}
    assert find_words("Tumour, primary", structures).name == "gtv"
    assert find_words("hepatic tissue", structures).name == "liver"
    with pytest.raises(DatasetError, match="not understood: tumour"):
        find_words("liver tumour", {"liver": ()})


@each(
    ("a", "b", "slips"),
    [("", "", 0), ("abc", "", 3), ("abc", "abd", 1), ("abc", "acb", 1), ("kitten", "sitting", 3)],
)
def test_distance(a: str, b: str, slips: int) -> None:
    assert distance(a, b) == distance(b, a) == slips


# The table ----------------------------------------------------------------------------------------------------------


def test_no_two_structures_of_the_table_share_a_phrase() -> None:
    seen: dict[frozenset[str], str] = {}
    for row in anatomy():
        for phrase in row.phrases:
            assert plain(phrase), phrase
            assert seen.setdefault(plain(phrase), row.name) == row.name, phrase


@each("row", anatomy())
def test_codes_have_the_form_of_snomed_ct(row: object) -> None:
    """With Verhoeff's check digit, so that a slip in a code is found."""
    from nnunet_prompt.data.words import Anatomy

    assert isinstance(row, Anatomy)
    for code in filter(None, (row.code, row.side)):
        assert code.isdecimal() and 6 <= len(code) <= 18
        assert _verhoeff(code) == 0, row.name
        assert code[-3:-1] in ("00", "10"), row.name


def _verhoeff(code: str) -> int:
    """0 for a number whose last digit checks the others."""
    rotate = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]
    check = 0
    for place, digit in enumerate(reversed(code)):
        value = int(digit)
        for _ in range(place % 8):
            value = rotate[value]
        check = _times(check, value)
    return check


def _times(a: int, b: int) -> int:
    """In the dihedral group of ten elements."""
    turn, flip = (a % 5, a >= 5), (b % 5, b >= 5)
    sign = -1 if turn[1] else 1
    return (turn[0] + sign * flip[0]) % 5 + 5 * (turn[1] ^ flip[1])


# Phrases of others --------------------------------------------------------------------------------------------------


def test_phrasings_of_public_label_lists() -> None:
    """At least 0.97 of 200 phrasings of 20 structures are understood, and none is taken for another structure."""
    names: dict[str, tuple[str, ...]] = {row["structure"]: () for row in PHRASINGS}
    assert len(PHRASINGS) >= 200
    assert len(names) == 20
    right, wrong = 0, []
    for row in PHRASINGS:
        try:
            found = find_words(row["phrase"], names).name
        except DatasetError:
            continue
        right += found == row["structure"]
        wrong += [row] if found != row["structure"] else []
    assert wrong == []
    assert right >= 0.97 * len(PHRASINGS)


def test_no_phrase_is_taken_for_another_structure_where_its_own_is_missing() -> None:
    for row in PHRASINGS:
        others: dict[str, tuple[str, ...]] = {
            name: () for name in EVERY if name != row["structure"] and not _part(name, row)
        }
        with pytest.raises(DatasetError):
            find_words(row["phrase"], others)


def _part(name: str, row: dict[str, str]) -> bool:
    return name in row["structure"]  # "kidney" stands for both


# In the table of a model --------------------------------------------------------------------------------------------

TABLE = StructureTable(
    (Structure("LV", 1, (1,), 500, ("pump",)), Structure("RV", 2, (2,), 600)),
    orientation="canonical",
)


def test_find_takes_names_first_then_words(caplog: pytest.LogCaptureFixture) -> None:
    assert TABLE.find("LV").official == TABLE.find("500").official == 500
    assert caplog.messages == []
    with caplog.at_level(logging.INFO):
        assert TABLE.find("right ventriclar cavity").official == 600
        assert TABLE.find("right ventriclar cavity").official == 600
    assert caplog.messages == [
        "structure 'right ventriclar cavity' taken as RV ('ventriclar' read as 'ventricle')"
    ]
    assert TABLE.find("the pump").official == 500


def test_aliases_are_kept_in_dataset_json() -> None:
    block = TABLE.to_block()
    assert block["structures"]["LV"]["aliases"] == ["pump"]
    assert "aliases" not in block["structures"]["RV"]
    described = {"labels": {"background": 0, "LV": 1, "RV": 2}, "nnunet_prompt": block}
    assert structures_from_dataset_json(described) == TABLE
    block["structures"]["LV"]["aliases"] = "pump"
    with pytest.raises(DatasetError, match=r"structures\['LV'\]\.aliases must be a list of names"):
        structures_from_dataset_json(described)


def test_many_slips_take_no_time() -> None:
    slips = "aorea bonel bower lobel lover liven shiwn skall thish cortal detict dusing redius nortal siinal"
    phrase = f"{slips} aortal deticted measurea observea outlinea showa anatomi locatea evaluatea"
    with pytest.raises(DatasetError, match="no structure 'aorea"):  # 2 ** 24 ways to read it
        find_words(phrase, {"aorta": ()})
