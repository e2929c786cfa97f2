"""What the names of a download say, whatever signs a year spells them with."""

from __future__ import annotations

from nnunet_prompt.dataset_conversion.care.names import (
    ATRIUM_CASE,
    ATRIUM_CT,
    ATRIUM_TASKS,
    HEART_FILE,
    SHORT_AXIS_FILE,
    plain_name,
)
from tests.helpers.each import each


def test_plain_names() -> None:
    assert plain_name("LA scar quantification（MRI）") == "la scar quantification(mri)"
    assert plain_name(" Ｔａｓｋ１\u3000 val ") == "task1 val"


@each(
    ("stem", "case", "part"),
    [
        ("Case1001_image", "Case1001", "image"),
        ("ct_train_1001_label", "ct_train_1001", "label"),
        ("mr train 1001 Label", "mr train 1001", "Label"),
    ],
)
def test_whole_hearts(stem: str, case: str, part: str) -> None:
    found = HEART_FILE.fullmatch(stem)
    assert found is not None and (found["case"], found["part"]) == (case, part)
    assert not SHORT_AXIS_FILE.fullmatch(stem)


@each("part", ["C0", "LGE", "DE", "T2", "gd", "Cine"])
def test_short_axis_stacks(part: str) -> None:
    found = SHORT_AXIS_FILE.fullmatch(f"myops_training_101_{part}")
    assert found is not None
    assert (found["case"], found["part"]) == ("myops_training_101", part)
    assert not SHORT_AXIS_FILE.fullmatch(f"Case1001_{part}2")


@each(
    ("folder", "part", "number"),
    [
        ("train_1", "train", "1"),
        ("val 12", "val", "12"),
        ("test01", "test", "01"),
        ("7", None, "7"),
    ],
)
def test_folders_of_atria(folder: str, part: str | None, number: str) -> None:
    found = ATRIUM_CASE.fullmatch(folder)
    assert found is not None and (found["part"], found["number"]) == (part, number)
    assert not ATRIUM_CASE.fullmatch(f"a{folder}")


@each(
    ("folder", "tasks", "ct"),
    [
        ("task1", [1], False),
        ("Task 2_val", [2], False),
        ("task12", [], False),
        ("LA scar quantification（MRI）", [1], False),
        ("LA cavity segmentation（MRI）", [2], False),
        ("LA cavity segmentation（CT）", [2], True),
        ("Multi-structure segmentation", [], True),
        ("task3", [], True),
        ("factory", [], False),
    ],
)
def test_tasks_of_the_atrium(folder: str, tasks: list[int], ct: bool) -> None:
    name = plain_name(folder)
    assert [task for task, form in ATRIUM_TASKS.items() if form.search(name)] == tasks
    assert bool(ATRIUM_CT.search(name)) == ct
