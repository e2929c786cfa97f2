"""LiQA in its training and validation trees, with every known defect, on downloads made up here."""

from __future__ import annotations

import csv
import json
import logging
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
from nnunet_prompt.dataset_conversion.care.liqa import (
    KNOWN_MASKS,
    convert,
    examine,
    main,
)
from nnunet_prompt.prompts.frames import canonical_map
from tests.dataset_conversion.care.examined import Findings, write_image
from tests.helpers.each import each
from tests.helpers.orientations import EIGHT

pytestmark = pytest.mark.slow

SHAPE = (8, 10, 4)
AFFINE = np.diag([1.0, 1.0, 2.5, 1.0])
PHASES = ("T1", "T2", "DWI_800", "GED1", "GED2", "GED3", "GED4")
FINDINGS = Findings(examine)
found, only, only_case = FINDINGS.all, FINDINGS.only, FINDINGS.only_case


def save(path: Path, array: npt.NDArray[Any], affine: npt.NDArray[np.float64] = AFFINE) -> None:
    write_image(path, array, affine)


def liver() -> npt.NDArray[np.uint8]:
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:4, 2:6, 1:3] = 1
    return mask


def image() -> npt.NDArray[np.float32]:
    return np.arange(320, dtype=np.float32).reshape(SHAPE)


def patient(folder: Path, phases: Sequence[str] = ("GED4",), *, mask: bool = True) -> Path:
    """The phases other than GED4 have grids of their own."""
    for n, phase in enumerate(phases):
        own = image() if phase == "GED4" else np.full((5, 6, 3 + n), 1, np.int16)
        save(folder / f"{phase}.nii.gz", own)
    if mask:
        save(folder / "mask_GED4.nii.gz", liver())
    return folder


@pytest.fixture
def one(source: Path) -> Path:
    """The folder of a download's one case."""
    return patient(source / "Vendor_B1/0241-B1-S2")


def test_the_training_tree(source: Path) -> None:
    patient(source / "Vendor_A/1053-A-S3", PHASES)
    patient(source / "Vendor_B2/1053-B2-S3")
    patient(source / "Vendor_B2/1086")
    patient(source / "Vendor_B1/0003-B1-S1", ("GED4", "T1"), mask=False)
    save(source / "Vendor_B1/0003-B1-S1/._GED4.nii.gz", image())
    save(source / "__MACOSX/Vendor_A/1053-A-S3/GED4.nii.gz", image())
    cases = {c.case_id: c for c in cases_of(examine(source))}
    assert list(cases) == ["LiQA_A_1053", "LiQA_B2_1053", "LiQA_B2_1086"]
    assert all(c.annotated == {"liver"} for c in cases.values())
    assert cases["LiQA_A_1053"].side_information() == {
        "patient": "LiQA_A_1053",
        "centre": "A",
        "vendor": "A",
        "source": "Vendor_A/1053-A-S3/GED4.nii.gz",
        "sequence": "GED4",
        "task": "liqa",
        "modality": "MR",
    }
    entries = found(source)
    assert entries["LiQA_B1_0003"].inspection.left_out == (
        "no mask_GED4 (only some training cases have one)"
    )


def test_the_validation_tree(tmp_path: Path) -> None:
    patient(tmp_path / "LiQA_val/Data/Vendor_A/1500-A", mask=False)
    patient(tmp_path / "LiQA_val/Data/Vendor_B1/1500-1", mask=False)
    (tmp_path / "LiQA_val/info.csv").write_text("Case,Vendor,Missing Modality\n1500-A,A,T1\n")
    entries = found(tmp_path)
    assert list(entries) == ["LiQA_A_1500", "LiQA_B1_1500_1"]
    assert all("no mask_GED4" in e.inspection.left_out for e in entries.values())


def test_other_phases_are_named_in_the_report_and_never_written(source: Path, raw: Path) -> None:
    patient(source / "Vendor_A/1009-A-S4", PHASES)
    folder = convert(source, 13)
    assert folder == raw / "Dataset013_LiQA"
    assert [p.name for p in (folder / "imagesTr").iterdir()] == ["LiQA_A_1009_0000.nii.gz"]
    content = json.loads((folder / "dataset.json").read_text())
    assert content["labels"] == {"background": 0, "liver": 1}
    assert content["channel_names"] == {"0": "image"}
    assert read_side_file(folder)["LiQA_A_1009"]["sequence"] == "GED4"
    report = json.loads((folder / "conversion_report.json").read_text())
    assert report["cases"]["LiQA_A_1009"]["done"] == [
        "not written, because unlabelled and not registered: DWI_800, GED1, GED2, GED3, T1, T2"
    ]


def test_names_of_phases_in_any_case_and_with_aliases(source: Path, one: Path) -> None:
    (one / "GED4.nii.gz").rename(one / "ged4.nii.gz")
    (one / "mask_GED4.nii.gz").rename(one / "Mask_ged4.NII.GZ")
    save(one / "T2WI.nii", image())
    save(one / "dwi-800.nii.gz", image())
    assert only(source).notes == (
        "not written, because unlabelled and not registered: DWI_800, T2",
    )
    assert only_case(source).source == "Vendor_B1/0241-B1-S2/ged4.nii.gz"


@each(
    ("first", "second"),
    [
        ("Vendor_A/1053-A-S3/GED4.nii", "Vendor_A/1053-A-S3/GED4.nii.gz"),
        ("Vendor_A/1053-A-S3/T2.nii.gz", "Vendor_A/1053-A-S3/T2WI.nii.gz"),
        ("Vendor_A/1053-A-S3/GED4.nii.gz", "Vendor_A/1053-A-S4/GED4.nii.gz"),
        ("one/Vendor_A/1053-A-S3/T1.nii.gz", "two/Vendor_A/1053-A-S3/T1.nii.gz"),
    ],
)
def test_two_copies_are_refused(source: Path, first: str, second: str) -> None:
    for path in (first, second):
        save(source / path, image())
    with pytest.raises(DatasetError, match="two copies of one file"):
        list(examine(source))


def test_the_vendor_from_either_folder(source: Path) -> None:
    patient(source / "Vendor_B2/1031-S1")
    patient(source / "somewhere/1041-b2-s3")
    assert [c.case_id for c in cases_of(examine(source))] == ["LiQA_B2_1031", "LiQA_B2_1041"]
    assert [c.case_id for c in cases_of(examine(source / "Vendor_B2"))] == ["LiQA_B2_1031"]


@each(
    ("folder", "problem"),
    [
        (
            "Vendor_A/1053-B2-S3",
            "found vendor B2 in the folder '1053-B2-S3' in a folder of vendor A",
        ),
        ("Vendor_A/liver7", "found the folder 'liver7', expected <number>-<vendor>-S<stage>"),
        (
            "train/1053",
            "found the folder '1053', expected a vendor in it or a folder Vendor_<vendor> around it",
        ),
        (
            "train/1053-X-S1",
            "found the folder '1053-X-S1', expected a vendor in it or a folder Vendor_<vendor> around it",
        ),
    ],
)
def test_folders_that_do_not_tell_who_it_is(source: Path, folder: str, problem: str) -> None:
    save(source / folder / "GED4.nii.gz", image())
    assert only(source).problems == (problem,)


def test_files_that_nobody_documented(source: Path, one: Path) -> None:
    save(one / "mask_T1.nii.gz", liver())
    entries = found(source)
    path = "Vendor_B1/0241-B1-S2/mask_T1.nii.gz"
    assert entries[path].inspection.problems == (
        "found the file 'mask_T1.nii.gz', expected one of T1, T2, DWI_800, GED1, GED2, GED3, GED4,"
        " mask_GED4",
    )
    assert entries["LiQA_B1_0241"].case is not None


def test_ged4_is_the_one_phase_that_may_not_be_missing(source: Path, one: Path) -> None:
    (one / "GED4.nii.gz").unlink()
    assert only(source).problems == ("found mask_GED4 without GED4, which every case has",)


@each("name", ["GED4", "mask_GED4"])
def test_a_damaged_file(source: Path, one: Path, name: str) -> None:
    (one / f"{name}.nii.gz").write_bytes(b"not NIfTI")
    (problem,) = only(source).problems
    assert "cannot be read as NIfTI" in problem


def test_label_values(source: Path, one: Path) -> None:
    save(one / "mask_GED4.nii.gz", liver() * 2)
    problem, empty = only(source).problems
    assert problem.startswith("the label map holds the value 2, expected only [0, 1]")
    assert empty == "mask_GED4 holds no liver"
    both = liver()
    both[0, 0, 0] = 3
    save(one / "mask_GED4.nii.gz", both)
    options = CareOptions(unknown_to_background=True)
    assert only(source, options).notes == ("unknown label values [3] become background",)
    loaded = load_canonical(only_case(source, options))
    assert loaded.label is not None
    assert np.bincount(loaded.label.ravel()).tolist() == [320 - 24, 24]


def test_a_mask_of_floats(source: Path, one: Path) -> None:
    save(one / "mask_GED4.nii.gz", liver() * np.float32(0.9999))
    assert only(source).notes == ("mask_GED4 has type float32 and is rounded",)
    save(one / "mask_GED4.nii.gz", liver() * np.float32(0.5))
    (problem,) = only(source).problems
    assert "label values must be integers, found 0.5" in problem


def test_a_trailing_fourth_axis(source: Path, one: Path) -> None:
    save(one / "GED4.nii.gz", image()[..., None])
    save(one / "mask_GED4.nii.gz", liver()[..., None])
    inspection = only(source)
    assert inspection.shape == (8, 10, 4, 1)
    assert inspection.notes == ("GED4 has shape (8, 10, 4, 1): the axes of length one are dropped",)
    assert load_canonical(only_case(source)).images.shape == (1, 4, 10, 8)
    save(one / "GED4.nii.gz", np.stack([image(), image()], axis=-1))
    assert "expected one volume, found shape (8, 10, 4, 2)" in only(source).problems[0]


def test_voxels_that_are_not_finite(
    source: Path, one: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = image()
    broken[0, 0, :2] = np.nan, np.inf
    save(one / "GED4.nii.gz", broken)
    loaded = load_canonical(only_case(source))
    assert loaded.replaced == 2
    assert np.isfinite(loaded.images).all()
    assert main([str(source), "--inspect"]) == 0
    assert "GED4.nii.gz: 2 voxels are not finite and become 0" in capsys.readouterr().out


@each(("axes", "flips"), EIGHT)
def test_slices_are_found_by_the_affine_and_the_mask_comes_back(
    source: Path, axes: tuple[int, int, int], flips: tuple[int, int, int]
) -> None:
    """The thick axis of this oblique stack is the longest one (10 voxels), and it comes first all the same."""
    angle = np.deg2rad(4)
    tilt = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    spacing = (0.99, 3.0, 0.99)
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (world, sign) in enumerate(zip(axes, flips, strict=True)):
        affine[world, axis] = sign * spacing[axis]
    affine[:3, :3] = tilt @ affine[:3, :3]
    folder = source / "Vendor_B1/0241-B1-S2"
    save(folder / "GED4.nii.gz", image(), affine)
    save(folder / "mask_GED4.nii.gz", liver(), affine)
    assert only(source).agreement == "same"
    loaded = load_canonical(only_case(source))
    assert loaded.label is not None
    assert loaded.label.shape[0] == 10
    back = canonical_map(affine, SHAPE).inverse().apply(loaded.label)
    assert np.array_equal(back, liver())


def test_a_mask_of_another_affine_takes_that_of_the_image(source: Path, one: Path) -> None:
    save(one / "mask_GED4.nii.gz", liver(), np.eye(4))
    inspection = only(source)
    assert inspection.agreement == "affine differs"
    assert inspection.notes == (
        "mask_GED4 takes the geometry of GED4 (same shape, another affine)",
    )
    loaded = load_canonical(only_case(source))
    assert loaded.label is not None
    assert set(loaded.images[0][loaded.label == 1]) == set(image()[liver() == 1])


def test_a_mask_of_another_shape_is_resampled(source: Path, one: Path) -> None:
    twice = np.diag([0.5, 1.0, 2.5, 1.0])
    twice[0, 3] = -0.25
    save(one / "mask_GED4.nii.gz", liver().repeat(2, axis=0), twice)
    inspection = only(source)
    assert inspection.agreement == "shape differs"
    assert inspection.notes == (
        "mask_GED4, shape (16, 10, 4), is resampled to GED4 by nearest neighbour",
    )
    loaded = load_canonical(only_case(source))
    assert loaded.label is not None
    assert set(loaded.images[0][loaded.label == 1]) == set(image()[liver() == 1])


def test_a_mask_elsewhere_is_left_out(source: Path, one: Path) -> None:
    far = AFFINE.copy()
    far[:3, 3] = 1000
    save(one / "mask_GED4.nii.gz", liver()[:, :, :3], far)
    inspection = only(source)
    assert inspection.agreement == "disjoint"
    assert inspection.left_out == (
        "GED4.nii.gz and mask_GED4.nii.gz do not overlap in space (their shapes differ, too)"
    )


def test_the_known_masks_are_thirty_and_their_absence_is_a_warning(
    source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert {vendor: len(numbers) for vendor, numbers in KNOWN_MASKS.items()} == {
        "A": 10,
        "B1": 10,
        "B2": 10,
    }
    for vendor, numbers in KNOWN_MASKS.items():
        for number in numbers:
            patient(source / f"Vendor_{vendor}/{number}-{vendor}-S1")
    entries = found(source)
    assert caplog.messages == []
    assert len(entries) == 30
    assert all(e.case is not None and not e.inspection.notes for e in entries.values())
    (source / "Vendor_A/1053-A-S1/mask_GED4.nii.gz").unlink()
    patient(source / "Vendor_A/1111-A-S1")
    entries = found(source)
    ((_, level, line),) = caplog.record_tuples
    assert level == logging.WARNING
    assert line.endswith(
        "of 30 cases known to be annotated 1 have no mask_GED4 here: 1053-A:"
        " check that the download is complete"
    )
    assert entries["LiQA_A_1053"].inspection.left_out == (
        "no mask_GED4, although this case is known to have one"
    )
    assert entries["LiQA_A_1111"].inspection.notes == (
        "annotated, but not among the cases known to be",
    )


def test_a_bad_case_stops_unless_it_is_left_out(source: Path, one: Path, raw: Path) -> None:
    save(source / "Vendor_A/1009-A-S4/T1.nii.gz", image())
    with pytest.raises(DatasetError, match="LiQA_A_1009: found T1 without GED4"):
        convert(source, 13)
    folder = convert(source, 13, options=CareOptions(leave_out=True))
    assert [p.name for p in (folder / "labelsTr").iterdir()] == ["LiQA_B1_0241.nii.gz"]


def test_the_command_line(
    source: Path, one: Path, raw: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    table = tmp_path / "table.csv"
    assert main([str(source), "--inspect", str(table)]) == 0
    assert not raw.exists()
    with table.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["case"], row["axes"], row["label_values"]) == ("LiQA_B1_0241", "RAS", "0 1")
    capsys.readouterr()
    assert main([str(source), "-d", "13", "--name", "Livers"]) == 0
    assert capsys.readouterr().out.strip().endswith("Dataset013_Livers")
    (one / "GED4.nii.gz").unlink()
    assert main([str(source), "--inspect"]) == 1
    assert "problem: case LiQA_B1_0241: found mask_GED4 without" in capsys.readouterr().out
    assert main([str(source / "nowhere"), "-d", "13"]) == 1
    assert "no such folder" in capsys.readouterr().err
