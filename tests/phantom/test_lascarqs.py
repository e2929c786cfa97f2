"""Mock challenge data of LAScarQS: its layout, atria rather than noise, and defects that the converter repairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import binary_dilation, label

from nnunet_prompt.dataset_conversion.care.lascarqs import examine
from nnunet_prompt.phantom.lascarqs import (
    CAVITY,
    DEFECTS,
    IMAGE,
    MOCK_CHALLENGE,
    SCAR,
    SITES,
    draw,
    tasks_of,
)
from nnunet_prompt.phantom.mock_challenge import Defect, DrawnCase, places, write_mock_challenge
from nnunet_prompt.phantom.record import File
from nnunet_prompt.phantom.scanner import Volume
from tests.helpers.each import each
from tests.official_fixture import la_masks
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

T1, T2 = "task1/train_data/train_1", "task2/train_data/train_1"
ALONE = 3  # a patient of task 1 alone


def drawn(number: int = 1, centre: str = "A", seed: int = 0) -> DrawnCase:
    return draw(np.random.default_rng([seed, number]), centre, number)


@pytest.fixture(scope="module")
def first() -> DrawnCase:
    return drawn()


def volume(files: Mapping[str, File], name: str) -> Volume:
    found = files[name]
    assert isinstance(found, Volume)
    return found


@pytest.fixture(scope="module")
def middle() -> dict[str, File]:
    """The middle of a patient of task 1 alone, for speed; its masks keep off the border."""
    found: dict[str, File] = {}
    for name, file in drawn(ALONE).files.items():
        assert isinstance(file, Volume)
        array = file.array[:92, :92].copy()
        if IMAGE not in name:
            array[:4] = array[-4:] = array[:, :4] = array[:, -4:] = 0
        found[name] = replace(file, array=array)
    return found


def test_the_layout(first: DrawnCase) -> None:
    assert list(first.files) == [
        f"{T1}/enhanced.nii.gz",
        f"{T1}/atriumSegImgMO.nii.gz",
        f"{T1}/scarSegImgM.nii.gz",
        "task1/readme.txt",
        f"{T2}/enhanced.nii.gz",
        f"{T2}/atriumSegImgMO.nii.gz",
    ]
    assert first.case_id == "LAt1_001 LAt2_001"
    image = volume(first.files, f"{T1}/enhanced.nii.gz")
    assert image is first.files[f"{T2}/enhanced.nii.gz"] is first.sequences[""]
    np.testing.assert_array_equal(np.linalg.norm(image.affine[:3, :3], axis=0), [0.625, 0.625, 2.5])
    assert image.array.dtype == np.int16 and image.array.shape[2] == 44
    assert all(140 <= n <= 160 for n in image.array.shape[:2])
    values = {
        n: set(np.unique(volume(first.files, f"{T1}/{n}.nii.gz").array)) for n in (CAVITY, SCAR)
    }
    assert values == {CAVITY: {0, 420}, SCAR: {0, 1}}
    assert set(np.unique(first.labels.array)) == {0, 420, 421}
    assert not drawn(1, "B").files


def test_the_validation_download_in_both_tasks() -> None:
    assert list(MOCK_CHALLENGE.val.numbers(["A", "C"])) == [{"task1": 1, "task2": 1}, {"task2": 2}]
    case = MOCK_CHALLENGE.val.draw(np.random.default_rng(0), "A", {"task1": 3, "task2": 5})
    folders = ["task1_val/val_3", "task2_val/val_5"]
    assert case.name == " ".join(folders)
    assert list(case.images) == [f"{folder}/enhanced.nii.gz" for folder in folders]
    assert len({id(image) for image in case.images.values()}) == 1
    assert list(case.masks) == [
        "LA scar quantification/val_3/3.nii.gz",
        "LA cavity segmentation/val_5/5.nii.gz",
    ]
    scar, cavity = (mask.array for mask in case.masks.values())
    assert cavity.dtype == np.uint8
    assert set(np.unique(cavity)) == set(np.unique(scar)) == {0, 1}
    assert 0.1 < (scar & cavity).sum() / scar.sum() < 0.4


def test_a_validation_case_of_task_2_alone() -> None:
    case = MOCK_CHALLENGE.val.draw(np.random.default_rng(0), "C", {"task2": 6})
    assert list(case.images) == ["task2_val/val_6/enhanced.nii.gz"]
    assert list(case.masks) == ["LA cavity segmentation/val_6/6.nii.gz"]


def test_two_of_five_patients_are_of_task_1_and_four_of_task_2() -> None:
    assert [tasks_of(n) for n in range(1, 8)] == [
        {1: 1, 2: 1},
        {2: 2},
        {1: 2},
        {2: 3},
        {2: 4},
        {1: 3, 2: 5},
        {2: 6},
    ]
    numbers = [tasks_of(n) for n in range(1, 101)]
    for task, count in ((1, 40), (2, 80)):
        assert [t[task] for t in numbers if task in t] == list(range(1, count + 1))


def test_task_2_has_no_scar_file_although_there_is_scar() -> None:
    case = drawn(2)
    assert sorted(case.files) == [f"task2/train_data/train_2/{n}.nii.gz" for n in (CAVITY, IMAGE)]
    assert 421 in case.labels.array


@each("centre", sorted(SITES))
def test_an_atrium_with_scar_on_its_wall(centre: str) -> None:
    for seed in range(2):
        case = drawn(5, centre, seed)
        image, labels = in_pls(case.sequences[""]), in_pls(case.labels)
        scar = labels == 421
        # the official values do not say which scar lies in the cavity
        cavity = (labels == 420) | (scar & binary_dilation(labels == 420, iterations=1))
        assert 37 < millilitres(labels == 420, case.labels) < 410
        assert 0.9 < millilitres(scar, case.labels) < 8.3
        assert label(labels == 420)[1] <= 3  # scar may cut a vein off
        assert not (scar & ~binary_dilation(labels == 420, iterations=5)).any()
        shell = binary_dilation(cavity, iterations=2) & ~cavity & ~scar
        dark, blood, bright = (np.median(image[m]) for m in (shell, labels == 420, scar))
        assert dark < 0.8 * blood and bright > 1.15 * blood
        low, high = np.percentile(image[labels == 420], [5, 95])
        alike = (image > low) & (image < high) & (labels == 0)
        assert alike.sum() > 0.7 * (labels == 420).sum()  # a threshold does not do


def test_some_scar_lies_in_the_cavity_and_most_outside(first: DrawnCase) -> None:
    cavity, scar = (volume(first.files, f"{T1}/{n}.nii.gz").array > 0 for n in (CAVITY, SCAR))
    assert 0.1 < (cavity & scar).sum() / scar.sum() < 0.4
    np.testing.assert_array_equal(first.labels.array, np.where(scar, 421, cavity * 420))


def test_the_same_generator_gives_the_same_patient(first: DrawnCase) -> None:
    assert same_case(first, drawn())
    assert not same_case(first, drawn(seed=1))


def test_centres_differ() -> None:
    known = {}
    for centre in SITES:
        image = drawn(1, centre).sequences[""]
        known[centre] = np.round(np.linalg.norm(image.affine[:3, :3], axis=0), 3).tolist()
    assert known == {"A": [0.625, 0.625, 2.5], "B": [1.4, 1.4, 1.4], "C": [1.3, 1.3, 4.0]}


def test_both_tasks_are_one_patient(first: DrawnCase, tmp_path: Path) -> None:
    write_files(tmp_path / "d", first.files)
    write_files(tmp_path / "d", drawn(2).files)
    rows = inspected(examine(tmp_path / "d"), tmp_path / "table.csv")
    assert {case: row["notes"] for case, row in rows.items()} == {
        "LAt1_001": "",
        "LAt2_001": "the same image as LAt1_001: the two are one patient",
        "LAt2_002": "",
    }
    assert rows["LAt1_001"]["annotated"] == "la la_scar la_scar_outside"
    assert rows["LAt2_002"]["annotated"] == "la"
    assert rows["LAt1_001"]["spacing_mm"] == "0.625x0.625x2.5"


def test_names_of_2026() -> None:
    assert MOCK_CHALLENGE.rename is not None
    named = MOCK_CHALLENGE.rename(
        PurePosixPath("__MACOSX/task1/train_data/train_1/._enhanced.nii.gz")
    )
    assert named == PurePosixPath(
        "__MACOSX/LA scar quantification（MRI）/train_data/train_1/._enhanced.nii.gz"
    )


def masks_of(files: Mapping[str, File]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    folder = "task1/train_data/train_2"
    cavity, scar = (volume(files, f"{folder}/{n}.nii.gz").array > 0 for n in (CAVITY, SCAR))
    return cavity, scar


@each(
    "defect",
    [None, *DEFECTS],
    ids=lambda d: d.name if d else "none",
    fast=[None, *DEFECTS[::4]],
)
def test_the_converter_mends_each_defect(
    middle: dict[str, File], tmp_path: Path, defect: Defect | None
) -> None:
    files = defect.inject(np.random.default_rng(0), middle) if defect else middle
    download = tmp_path / "d"
    write_files(download, files)
    rows = inspected(examine(download), tmp_path / "table.csv")
    said = "; ".join(f"{row['notes']} {row['left_out']}" for row in rows.values())
    assert (defect.note in said) if defect and defect.note else not said.strip()
    (case,) = [e.case for e in examine(download) if e.case is not None]
    labels = converted_labels(case, download / "task1/train_data/train_2/enhanced.nii.gz")
    for found, mask in zip(la_masks(labels), masks_of(middle), strict=True):
        twice = labels.shape[2] // mask.shape[2]
        np.testing.assert_array_equal(found, mask.repeat(twice, axis=2))


def test_what_the_defects_look_like(middle: dict[str, File]) -> None:
    rng = np.random.default_rng(0)
    injected = {d.name: d.inject(rng, middle) for d in DEFECTS}
    folder = "task1/train_data/train_2"

    def found(defect: str, name: str) -> Volume:
        return volume(injected[defect], f"{folder}/{name}.nii.gz")

    assert set(np.unique(found("cavity of 255", CAVITY).array)) == {0, 255}
    assert found("float masks", CAVITY).array.dtype == np.float32
    assert found("float masks", SCAR).array.dtype == np.float64
    for name in (IMAGE, CAVITY, SCAR):
        thin = found("slices of 1.0 mm in the header", name)
        assert np.linalg.norm(thin.affine[:3, :3], axis=0).tolist() == [0.625, 0.625, 1.0]
        fine = found("88 slices", name)
        assert fine.array.shape == (92, 92, 88)
        assert np.linalg.norm(fine.affine[:3, :3], axis=0).tolist() == [0.625, 0.625, 1.25]
    assert found("masks of another shape", CAVITY).array.shape == (86, 86, 44)
    assert found("masks of another shape", IMAGE).array.shape == (92, 92, 44)
    assert (~np.isfinite(found("voxels that are not finite", IMAGE).array)).sum() == 10
    assert f"__MACOSX/{folder}/._{IMAGE}.nii.gz" in injected["resource forks"]
    other = "LA cavity segmentation（CT）/train_data/train_2"
    assert {f"{other}/enhanced.nii.gz", f"{other}/cardiacSegImgMO.nii.gz"} <= set(
        injected["CT task"]
    )


def test_every_defect_is_dealt() -> None:
    found = places(MOCK_CHALLENGE, len(DEFECTS), centres=["A"], defects=True)
    assert [p.defect for p in found] == list(DEFECTS)


@pytest.mark.slow
def test_the_whole_mock_challenge(tmp_path: Path) -> None:
    folder = write_mock_challenge(
        MOCK_CHALLENGE, tmp_path / "out", len(DEFECTS), defects=True, seed=3
    )
    assert_prompts_fit(folder, {420, 421})
    folders = {p.name for p in (folder / "train").iterdir()}
    of_2026 = {"LA scar quantification（MRI）", "LA cavity segmentation（MRI）"}
    assert folders == {*of_2026, "LA cavity segmentation（CT）", "__MACOSX"}
    assert {p.name for p in (folder / "train/__MACOSX").iterdir()} <= of_2026
    rows = inspected(examine(folder / "train"), tmp_path / "table.csv")
    said = "; ".join(f"{row['notes']} {row['left_out']}" for row in rows.values())
    assert all(defect.note in said for defect in DEFECTS)
    assert said.count("the two are one patient") == 2
    assert sum(1 for row in rows.values() if not row["left_out"]) == 10
