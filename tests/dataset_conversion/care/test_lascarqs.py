"""LAScarQS in the layouts of all years, with every known defect, on downloads made up here."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.case import load_canonical
from nnunet_prompt.data.side_file import patients_of, read_side_file
from nnunet_prompt.dataset_conversion.care.download import CareOptions
from nnunet_prompt.dataset_conversion.care.inspect import cases_of
from nnunet_prompt.dataset_conversion.care.lascarqs import convert, examine, main
from nnunet_prompt.prompts.frames import canonical_map
from tests.dataset_conversion.care.examined import Findings, write_image
from tests.helpers.each import each
from tests.helpers.orientations import EIGHT
from tests.official_fixture import la_masks

pytestmark = pytest.mark.slow

SHAPE = (8, 10, 4)
AFFINE = np.diag([0.625, 0.625, 2.5, 1.0])
SCAR_2026 = "LA scar quantification（MRI）"
CAVITY_2026 = "LA cavity segmentation（MRI）"
FINDINGS = Findings(examine)
found, only, only_case = FINDINGS.all, FINDINGS.only, FINDINGS.only_case


def save(path: Path, array: npt.NDArray[Any], affine: npt.NDArray[np.float64] = AFFINE) -> None:
    write_image(path, array, affine)


def cavity() -> npt.NDArray[np.bool_]:
    mask = np.zeros(SHAPE, bool)
    mask[2:6, 3:7, 1:3] = True
    return mask


def scar() -> npt.NDArray[np.bool_]:
    """Two voxels in the cavity and one outside of it."""
    mask = np.zeros(SHAPE, bool)
    mask[4:7, 3, 1] = True
    return mask


def image(seed: int) -> npt.NDArray[np.int16]:
    return np.random.default_rng(seed).integers(0, 1000, SHAPE).astype(np.int16)


def patient(folder: Path, seed: int, *, with_scar: bool, value: float = 420) -> None:
    save(folder / "enhanced.nii.gz", image(seed))
    save(folder / "atriumSegImgMO.nii.gz", (cavity() * value).astype(np.float32))
    if with_scar:
        save(folder / "scarSegImgM.nii.gz", scar().astype(np.uint8))


@pytest.fixture
def one(source: Path) -> Path:
    """The folder of a download's one case, which is of task 1."""
    folder = source / "task1/train_data/train_1"
    patient(folder, 1, with_scar=True)
    return folder


@each(
    ("first", "second"),
    [
        ("task1", "task2"),
        ("LAScarQS2022/task1", "LAScarQS2022/task2"),
        (SCAR_2026, CAVITY_2026),
        ("ｔａｓｋ　１", "ｔａｓｋ　２"),
    ],
)
def test_the_trees_of_all_years(source: Path, first: str, second: str) -> None:
    patient(source / first / "train_data/train_1", 1, with_scar=True)
    patient(source / second / "train_data/train_1", 2, with_scar=False)
    patient(source / second / "train_data/train_12", 3, with_scar=False)
    save(source / f"{first}_val/val_1/enhanced.nii.gz", image(4))
    (source / "__MACOSX").mkdir()
    (source / "__MACOSX/._enhanced.nii.gz").write_bytes(b"")
    (source / first / "readme.txt").write_text("read me")
    cases = {c.case_id: c for c in cases_of(examine(source))}
    assert list(cases) == ["LAt1_001", "LAt2_001", "LAt2_012"]
    assert cases["LAt1_001"].annotated == {"la", "la_scar", "la_scar_outside"}
    assert cases["LAt2_001"].annotated == {"la"}  # scar is unknown, not absent
    assert cases["LAt2_012"].side_information() == {
        "patient": "LAt2_012",
        "centre": "A",
        "source": f"{second}/train_data/train_12/enhanced.nii.gz",
        "sequence": "LGE",
        "task": "lascarqs",
        "modality": "MR",
    }
    left_out = found(source)["LAt1_val_001"].inspection
    assert left_out.left_out == "no label map (a validation or test case)"
    assert (left_out.centre, left_out.shape) == ("", SHAPE)


def test_plain_nifti_and_capitals(source: Path, one: Path) -> None:
    save(one / "Enhanced.NII", image(1))
    (one / "enhanced.nii.gz").unlink()
    assert only_case(source).source == "task1/train_data/train_1/Enhanced.NII"


def test_the_folder_of_one_task_is_enough(source: Path, one: Path) -> None:
    assert only_case(one.parent).case_id == "LAt1_001"


@each("values", [(420, 1), (255, 255), (1, 420), (420.4, 0.999), (0.25, 2)])
def test_masks_are_whatever_is_above_zero(
    source: Path, one: Path, values: tuple[float, float]
) -> None:
    save(one / "atriumSegImgMO.nii.gz", (cavity() * values[0]).astype(np.float32))
    save(one / "scarSegImgM.nii.gz", (scar() * values[1]).astype(np.float64))
    loaded = load_canonical(only_case(source))
    assert loaded.label is not None
    # label 1: cavity without scar, 2: scar in it, 3: scar outside
    assert np.bincount(loaded.label.ravel()).tolist() == [320 - 33, 30, 2, 1]


@each(("axes", "flips"), EIGHT)
def test_both_masks_come_back_voxel_for_voxel(
    source: Path, axes: tuple[int, int, int], flips: tuple[int, int, int]
) -> None:
    affine = np.zeros((4, 4))
    for axis, (world, sign, mm) in enumerate(zip(axes, flips, (0.625, 0.625, 2.5), strict=True)):
        affine[world, axis] = sign * mm
    affine[3, 3] = 1
    folder = source / "task1/train_1"
    for name, array in (("atriumSegImgMO", cavity()), ("scarSegImgM", scar())):
        save(folder / f"{name}.nii.gz", array.astype(np.uint8), affine)
    save(folder / "enhanced.nii.gz", image(1), affine)
    loaded = load_canonical(only_case(source))
    assert loaded.label is not None
    assert loaded.label.shape[0] == SHAPE[2]  # slices come first
    in_file = canonical_map(affine, SHAPE).inverse().apply(loaded.label)
    for mask, expected in zip(la_masks(in_file), (cavity(), scar()), strict=True):
        assert np.array_equal(mask, expected)


def test_the_ct_task_is_left_out(source: Path, one: Path) -> None:
    save(source / "LA CT/train_data/train_1/enhanced.nii.gz", image(2))
    save(source / "LA cavity segmentation（CT）/train_data/train_1/enhanced.nii.gz", image(2))
    save(source / "task2/train_data/train_1/image.nii.gz", image(3))
    save(source / "task2/train_data/train_1/cardiacSegImgMO.nii.gz", image(3))
    entries = found(source)
    reasons = [e.inspection.left_out for e in entries.values()]
    assert reasons == ["a case of the CT task, which `convert atriumct` reads"] * 3 + [""]
    assert list(entries)[-1] == "LAt1_001"


def test_what_is_said_about_values(source: Path, one: Path) -> None:
    assert only(source).label_values == (0, 1, 420)
    assert only(source).notes == ()
    mixed = np.where(scar(), 2.0, cavity() * 420.0)
    mixed[0, 0, 0] = np.nan
    save(one / "atriumSegImgMO.nii.gz", mixed)
    save(one / "scarSegImgM.nii.gz", np.zeros(SHAPE, np.uint8))
    inspection = only(source)
    assert inspection.label_values == (0, 2, 420)
    assert inspection.notes == (
        "atriumSegImgMO: 1 voxels are not finite and count as background",
        "atriumSegImgMO holds 2 values from 2 to 420: all of them count",
        "scarSegImgM is empty",
    )


def test_values_below_zero(source: Path, one: Path) -> None:
    save(one / "scarSegImgM.nii.gz", scar().astype(np.int16) - 1)
    (problem,) = only(source).problems
    assert problem.startswith("scarSegImgM holds the value -1, expected none below 0")
    notes = only(source, CareOptions(unknown_to_background=True)).notes
    assert "scarSegImgM: values below 0 become background" in notes


@each(
    ("remove", "task", "problem"),
    [
        ("enhanced", "task1", "found atriumSegImgMO and scarSegImgM without enhanced"),
        ("atriumSegImgMO", "task1", "no atriumSegImgMO, which every training case has"),
        ("scarSegImgM", "task1", "no scarSegImgM, which every labelled case of task 1 has"),
        (None, "task2", "found scarSegImgM, which no case of task 2 has: is this task 1?"),
        (
            None,
            "somewhere",
            "no folder name states the task: put it into a folder named task1 or task2",
        ),
    ],
)
def test_what_a_case_must_have(source: Path, remove: str | None, task: str, problem: str) -> None:
    folder = source / task / "train_data/train_1"
    patient(folder, 1, with_scar=True)
    if remove:
        (folder / f"{remove}.nii.gz").unlink()
    assert only(source).problems == (problem,)


def test_unknown_files_and_folders(source: Path, one: Path) -> None:
    save(one / "wall.nii.gz", image(1))
    assert only(source).problems == (
        "found the file 'wall.nii.gz', expected enhanced, atriumSegImgMO or scarSegImgM",
    )
    (one / "wall.nii.gz").unlink()
    one.rename(one.with_name("patient_x"))
    assert only(source).problems == ("found the folder 'patient_x', expected train_<number>",)


def test_an_empty_cavity(source: Path, one: Path) -> None:
    save(one / "atriumSegImgMO.nii.gz", np.zeros(SHAPE, np.uint8))
    assert only(source).problems == ("atriumSegImgMO is empty",)


@each("name", ["enhanced", "atriumSegImgMO"])
def test_a_damaged_file(source: Path, one: Path, name: str) -> None:
    (one / f"{name}.nii.gz").write_bytes(b"not NIfTI")
    (problem,) = only(source).problems
    assert "cannot be read as NIfTI" in problem


def test_two_copies_are_refused(source: Path) -> None:
    patient(source / "task1/train_1", 1, with_scar=True)
    patient(source / SCAR_2026 / "train_1", 2, with_scar=True)
    with pytest.raises(DatasetError, match="two copies"):
        list(examine(source))
    cases = cases_of(examine(source, CareOptions(version_root=Path(SCAR_2026))))
    assert [c.case_id for c in cases] == ["LAt1_001"]
    save(source / "task1/train_1/enhanced.nii", image(1))
    with pytest.raises(DatasetError, match="two copies"):
        list(examine(source, CareOptions(version_root=Path("task1"))))


def test_a_spacing_that_is_off_is_flagged_and_mended_on_request(source: Path, one: Path) -> None:
    wrong = np.array([[-1.0, 0, 0, 5], [0, 0, 1, 6], [0, 1, 0, 7], [0, 0, 0, 1]])
    for name, array in (("enhanced", image(1)), ("atriumSegImgMO", cavity().astype(np.uint8))):
        save(one / f"{name}.nii.gz", array, wrong)
    save(one / "scarSegImgM.nii.gz", scar().astype(np.uint8), wrong)
    assert only(source).notes == (
        "the spacing is 1 x 1 x 1 mm, expected 0.625 x 0.625 x 2.5 mm:"
        " kept as it is (--fix-spacing corrects it)",
    )
    kept = load_canonical(only_case(source))
    fix = CareOptions(fix_spacing=True)
    assert only(source, fix).notes == (
        "the spacing is 1 x 1 x 1 mm and becomes 0.625 x 0.625 x 2.5 mm",
    )
    mended = load_canonical(only_case(source, fix))
    assert np.linalg.norm(kept.affine[:3, :3], axis=0).tolist() == [1, 1, 1]
    assert np.linalg.norm(mended.affine[:3, :3], axis=0).tolist() == [2.5, 0.625, 0.625]
    assert kept.label is not None and mended.label is not None
    assert kept.label.sum() == mended.label.sum()
    # the mask still lies on the same voxels of the image
    assert set(mended.images[0][mended.label > 0]) == set(image(1)[cavity() | scar()].tolist())


def test_a_good_spacing_is_not_touched(source: Path, one: Path) -> None:
    assert only(source, CareOptions(fix_spacing=True)).notes == ()
    assert only_case(source, CareOptions(fix_spacing=True)).images == (one / "enhanced.nii.gz",)


def test_a_mask_of_another_affine_takes_that_of_the_image(source: Path, one: Path) -> None:
    save(one / "scarSegImgM.nii.gz", scar().astype(np.uint8), np.diag([1.0, 1, 1, 1]))
    inspection = only(source)
    assert inspection.agreement == "affine differs"
    assert inspection.notes == (
        "scarSegImgM takes the geometry of the image (same shape, another affine)",
    )
    loaded = load_canonical(only_case(source))
    assert loaded.label is not None
    assert np.bincount(loaded.label.ravel()).tolist() == [320 - 33, 30, 2, 1]


def test_a_mask_of_another_shape_is_resampled(source: Path, one: Path) -> None:
    # each voxel of the image is two of the mask along the first axis
    twice = np.diag([0.3125, 0.625, 2.5, 1.0])
    twice[0, 3] = -0.15625
    save(one / "atriumSegImgMO.nii.gz", cavity().repeat(2, axis=0).astype(np.uint8), twice)
    inspection = only(source)
    assert inspection.agreement == "shape differs"
    assert inspection.notes == (
        "atriumSegImgMO, shape (16, 10, 4), is resampled to the image by nearest neighbour",
    )
    loaded = load_canonical(only_case(source))
    assert loaded.label is not None
    assert np.bincount(loaded.label.ravel()).tolist() == [320 - 33, 30, 2, 1]


def test_another_shape_where_the_spacing_is_off_is_left_out(source: Path, one: Path) -> None:
    save(one / "enhanced.nii.gz", image(1), np.diag([1.0, 1.0, 2.5, 1.0]))
    save(one / "atriumSegImgMO.nii.gz", np.ones((9, 10, 4), np.uint8))
    reason = only(source).left_out
    assert reason.startswith(
        "atriumSegImgMO has another shape, (9, 10, 4), and the image's spacing"
    )


def test_a_mask_elsewhere_is_left_out(source: Path, one: Path) -> None:
    far = AFFINE.copy()
    far[:3, 3] = 1000
    save(one / "scarSegImgM.nii.gz", np.ones((9, 10, 4), np.uint8), far)
    inspection = only(source)
    assert inspection.agreement == "disjoint"
    assert (
        inspection.left_out
        == "scarSegImgM and the image do not overlap in space (their shapes differ, too)"
    )


def test_the_same_image_in_both_tasks_is_one_patient(source: Path, raw: Path) -> None:
    for number in range(1, 4):
        patient(source / f"task1/train_data/train_{number}", number, with_scar=True)
        patient(source / f"task2/train_data/train_{number}", 10 + number, with_scar=False)
    # the second of task 1 again, with another spacing, type and brightness
    again = source / "task2/train_data/train_3"
    save(again / "enhanced.nii.gz", image(2) * 0.5 + 7.0, np.diag([1.0, 1.0, 2.5, 1.0]))
    assert found(source)["LAt2_003"].inspection.notes[-1] == (
        "the same image as LAt1_002: the two are one patient"
    )
    patients = patients_of(convert(source, 12))
    assert patients == {
        "LAt1_001": "LAt1_001",
        "LAt1_002": "LAt1_002",
        "LAt1_003": "LAt1_003",
        "LAt2_001": "LAt2_001",
        "LAt2_002": "LAt2_002",
        "LAt2_003": "LAt1_002",
    }


def test_the_data_set_and_its_report(source: Path, one: Path, raw: Path) -> None:
    patient(source / "task2/train_data/train_1", 2, with_scar=False)
    save(source / "task1_val/val_1/enhanced.nii.gz", image(3))
    folder = convert(source, 12)
    assert folder == raw / "Dataset012_LAScarQS"
    content = json.loads((folder / "dataset.json").read_text())
    assert content["labels"] == {"background": 0, "la": 1, "la_scar": 2, "la_scar_outside": 3}
    assert content["channel_names"] == {"0": "image"}
    block = content["nnunet_prompt"]
    assert block["structures"]["la"] == {"label": 1, "members": [1, 2], "official": 420}
    assert block["cases"]["LAt2_001"] == {"annotated": ["la"]}
    assert set(read_side_file(folder)) == {"LAt1_001", "LAt2_001"}
    report = json.loads((folder / "conversion_report.json").read_text())
    assert (report["written"], report["left_out"]) == (2, 1)
    assert "validation" in report["cases"]["LAt1_val_001"]["left_out"]


def test_a_bad_case_stops_unless_it_is_left_out(source: Path, one: Path, raw: Path) -> None:
    save(source / "task1/train_data/train_2/enhanced.nii.gz", image(2))
    with pytest.raises(DatasetError, match="LAt1_002: no atriumSegImgMO"):
        convert(source, 12)
    folder = convert(source, 12, options=CareOptions(leave_out=True))
    assert [p.name for p in (folder / "labelsTr").iterdir()] == ["LAt1_001.nii.gz"]


def test_the_command_line(
    source: Path, one: Path, raw: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    table = tmp_path / "table.csv"
    assert main([str(source), "--inspect", str(table)]) == 0
    assert not raw.exists()
    with table.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["case"], row["spacing_mm"]) == ("LAt1_001", "0.625x0.625x2.5")
    assert row["annotated"] == "la la_scar la_scar_outside"
    assert main([str(source), "-d", "12", "--name", "Atria", "--fix-spacing"]) == 0
    assert capsys.readouterr().out.strip().endswith("Dataset012_Atria")
    (one / "scarSegImgM.nii.gz").unlink()
    assert main([str(source), "--inspect"]) == 1
    assert "problem: case LAt1_001: no scarSegImgM" in capsys.readouterr().out
    assert main([str(source / "nowhere"), "-d", "12"]) == 1
    assert "no such folder" in capsys.readouterr().err
