"""Mock challenge data of LiQA: its layout, livers rather than noise, and defects that the converter repairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import label

from nnunet_prompt.dataset_conversion.care.liqa import KNOWN_MASKS, examine
from nnunet_prompt.phantom.liqa import (
    ANNOTATED,
    CENTRES,
    DEFECTS,
    MOCK_CHALLENGE,
    draw,
    info_of_val,
    other_phases,
)
from nnunet_prompt.phantom.liver_scanner import PHASES, SITES, LiverPatient
from nnunet_prompt.phantom.mock_challenge import Defect, DrawnCase, places, write_mock_challenge
from nnunet_prompt.phantom.record import File
from nnunet_prompt.phantom.scanner import Volume
from tests.helpers.each import each
from tests.phantom.downloads import (
    assert_prompts_fit,
    converted_labels,
    in_pls,
    inspected,
    millilitres,
    same_case,
    write_files,
)

pytestmark = pytest.mark.slow

FOLDER = "LiQA_training_data/Vendor_B1/0482-B1-S2"


def drawn(number: int, vendor: str = "A", seed: int = 0) -> DrawnCase:
    return draw(np.random.default_rng([seed, number]), vendor, number)


def volume(files: Mapping[str, File], name: str) -> Volume:
    found = files[name]
    assert isinstance(found, Volume)
    return found


@pytest.fixture(scope="module")
def case() -> DrawnCase:
    """0482-B1-S2, with all phases."""
    found = drawn(2, "B1", 3)
    assert len(found.files) == 8
    return found


@pytest.fixture(scope="module")
def second(case: DrawnCase) -> dict[str, File]:
    """Its files."""
    return dict(case.files)


def test_the_layout(second: dict[str, File]) -> None:
    names = [*PHASES, "mask_GED4"]
    assert sorted(second) == sorted(f"{FOLDER}/{name}.nii.gz" for name in names)
    mask, image = (volume(second, f"{FOLDER}/{n}.nii.gz") for n in ("mask_GED4", "GED4"))
    assert mask.array.dtype == np.uint8 and set(np.unique(mask.array)) == {0, 1}
    assert mask.array.shape == image.array.shape
    np.testing.assert_array_equal(mask.affine, image.affine)
    assert all(90 <= n <= 128 for n in image.array.shape[:2]) and 30 <= image.array.shape[2] <= 40


def test_the_thirty_known_cases_come_first() -> None:
    found = {v: {n.partition("-")[0] for n in names} for v, names in ANNOTATED.items()}
    assert found == KNOWN_MASKS
    thirty = places(MOCK_CHALLENGE, 30, centres=list(CENTRES))
    assert Counter(p.centre for p in thirty) == {"A": 10, "B1": 10, "B2": 10}
    # 1053 is there at two vendors in the smallest of mock challenges
    assert (ANNOTATED["A"][0], ANNOTATED["B2"][0]) == ("1053-A-S3", "1053-B2-S3")


def test_further_cases_have_no_mask_and_other_numbers() -> None:
    case = drawn(11, "B2")
    assert case.case_id == "LiQA_B2_2011"
    folders = {name.rpartition("/")[0] for name in case.files}
    assert len(folders) == 1 and folders.pop().startswith("LiQA_training_data/Vendor_B2/2011-B2-S")
    assert not any("mask" in name for name in case.files)
    assert 1 in case.labels.array


def test_the_validation_download(tmp_path: Path) -> None:
    val = MOCK_CHALLENGE.val
    assert list(val.numbers(["A", "B1", "A"])) == [{"": 1}, {"": 2}, {"": 3}]
    case = val.draw(np.random.default_rng(0), "B1", {"": 2})
    folder = "LiQA_val/Data/Vendor_B1/3002-B1"
    missing = {*PHASES} - {name.split("/")[-1].removesuffix(".nii.gz") for name in case.images}
    assert case.name == "3002-B1" and len(missing) < 2 and f"{folder}/GED4.nii.gz" in case.images
    assert all(name.startswith(f"{folder}/") for name in case.images)
    ((name, mask),) = case.masks.items()
    assert name == "LiSeg_pred/3002-B1/GED4.nii.gz" and set(np.unique(mask.array)) == {0, 1}
    np.testing.assert_array_equal(mask.affine, volume(case.images, f"{folder}/GED4.nii.gz").affine)
    write_files(tmp_path / "d", case.images)
    ((who, row),) = inspected(examine(tmp_path / "d"), tmp_path / "table.csv").items()
    assert who == "LiQA_B1_3002"
    assert row["left_out"] == "no mask_GED4 (only some training cases have one)"


def test_the_table_of_the_validation_cases_lists_those_that_are_there() -> None:
    images = [f"LiQA_val/Data/Vendor_B1/3002-B1/{p}.nii.gz" for p in PHASES if p[:4] != "GED1"]
    images += ["LiQA_val/Data/Vendor_A/3001-A/GED4.nii.gz"]
    assert info_of_val(images) == {
        "LiQA_val/info.csv": b"Case,Vendor,Missing Modality\n"
        b"3001-A,A,T1 T2 DWI_800 GED1 GED2 GED3\n3002-B1,B1,GED1\n"
    }


def test_a_phase_may_be_missing_but_not_ged4_and_t2() -> None:
    missing: Counter[str] = Counter()
    for seed in range(100):
        here = other_phases(np.random.default_rng(seed))
        missing.update({*PHASES} - {*here} - {"GED4"})
        assert "GED4" not in here and "T2" in here and len(here) >= 5
    assert 15 <= sum(missing.values()) <= 45
    assert set(missing) == {"T1", "DWI_800", "GED1", "GED2", "GED3"}


def test_a_test_case_is_ged4_alone() -> None:
    for vendor in SITES:
        case = drawn(1, vendor)
        assert list(case.sequences) == [""] and set(np.unique(case.labels.array)) == {0, 1}
        assert case.sequences[""].array.shape == case.labels.array.shape
    assert not drawn(1, "C").files


@each("vendor", sorted(SITES))
def test_the_liver_lies_on_the_right_and_near_the_middle_from_front_to_back(vendor: str) -> None:
    for seed in range(2):
        case = drawn(1, vendor, seed)
        image, liver = in_pls(case.sequences[""]), in_pls(case.labels) == 1
        row, column, slices = np.argwhere(liver).mean(axis=0) / liver.shape
        assert 0.38 < row < 0.62 and column < 0.42 and 0.35 < slices < 0.65
        assert 700 < millilitres(liver, case.labels) < 2400
        assert label(liver)[1] == 1
        vessels, tissue = np.percentile(image[liver], [2, 50])
        assert vessels < 0.7 * tissue  # dark vessels belong to the liver
        others = image[~liver]
        assert (others > np.percentile(image[liver], 10)).sum() > 0.01 * liver.sum()


def test_every_phase_is_scanned_on_a_grid_of_its_own() -> None:
    patient = LiverPatient(np.random.default_rng(4), "A", stage=2)
    scans = {phase: patient.scan(phase) for phase in PHASES}
    thickness = {p: np.linalg.norm(image.affine[:3, 2]) for p, (image, _) in scans.items()}
    assert 6.0 <= thickness["T2"] <= 8.5 and 5.0 <= thickness["DWI_800"] <= 8.0
    assert 5.0 <= thickness["GED4"] <= 5.4
    assert len({image.array.shape for image, _ in scans.values()}) >= 4
    # of what is in the liver, against all else
    bright = {
        p: i.array[m.array > 0].mean() / i.array[m.array == 0].mean() for p, (i, m) in scans.items()
    }
    assert max(bright, key=lambda phase: bright[phase]) == "GED4"
    # breathing moves it up and down
    heights = [
        (image.affine @ [*np.argwhere(mask.array).mean(axis=0), 1])[2]
        for image, mask in scans.values()
    ]
    assert 3 < np.ptp(heights) < 40


def test_the_same_generator_gives_the_same_patient(case: DrawnCase) -> None:
    assert same_case(case, drawn(2, "B1", 3))
    other = drawn(2, "B1", 4)
    assert not np.array_equal(other.labels.array, case.labels.array)


@each(
    "defect",
    [None, *DEFECTS],
    ids=lambda d: d.name if d else "none",
    fast=[None, *DEFECTS[::4]],
)
def test_the_converter_mends_each_defect(
    second: dict[str, File], tmp_path: Path, defect: Defect | None
) -> None:
    files = defect.inject(np.random.default_rng(0), second) if defect else second
    download = tmp_path / "d"
    write_files(download, files)
    (row,) = inspected(examine(download), tmp_path / "table.csv").values()
    left = row["notes"].split("; ")
    (others,) = [n for n in left if n.startswith("not written, because unlabelled")]
    assert ("T2" in others) == (defect is None or defect.name != "missing phases")
    left.remove(others)
    assert len(left) == (1 if defect and defect.note else 0)
    assert all(defect is not None and defect.note in note for note in left)
    (written,) = [e.case for e in examine(download) if e.case is not None]
    found = converted_labels(written, download / f"{FOLDER}/GED4.nii.gz")
    mask = volume(files, f"{FOLDER}/mask_GED4.nii.gz").array
    np.testing.assert_array_equal(found, mask)
    assert mask.sum() == volume(second, f"{FOLDER}/mask_GED4.nii.gz").array.sum()


def test_what_the_defects_look_like(second: dict[str, File]) -> None:
    rng = np.random.default_rng(0)
    injected = {d.name: d.inject(rng, second) for d in DEFECTS}
    plain = volume(second, f"{FOLDER}/GED4.nii.gz")

    def found(defect: str, name: str = "mask_GED4") -> Volume:
        return volume(injected[defect], f"{FOLDER}/{name}.nii.gz")

    assert found("fourth axis").fourth_axis and found("fourth axis", "T1").fourth_axis
    assert found("mask of int16").array.dtype == np.int16
    assert found("mask of floats").array.dtype == np.float32
    assert (~np.isfinite(found("not finite", "GED4").array)).sum() == 10
    assert found("not finite").array.dtype == np.uint8
    assert (
        f"{FOLDER}/T2WI.nii.gz" in injected["T2WI"]
        and f"{FOLDER}/T2.nii.gz" not in injected["T2WI"]
    )
    turn = found("oblique", "GED4").affine[:3, :3] @ np.linalg.inv(plain.affine[:3, :3])
    assert 3.5 < np.degrees(np.arccos((np.trace(turn) - 1) / 2)) < 4.5
    np.testing.assert_array_equal(found("oblique", "GED4").affine, found("oblique").affine)
    spacing = np.linalg.norm(found("slices along another axis", "GED4").affine[:3, :3], axis=0)
    assert np.argmax(spacing) == 0 and np.argmax(np.linalg.norm(plain.affine[:3, :3], axis=0)) == 2
    apart = np.linalg.norm((found("mask at another place").affine - plain.affine)[:3, 3])
    assert 1 < apart < 1.5
    assert f"__MACOSX/{FOLDER}/._GED4.nii.gz" in injected["resource forks"]


def test_every_defect_is_dealt() -> None:
    found = places(MOCK_CHALLENGE, len(DEFECTS), centres=list(CENTRES), defects=True)
    assert [p.defect for p in found] == list(DEFECTS)
    assert all(p.number <= 10 for p in found)  # they all have a mask


@pytest.mark.slow
def test_the_whole_mock_challenge(tmp_path: Path) -> None:
    folder = write_mock_challenge(
        MOCK_CHALLENGE, tmp_path / "out", len(DEFECTS), defects=True, seed=3
    )
    assert_prompts_fit(folder, {1})
    rows = inspected(examine(folder / "train"), tmp_path / "table.csv")
    said = "; ".join(row["notes"] for row in rows.values())
    assert all(defect.note in said for defect in DEFECTS)
    assert sum(1 for row in rows.values() if not row["left_out"]) == len(DEFECTS)
    assert {"LiQA_A_1053", "LiQA_B2_1053"} <= set(rows)
    assert not (folder / "train/LiQA_val").exists()
    listed = (folder / "val/LiQA_val/info.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in listed[1:]] == [
        ["3001-A", "A"],
        ["3002-B1", "B1"],
        ["3003-B2", "B2"],
    ]
