from __future__ import annotations

import pytest

from nnunet_prompt.common.errors import PromptError
from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.prompt_files.label_text import LabelText, Meaning, is_label_key, understand
from tests.helpers.each import each

TABLE = StructureTable(
    (
        Structure("LV", 1, (1,), 500),
        Structure("R\u00fccken", 2, (2,), 7),
        Structure("lobe-2", 3, (3,), 8),
    )
)


@each(
    ("text", "label", "positive"),
    [
        ("500", 500, None),
        (" LV ", 500, None),
        ("Ru\u0308cken", 7, None),
        ("LV-3", 500, None),
        ("600_2", 600, None),
        ("lobe-2", 8, None),
        ("lobe-2-1", 8, None),
        ("LV-neg", 500, False),
        ("LV negative", 500, False),
        ("LV (negative)", 500, False),
        ("LV -", 500, False),
        ("LV-", 500, False),
        ("LV \u2212", 500, False),
        ("LV+", 500, True),
        ("LV_Pos", 500, True),
        ("LV-neg-4", 500, False),
        ("LV-4-neg", 500, False),
    ],
)
def test_one_text(text: str, label: int, positive: bool | None) -> None:
    assert understand(LabelText((text,)), TABLE) == Meaning(label, positive)


@each(
    ("texts", "meaning"),
    [
        (("F-1", "F", "LV"), Meaning(500, None, 2)),
        (("neg", "LV"), Meaning(500, False, 1)),
        (("negative", "LV+"), Meaning(500, False, 1)),  # the point itself knows better
        (("seen by AB negative", "LV"), Meaning(500, None, 1)),  # a sign of something else
        (("LV", "7"), Meaning(500, None, 0)),
    ],
)
def test_the_first_candidate_that_is_a_label_counts(
    texts: tuple[str, ...], meaning: Meaning
) -> None:
    assert understand(LabelText(texts), TABLE) == meaning


@each("text", ["", "0", "007", "1.5", "-", "lv", "LVx", "Segment_1", "9" * 12])
def test_what_is_no_label(text: str) -> None:
    with pytest.raises(PromptError, match=r"no label is named; .*LV \(500\).*; found") as error:
        understand(LabelText((text,)), TABLE)
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


def test_a_key_of_our_form_is_taken_as_it_is() -> None:
    assert understand(LabelText(("LV",), exact=True), TABLE).label == 500
    with pytest.raises(PromptError, match="no label is named"):
        understand(LabelText(("LV-neg",), exact=True), TABLE)


def test_names_need_a_model() -> None:
    assert understand(LabelText(("500",)), None).label == 500
    with pytest.raises(PromptError, match="names need a model"):
        understand(LabelText(("LV",)), None)


def test_keys() -> None:
    assert all(map(is_label_key, ["500", "LV", "\u5fc3"]))
    assert not any(map(is_label_key, ["", "0", "-1", "1.5", "007", "9" * 10, "\u0663"]))
