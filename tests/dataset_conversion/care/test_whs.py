"""WHS++ in the layouts of all years, with every known defect, on downloads made up here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.case import load_canonical
from nnunet_prompt.data.side_file import read_side_file
from nnunet_prompt.dataset_conversion.care.download import CareOptions
from nnunet_prompt.dataset_conversion.care.inspect import cases_of
from nnunet_prompt.dataset_conversion.care.whs import (
    centre_and_modality,
    convert,
    examine,
    main,
)
from nnunet_prompt.prompts.frames import canonical_map
from tests.dataset_conversion.care.examined import Findings, write_image
from tests.helpers.each import each
from tests.official_fixture import to_official

pytestmark = pytest.mark.slow

AFFINE = np.diag([1.0, -1.2, 1.4, 1.0])
VALUES = (0, 205, 420, 500, 550, 600, 820, 850)
SHAPE = (8, 10, 4)
FINDINGS = Findings(examine)
found, only_problem = FINDINGS.all, FINDINGS.only_problem


def save(path: Path, array: npt.NDArray[Any], affine: npt.NDArray[np.float64] = AFFINE) -> None:
    write_image(path, array, affine)


def labels(values: Sequence[int] = VALUES) -> npt.NDArray[np.int16]:
    return np.resize(np.array(values, np.int16), SHAPE)


def heart(
    folder: Path, case: str = "Case1001", *, values: Sequence[int] = VALUES, ending: str = ".nii.gz"
) -> None:
    image = np.arange(320, dtype=np.int16).reshape(SHAPE) - 100
    save(folder / f"{case}_image{ending}", image)
    save(folder / f"{case}_label{ending}", labels(values))


def test_the_tree_of_2026_with_blanks_in_its_folders(source: Path) -> None:
    root = source / "Wholeheart_Train_Dataset"
    heart(root / "A ct_train", "Case1001")
    heart(root / "C and D mr_train", "Case3001", ending=".nii")
    heart(root / "G ct_train", "Case7001")
    save(source / "Wholeheart_Val_Dataset/ct_val/CaseCTVal001_image.nii.gz", labels())
    (root / "A ct_train/._Case1001_image.nii.gz").write_bytes(b"")
    cases = {c.case_id: (c.centre, c.modality, c.sequence) for c in cases_of(examine(source))}
    assert cases == {
        "Case1001": ("A", "CT", "CT"),
        "Case3001": ("C and D", "MR", "MR"),
        "Case7001": ("G", "CT", "CT"),
    }
    validation = found(source)["CaseCTVal001"].inspection
    assert validation.left_out == "no label map (a validation or test case)"
    assert validation.centre == ""


def test_the_flat_form_of_2024_tells_all_by_the_number(source: Path) -> None:
    for case in ("Case2001", "Case5001"):
        heart(source, case)
    cases = {c.case_id: c.side_information() for c in cases_of(examine(source))}
    assert cases["Case2001"] == {
        "patient": "Case2001",
        "centre": "B",
        "source": "Case2001_image.nii.gz",
        "sequence": "CT",
        "task": "whs",
        "modality": "CT",
    }
    assert (cases["Case5001"]["centre"], cases["Case5001"]["modality"]) == ("E", "MR")


def test_the_tree_of_mm_whs_2017(source: Path) -> None:
    heart(source / "ct_train", "ct_train_1001")
    heart(source / "mr_train", "mr_train_1001")
    cases = {c.case_id: (c.centre, c.modality) for c in cases_of(examine(source))}
    assert cases == {"ct_train_1001": (None, "CT"), "mr_train_1001": (None, "MR")}


@each(
    ("case", "folders", "wanted"),
    [
        ("Case1001", (), ("A", "CT", "")),
        ("Case6001", (), ("F", "MR", "")),
        ("Case4001", (), (None, None, "")),
        ("CaseMRTest001", ("mr_test",), (None, "MR", "")),
        ("mr_train_1002", (), (None, "MR", "")),
        ("X", ("WHS 2025", "E MR_Train"), ("E", "MR", "")),
        ("X", ("predictions", "acts"), (None, None, "")),
        (
            "Case1001",
            ("mr_train",),
            ("A", "MR", "the folder states MR, the number of the case CT"),
        ),
    ],
)
def test_centre_and_modality(
    case: str, folders: tuple[str, ...], wanted: tuple[str | None, str | None, str]
) -> None:
    assert centre_and_modality(case, folders) == wanted


def test_a_modality_in_doubt_is_a_problem(source: Path) -> None:
    heart(source / "A mr_train")
    assert only_problem(source) == "the folder states MR, the number of the case CT"


def test_labels_come_back_in_the_file_frame(source: Path) -> None:
    heart(source)
    (case,) = cases_of(examine(source))
    loaded = load_canonical(case)
    assert loaded.label is not None and np.unique(loaded.label).tolist() == list(range(8))
    back = canonical_map(AFFINE, SHAPE).inverse()
    assert np.array_equal(back.apply(to_official(loaded.label, "whs")), labels())
    assert case.annotated == {*("myocardium", "lv", "rv", "la", "ra", "aorta", "pulmonary_artery")}


def test_the_stray_value_421(source: Path) -> None:
    heart(source, "Case3010", values=(*VALUES, 421))
    examined = found(source)["Case3010"]
    assert examined.inspection.notes == ("value 421 is read as 420",)
    assert examined.case is not None
    label = load_canonical(examined.case).label
    assert label is not None
    assert np.unique(to_official(label, "whs")).tolist() == list(VALUES)


def test_an_unknown_value(source: Path) -> None:
    heart(source, values=(*VALUES, 999))
    assert "the value 999, expected only [0, 205, 420" in only_problem(source)
    allowed = CareOptions(unknown_to_background=True)
    case = found(source, allowed)["Case1001"].case
    assert case is not None
    label = load_canonical(case).label
    assert label is not None and label.max() == 7


def test_a_structure_that_is_missing_is_unknown(source: Path) -> None:
    heart(source, values=VALUES[:-1])
    examined = found(source)["Case1001"]
    assert examined.inspection.notes == (
        "pulmonary_artery is not in the label map and counts as unknown",
    )
    assert examined.case is not None and "pulmonary_artery" not in (examined.case.annotated or ())


def test_an_empty_label_map(source: Path) -> None:
    heart(source, values=(0,))
    assert only_problem(source).startswith("Case1001_label.nii.gz is empty, expected myocardium, ")


def test_a_float_label_map_with_another_affine(source: Path) -> None:
    heart(source)
    moved = AFFINE.copy()
    moved[0, 3] = 5.0
    save(source / "Case1001_label.nii.gz", labels().astype(np.float32), moved)
    examined = found(source)["Case1001"]
    assert examined.inspection.agreement == "affine differs"
    assert examined.inspection.notes == (
        "the label map has type float32 and is rounded",
        "the label map takes the geometry of the image (same shape, another affine)",
    )
    assert examined.case is not None
    loaded = load_canonical(examined.case)
    # axes turn to S, P, L: the first column is the image's last, at 7 mm; the label map says 12 mm
    assert loaded.label is not None and loaded.affine[0, 3] == 7.0


def test_a_label_map_of_another_shape(source: Path) -> None:
    heart(source)
    save(source / "Case1001_label.nii.gz", labels()[:, :, :3])
    examined = found(source)["Case1001"]
    assert examined.inspection.agreement == "shape differs"
    assert examined.case is not None
    loaded = load_canonical(examined.case)
    assert loaded.label is not None and loaded.label.shape == (4, 10, 8)
    assert loaded.label[:3].any() and not loaded.label[3].any()


def test_a_label_map_that_lies_apart(source: Path) -> None:
    heart(source)
    far = AFFINE.copy()
    far[2, 3] = 300.0
    save(source / "Case1001_label.nii.gz", labels()[:, :, :3], far)
    inspection = found(source)["Case1001"].inspection
    assert inspection.agreement == "disjoint" and not inspection.problems
    assert inspection.left_out.startswith(
        "Case1001_label.nii.gz and the image do not overlap in space"
    )
    assert not list(cases_of(examine(source)))


def test_the_case_whose_border_may_be_damaged(source: Path) -> None:
    heart(source / "C and D mr_train", "Case3002")
    assert found(source)["Case3002"].inspection.notes == (
        "its border may be damaged, as in MM-WHS: look at it",
    )


def test_labels_without_image_other_names_and_damaged_files(source: Path) -> None:
    heart(source)
    (source / "Case1001_image.nii.gz").unlink()
    assert only_problem(source) == "a label map without an image"
    (source / "Case1001_label.nii.gz").rename(source / "Case1001_seg.nii.gz")
    assert only_problem(source) == "expected a name that ends in _image or _label"
    (source / "Case1001_seg.nii.gz").unlink()
    heart(source, ending=".nii")
    (source / "Case1001_image.nii").write_bytes(b"x" * 400)
    assert "Case1001_image.nii: cannot be read as NIfTI" in only_problem(source)


def test_two_copies(source: Path) -> None:
    heart(source / "A ct_train")
    heart(source / "backup")
    with pytest.raises(DatasetError, match=r"two copies of one file.*--version-root"):
        list(examine(source))
    assert len(list(cases_of(examine(source, CareOptions(version_root=Path("backup")))))) == 1


def test_the_data_set(source: Path, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heart(source / "A ct_train")
    heart(source / "E mr_train", "Case5001")
    folder = convert(source, 503)
    assert folder == raw / "Dataset503_WHS"
    content = json.loads((folder / "dataset.json").read_text())
    assert content["channel_names"] == {"0": "image"}  # "CT" would be clipped and scaled as CT
    assert content["labels"]["pulmonary_artery"] == 7
    assert read_side_file(folder)["Case5001"]["centre"] == "E"
    report = json.loads((folder / "conversion_report.json").read_text())
    assert report["cases"]["Case1001"] == {
        "files": ["A ct_train/Case1001_image.nii.gz", "A ct_train/Case1001_label.nii.gz"],
        "done": [],
        "agreement": "same",
        "annotated": ["aorta", "la", "lv", "myocardium", "pulmonary_artery", "ra", "rv"],
        "voxels_not_finite": 0,
    }
    assert main([str(source), "--inspect"]) == 0
    assert main([str(source), "-d", "504"]) == 0
    assert capsys.readouterr().out.strip().endswith("Dataset504_WHS")
