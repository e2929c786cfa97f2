from __future__ import annotations

from pathlib import Path

import pytest

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.data.side_file import write_side_file
from nnunet_prompt.evaluation.ranking.groups import CaseInfo, read_groups, task_name, with_groups
from tests.helpers.each import each


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A raw data set with a side file; returns the folder of its label maps."""
    labels = tmp_path / "raw" / "labelsTr"
    labels.mkdir(parents=True)
    cases = {
        "c1": {"centre": "A", "task": "whs", "sequence": "ct", "patient": "p1"},
        "c2": {"vendor": "B2", "task": "liqa", "modality": "MR"},
    }
    write_side_file(labels.parent, cases)
    return labels


def test_the_side_file_of_the_data_set(raw: Path) -> None:
    assert read_groups(raw, None, ["c1", "c2", "c3"]) == {
        "c1": CaseInfo("whs", "A", "ct"),
        "c2": CaseInfo("liqa", "B2", "MR"),
        "c3": CaseInfo(),
    }
    assert read_groups(raw.parent, None, ["c1"]) == {"c1": CaseInfo("whs", "A", "ct")}


@each(
    "text",
    [
        "case,centre,seen\nc1,F,no\nc3,D,yes\n",
        "\ufeffCase;Center;Seen\nc1.nii.gz;F;OOD\nc3_pred.nii.gz;D;ID\n",
        "seen\tcase\tcentre\tage\nFalse\tc1\tF\t61\n1\tc3\tD\t\n",
    ],
)
def test_a_table_has_the_last_word(raw: Path, text: str) -> None:
    table = raw.parent / "groups.csv"
    table.write_text(text, encoding="utf-8")
    assert read_groups(raw, table, ["c1", "c2", "c3"]) == {
        "c1": CaseInfo("whs", "F", "ct", "unseen"),
        "c2": CaseInfo("liqa", "B2", "MR"),
        "c3": CaseInfo("", "D", "", "seen"),
    }


@each(
    ("text", "message"),
    [
        ("", "found the columns none; give a CSV with a column 'case'"),
        ("case\nc1\n", "found the columns case; give a CSV"),
        (
            "case,age\nc1,61\n",
            "case and any of task, centre, sequence, seen, such as .*, found case, age",
        ),
        ("name,centre\nc1,A\n", "found the columns name, centre; give .* such as case,centre,seen"),
        ("case,centre\nc1,A\nc1,B\n", "case 'c1' has two rows: keep one of them"),
        ("case,seen\nc1,perhaps\n", "seen of case c1: expected yes or no, found 'perhaps'"),
        ("case,seen\nother,yes\n", "such as c1, found for example other"),
    ],
)
def test_tables_that_are_refused(raw: Path, text: str, message: str) -> None:
    table = raw.parent / "groups.csv"
    table.write_text(text)
    with pytest.raises(NNUNetPromptError, match=message) as error:
        read_groups(raw, table, ["c1"])
    assert str(error.value).startswith(str(table)) and "\n" not in str(error.value)


def test_a_table_that_cannot_be_read(raw: Path) -> None:
    with pytest.raises(NNUNetPromptError, match="No such file"):
        read_groups(raw, raw / "none.csv", ["c1"])
    (raw / "image.csv").write_bytes(b"\x1f\x8b\xff\xfe")
    with pytest.raises(
        NNUNetPromptError, match="it is not text in UTF-8; give a CSV with a column"
    ):
        read_groups(raw, raw / "image.csv", ["c1"])


@each(
    ("given", "name"),
    [
        ("LA", "lascarqs"),
        ("Whole heart", "whs"),
        ("MyoPS++", "myops"),
        ("liqa", "liqa"),
        ("Brain", "Brain"),
        ("", ""),
    ],
)
def test_names_of_tasks(given: str, name: str) -> None:
    assert task_name(given) == name


@each(
    ("scheme", "info", "seen", "unseen", "group"),
    [
        # as the organisers list them
        ("care-cardiac", CaseInfo("lascarqs", "A"), (), (), "seen"),
        ("care-cardiac", CaseInfo("lascarqs", "B"), (), (), "unseen"),
        ("care-cardiac", CaseInfo("whs", "B"), (), (), "seen"),
        ("care-cardiac", CaseInfo("whs", "C and D"), (), (), "seen"),
        ("care-cardiac", CaseInfo("whs", "F"), (), (), "unseen"),
        ("care-cardiac", CaseInfo("myops", "B"), (), (), "seen"),
        ("care-cardiac", CaseInfo("myops", "D"), (), (), "unseen"),
        ("tfm4media", CaseInfo("myops", "4"), (), (), "unseen"),
        ("tfm4media", CaseInfo("liqa", "C"), (), (), "unseen"),
        ("tfm4media", CaseInfo("liqa", "B1"), (), (), "seen"),
        # what is not known, and what the user states
        ("tfm4media", CaseInfo("brain", "A"), (), (), ""),
        ("tfm4media", CaseInfo("brain", "A"), ("A",), (), "seen"),
        ("tfm4media", CaseInfo("brain", "B"), ("A",), (), "unseen"),
        ("tfm4media", CaseInfo("brain", "B"), (), ("b",), "unseen"),
        ("tfm4media", CaseInfo("brain", "A"), (), ("b",), "seen"),
        ("tfm4media", CaseInfo("brain", "C"), ("A",), ("B",), ""),
        ("tfm4media", CaseInfo("brain", ""), ("A",), (), ""),
        ("tfm4media", CaseInfo("whs", "B"), (), ("whole heart:B",), "unseen"),
        ("tfm4media", CaseInfo("lascarqs", "A"), (), ("whs:A",), "seen"),
        ("care-cardiac", CaseInfo("lascarqs", "A", "", "unseen"), ("A",), (), "unseen"),
    ],
)
def test_seen_and_unseen(
    scheme: str, info: CaseInfo, seen: tuple[str, ...], unseen: tuple[str, ...], group: str
) -> None:
    assert with_groups({"c": info}, scheme, seen, unseen)["c"].group == group
