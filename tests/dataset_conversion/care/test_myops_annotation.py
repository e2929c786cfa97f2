"""Which structures a MyoPS case annotates."""

from __future__ import annotations

import pytest

from nnunet_prompt.dataset_conversion.care.myops_annotation import annotation_of, release_and_centre
from tests.helpers.each import each

pytestmark = pytest.mark.slow

THREE = ("C0", "LGE", "T2")
ALL = "edema lv myocardium myocardium_healthy rv scar"


@each(
    ("folder", "values", "sequences", "wanted"),
    [
        ("CenterA", (0, 200, 500, 2221), ("LGE",), "lv myocardium scar"),
        ("CenterA", (0, 200, 500), ("LGE",), "lv myocardium scar"),  # looked for, not found
        ("CenterB", (0, 200, 500, 600, 1220, 2221), THREE, ALL),
        ("CenterB", (0, 200, 500), THREE, ALL),  # the table: B draws the right ventricle
        ("CenterE", (0, 200, 500, 600), ("C0", "LGE"), "lv myocardium rv scar"),
        ("CenterH", (0, 2221), ("LGE",), "scar"),
        ("CenterH", (0, 1), ("LGE",), "scar"),
        ("CenterH", (0,), ("LGE",), "scar"),
        (
            "CenterA",
            (0, 2221),
            ("LGE",),
            "scar",
        ),  # LGE alone without 200 and 500, whatever the letter
        ("CenterH", (0, 200, 500, 600), ("LGE",), "lv myocardium rv scar"),  # values come first
        (
            "",
            (0, 200, 500),
            THREE,
            "edema lv myocardium myocardium_healthy scar",
        ),  # no table: no rv
    ],
)
def test_values_then_sequences_then_the_table(
    folder: str, values: tuple[int, ...], sequences: tuple[str, ...], wanted: str
) -> None:
    found = annotation_of("CaseX", f"{folder}/CaseX/CaseX_gd.nii.gz", values, sequences)
    assert " ".join(sorted(found.annotated)) == wanted
    assert not found.problems


def test_edema_without_t2_is_a_problem_and_what_the_table_denies_a_note() -> None:
    found = annotation_of("Case1001", "CenterA/Case1001_gd.nii", (0, 200, 600, 1220), ("LGE",))
    assert found.problems == (
        "edema (1220) is labelled without T2, expected it only where T2 exists",
    )
    assert found.notes == (
        "edema is labelled, which centre A does not do in 2025",
        "rv is labelled, which centre A does not do in 2025",
    )


def test_an_empty_label_map_is_noted() -> None:
    assert annotation_of("Case8001", "CenterH/x.nii", (0,), ("LGE",)).notes == (
        "the label map is empty",
    )


def test_200_is_healthy_only_where_scar_and_edema_were_read() -> None:
    assert annotation_of("c", "c.nii", (200,), THREE).pathology_read
    assert not annotation_of("c", "c.nii", (200,), ("C0", "LGE")).pathology_read


@each(
    ("case", "path", "wanted"),
    [
        ("myops_training_101", "train25_myops_gd/x.nii.gz", ("2020", "MyoPS2020")),
        ("Case2013", "train_data_pp/Case2013/x.nii.gz", ("2024", "B")),
        ("Case12", "train_data_pp/Case12/x.nii.gz", ("2024", None)),
        ("Case2013", "Myo_train/MyoPS_train/CenterB/Case2013/x.nii.gz", ("2025", "B")),
        ("Case1", "Centre C/x.nii.gz", ("2025", "C")),
        ("Case1", "center_alpha/x.nii.gz", ("2024", None)),
    ],
)
def test_release_and_centre(case: str, path: str, wanted: tuple[str, str | None]) -> None:
    assert release_and_centre(case, path) == wanted
