"""MyoPS++ in the layouts of all years, with every known defect, on downloads made up here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.case import Case, load_canonical
from nnunet_prompt.data.side_file import read_side_file
from nnunet_prompt.dataset_conversion.care.download import CareOptions
from nnunet_prompt.dataset_conversion.care.inspect import cases_of
from nnunet_prompt.dataset_conversion.care.myops import convert, examine, main
from nnunet_prompt.prompts.frames import canonical_map
from tests.dataset_conversion.care.examined import Findings, write_image
from tests.helpers.each import each
from tests.helpers.orientations import EIGHT
from tests.official_fixture import to_official

AFFINE = np.diag([-1.5, -1.5, 10.0, 1.0])
THREE = ("C0", "LGE", "T2")
VALUES = (0, 200, 500, 600, 1220, 2221)
STACK = CareOptions(stack_sequences=True)
LEVEL = {"C0": 100.0, "LGE": 200.0, "DE": 200.0, "T2": 300.0}
FINDINGS = Findings(examine)
found, only_problem = FINDINGS.all, FINDINGS.only_problem


def save(path: Path, array: npt.NDArray[Any], affine: npt.NDArray[np.float64] = AFFINE) -> None:
    write_image(path, array, affine)


def labels(
    values: Sequence[int] = VALUES, shape: tuple[int, int, int] = (8, 6, 3)
) -> npt.NDArray[np.int16]:
    return np.resize(np.array(values, np.int16), shape)


def patient(
    folder: Path,
    case: str = "Case2001",
    *,
    sequences: Sequence[str] = THREE,
    values: Sequence[int] = VALUES,
    ending: str = ".nii.gz",
) -> None:
    """A whole patient in one folder; each sequence has a level of its own."""
    for sequence in sequences:
        image = np.arange(144, dtype=np.float32).reshape(8, 6, 3) + LEVEL[sequence]
        save(folder / f"{case}_{sequence}{ending}", image)
    save(folder / f"{case}_gd{ending}", labels(values))


def case(source: Path, name: str, options: CareOptions = CareOptions()) -> Case:  # noqa: B008
    written = found(source, options)[name].case
    assert written is not None
    return written


def test_the_tree_of_2026(source: Path) -> None:
    root = source / "Myo_train" / "MyoPS_train"
    patient(root / "CenterA/Case1001", "Case1001", sequences=["LGE"], values=(0, 200, 500, 2221))
    patient(root / "CenterB/Case2001", "Case2001", ending=".nii")
    (source / "__MACOSX").mkdir()
    (source / "__MACOSX/._Case2001_C0.nii.gz").write_bytes(b"")
    (root / "CenterB/Case2001/._Case2001_C0.nii").write_bytes(b"")
    cases = {c.case_id: c for c in cases_of(examine(source))}
    assert list(cases) == ["Case1001_LGE", "Case2001_C0", "Case2001_LGE", "Case2001_T2"]
    assert cases["Case1001_LGE"].annotated == {"lv", "myocardium", "scar"}
    assert cases["Case2001_C0"].annotated == {"lv", "myocardium", "rv"}
    assert cases["Case2001_T2"].annotated == {"edema", "myocardium"}
    everything = {"lv", "rv", "myocardium", "myocardium_healthy", "edema", "scar"}
    assert cases["Case2001_LGE"].annotated == everything - {"edema"}
    assert all(cases[f"Case2001_{s}"].prompted == everything for s in THREE)
    assert cases["Case2001_T2"].side_information() == {
        "patient": "Case2001",
        "centre": "B",
        "source": "Myo_train/MyoPS_train/CenterB/Case2001/Case2001_T2.nii",
        "sequence": "T2",
        "task": "myops",
        "modality": "MR",
    }


def test_the_tree_of_2024(source: Path) -> None:
    patient(source / "train_data_pp/Case3001", "Case3001")
    patient(source / "train_data_pp/CaseX", "CaseX", sequences=["C0", "LGE"], values=(0, 200, 500))
    centres = {c.case_id: c.centre for c in cases_of(examine(source))}
    assert centres == {
        **{f"Case3001_{s}": "C" for s in THREE},
        "CaseX_C0": None,
        "CaseX_LGE": None,
    }
    assert case(source, "CaseX_LGE").annotated == {"lv", "myocardium", "scar"}


def test_the_tree_of_2020_calls_lge_de_and_keeps_labels_apart(source: Path) -> None:
    name = "myops_training_101"
    patient(source / "train25", name, sequences=["C0", "DE", "T2"])
    (source / "train25_myops_gd").mkdir()
    (source / f"train25/{name}_gd.nii.gz").rename(source / f"train25_myops_gd/{name}_gd.nii.gz")
    save(source / "test20/myops_test_201_DE.nii.gz", np.zeros((8, 6, 3), np.int16))
    every = found(source)
    assert every["myops_test_201"].inspection.left_out.startswith("no label map")
    assert [c.case_id for c in cases_of(examine(source))] == [f"{name}_{s}" for s in THREE]
    assert case(source, f"{name}_LGE").centre == "MyoPS2020"
    assert load_canonical(case(source, f"{name}_LGE")).images.min() == LEVEL["DE"]


def test_blanks_in_names_of_folders_and_files(source: Path) -> None:
    patient(source / "MyoPS (2025) train/Center B/Case 2001", "Case 2001")
    assert case(source, "Case_2001_C0").centre == "B"


@each("sequence", THREE)
def test_each_case_has_its_own_image_and_the_labels_of_the_patient(
    source: Path, sequence: str
) -> None:
    patient(source)
    loaded = load_canonical(case(source, f"Case2001_{sequence}"))
    assert loaded.images.shape == (1, 3, 6, 8) and loaded.images.min() == LEVEL[sequence]
    assert loaded.label is not None
    turn = canonical_map(AFFINE, (8, 6, 3))
    assert np.array_equal(turn.inverse().apply(to_official(loaded.label, "myops")), labels())


def test_labels_come_back_in_the_file_frame_in_any_orientation(source: Path) -> None:
    wanted = labels()
    for axes, flips in EIGHT:
        orientation = np.stack([axes, flips], axis=1)
        image = nib.Nifti1Image(wanted, AFFINE).as_reoriented(orientation)
        array = np.asarray(image.dataobj)
        for part in ("LGE", "T2", "gd"):
            save(source / f"Case2001_{part}.nii", array, image.affine)
        loaded = load_canonical(case(source, "Case2001_LGE"))
        assert loaded.label is not None
        back = canonical_map(image.affine, array.shape).inverse()
        assert np.array_equal(back.apply(to_official(loaded.label, "myops")), array)


def test_200_without_t2_is_unspecified_myocardium(source: Path) -> None:
    patient(source, sequences=["LGE"], values=(0, 200))
    label = load_canonical(case(source, "Case2001_LGE")).label
    assert label is not None and np.unique(label).tolist() == [0, 1]
    patient(source, values=(0, 200))
    label = load_canonical(case(source, "Case2001_LGE")).label
    assert label is not None and np.unique(label).tolist() == [0, 2]


def test_scar_stored_as_1(source: Path) -> None:
    patient(source / "CenterH", "Case8001", sequences=["LGE"], values=(0, 1))
    examined = found(source)["Case8001_LGE"]
    assert examined.inspection.notes == ("value 1 is read as 2221",)
    assert examined.case is not None and examined.case.annotated == {"scar"}
    label = load_canonical(examined.case).label
    assert label is not None
    assert np.unique(to_official(label, "myops")).tolist() == [0, 2221]


def test_scar_as_1_and_as_2221_in_one_file(source: Path) -> None:
    patient(source, values=(0, 1, 2221))
    assert "holds both 1 and 2221, expected one of them: ask the organisers" in only_problem(source)


def test_an_unknown_value(source: Path) -> None:
    patient(source, values=(0, 200, 1221))
    assert "the value 1221, expected only [0, 200, 500, 600, 1220, 2221]" in only_problem(source)
    allowed = CareOptions(unknown_to_background=True)
    label = load_canonical(case(source, "Case2001_T2", allowed)).label
    assert label is not None and np.unique(label).tolist() == [0, 2]
    notes = found(source, allowed)["Case2001_T2"].inspection.notes
    assert "unknown label values [1221] become background" in notes


def test_edema_without_t2(source: Path) -> None:
    patient(source, sequences=["C0", "LGE"])
    assert only_problem(source).startswith("edema (1220) is labelled without T2")


def test_a_float_mask_is_rounded_and_a_probability_refused(source: Path) -> None:
    patient(source)
    save(source / "Case2001_gd.nii.gz", labels().astype(np.float32) + np.float32(5e-4))
    examined = found(source)["Case2001_LGE"]
    assert examined.inspection.notes == ("the label map has type float32 and is rounded",)
    assert examined.inspection.label_values == VALUES
    for wrong in (0.5, np.nan):
        save(source / "Case2001_gd.nii.gz", np.full((8, 6, 3), wrong, np.float32))
        assert "label values must be integers, found" in only_problem(source)


def test_a_trailing_fourth_axis(source: Path) -> None:
    patient(source)
    save(source / "Case2001_T2.nii.gz", np.ones((8, 6, 3, 1), np.float32))
    examined = found(source)["Case2001_T2"]
    assert examined.inspection.shape == (8, 6, 3, 1)
    assert examined.case is not None
    assert load_canonical(examined.case).images.shape == (1, 3, 6, 8)


def test_a_cine_in_place_of_a_volume(source: Path) -> None:
    patient(source)
    save(source / "Case2001_C0.nii.gz", np.ones((8, 6, 3, 30), np.int16))
    assert "expected one volume, found shape (8, 6, 3, 30)" in only_problem(source)
    assert [c.case_id for c in cases_of(examine(source))] == ["Case2001_LGE", "Case2001_T2"]


def test_a_stack_of_one_slice(source: Path) -> None:
    for part in ("LGE", "gd"):
        save(source / f"Case1_{part}.nii", labels((0, 200, 500), (8, 6, 1)))
    examined = found(source)["Case1_LGE"]
    assert "a stack of one slice" in examined.inspection.notes
    assert examined.case is not None
    assert load_canonical(examined.case).images.shape == (1, 1, 6, 8)


def test_slices_of_1_mm_are_a_suspect_header(source: Path) -> None:
    affine = np.diag([1.3, 1.3, 1.0, 1.0])
    for part in ("LGE", "gd"):
        save(source / f"Case1_{part}.nii", labels((0, 200, 500)), affine)
    assert "slices of 1 mm: a suspect header, kept as it is" in (
        found(source)["Case1_LGE"].inspection.notes
    )


def test_labels_of_the_same_shape_take_the_geometry_of_lge(source: Path) -> None:
    patient(source, sequences=["LGE", "T2"])
    save(source / "Case2001_gd.nii.gz", labels(), np.diag([-1.5, -1.5, 8.0, 1.0]))
    examined = found(source)["Case2001_LGE"]
    assert examined.inspection.agreement == "affine differs"
    assert "the label map takes the geometry of LGE (same shape, another affine)" in (
        examined.inspection.notes
    )
    for name in ("Case2001_LGE", "Case2001_T2"):
        loaded = load_canonical(case(source, name))
        assert loaded.label is not None
        assert np.linalg.norm(loaded.affine[:3, 0]) == 10.0
        assert sorted(np.unique(loaded.label)) == [0, 2, 3, 4, 5, 6]


def test_labels_of_another_shape_are_resampled_to_lge(source: Path) -> None:
    patient(source, sequences=["LGE"], values=(0, 200, 500))
    half = np.diag([-1.5, -1.5, 20.0, 1.0])
    half[2, 3] = 5.0  # two slices of 20 mm, from -5 to 35 mm, where LGE has three of 10 mm
    wide = np.stack([np.full((8, 6), 200, np.int16), np.full((8, 6), 500, np.int16)], axis=2)
    save(source / "Case2001_gd.nii.gz", wide, half)
    examined = found(source)["Case2001_LGE"]
    assert examined.inspection.agreement == "shape differs"
    assert "the label map, shape (8, 6, 2), is resampled to LGE by nearest neighbour" in (
        examined.inspection.notes
    )
    assert examined.case is not None
    label = load_canonical(examined.case).label
    assert label is not None and label[:, 0, 0].tolist() == [1, 1, 3]


def test_a_sequence_on_another_grid_is_resampled_to_the_labels(source: Path) -> None:
    patient(source)
    fine = np.diag([-1.5, -1.5, 5.0, 1.0])
    rising = np.broadcast_to(np.arange(5, dtype=np.float32), (8, 6, 5))
    save(source / "Case2001_T2.nii.gz", rising, fine)
    examined = found(source)["Case2001_T2"]
    assert examined.inspection.agreement == "shape differs"
    assert examined.inspection.shape == (8, 6, 5)
    assert examined.inspection.notes == (
        "T2, shape (8, 6, 5), is resampled to the grid of the labels",
    )
    assert examined.case is not None
    loaded = load_canonical(examined.case)
    assert loaded.images[0, :, 2, 2].tolist() == [0, 2, 4]
    assert found(source)["Case2001_C0"].inspection.agreement == "same"


def test_a_sequence_of_the_same_shape_takes_the_geometry_of_the_labels(source: Path) -> None:
    patient(source)
    moved = AFFINE.copy()
    moved[0, 3] = 40.0
    save(source / "Case2001_C0.nii.gz", np.full((8, 6, 3), 5, np.int16), moved)
    examined = found(source)["Case2001_C0"]
    assert examined.inspection.notes == (
        "C0 takes the geometry of the labels (same shape, another affine)",
    )
    assert examined.case is not None
    loaded = load_canonical(examined.case)
    assert (loaded.images == 5).all() and loaded.affine[0, 3] > -12  # LGE ends at -10.5 mm


def test_of_the_unaligned_copy_the_affines_count(source: Path) -> None:
    patient(source)
    up = AFFINE.copy()
    up[2, 3] = 10.0
    image = np.broadcast_to(np.array([1, 2, 3], np.int16), (8, 6, 3))
    save(source / "Case2001_C0.nii.gz", image, up)
    for unaligned, wanted in ((False, [1, 2, 3]), (True, [0, 1, 2])):
        examined = found(source, CareOptions(unaligned=unaligned))["Case2001_C0"]
        assert examined.case is not None
        assert load_canonical(examined.case).images[0, :, 2, 2].tolist() == wanted
        resampled = "C0, shape (8, 6, 3), is resampled to the grid of the labels"
        assert (resampled in examined.inspection.notes) == unaligned


def test_what_lies_apart_is_left_out(source: Path) -> None:
    patient(source)
    far = AFFINE.copy()
    far[2, 3] = 500.0
    save(source / "Case2001_T2.nii.gz", np.zeros((8, 6, 4), np.int16), far)
    every = found(source)
    assert every["Case2001_T2"].inspection.left_out == (
        "Case2001_T2.nii.gz and the label map do not overlap in space (their shapes differ, too)"
    )
    assert not every["Case2001_T2"].inspection.problems
    assert [c.case_id for c in cases_of(examine(source))] == ["Case2001_C0", "Case2001_LGE"]
    save(source / "Case2001_gd.nii.gz", labels(shape=(8, 6, 4)), -far)
    assert not list(cases_of(examine(source)))


def test_two_copies_need_a_version_root(source: Path, raw: Path) -> None:
    for copy in ("aligned", "unaligned"):
        patient(source / copy / "CenterB/Case2001")
    with pytest.raises(DatasetError, match=r"two copies of one file.*--version-root"):
        list(examine(source))
    options = CareOptions(version_root=Path("aligned"))
    folder = convert(source, 9, options=options)
    assert all(c["source"].startswith("aligned/") for c in read_side_file(folder).values())


def test_the_grid_of_a_case_without_labels(source: Path) -> None:
    save(source / "Case1009_LGE.nii.gz", np.zeros((8, 6, 3), np.int16))
    save(source / "Case1009_C0.nii.gz", np.zeros((9, 6, 4, 1), np.int16), np.diag([2, 1, 8, 1]))
    inspection = found(source)["Case1009"].inspection
    assert inspection.left_out.startswith("no label map") and inspection.problems == ()
    assert inspection.files == ("Case1009_C0.nii.gz", "Case1009_LGE.nii.gz")  # that of the first
    assert inspection.shape == (9, 6, 4, 1) and inspection.spacing_mm == (2.0, 1.0, 8.0)
    assert (inspection.axes, inspection.dtype) == ("RAS", "int16")
    (source / "Case1009_C0.nii.gz").write_bytes(b"")
    (problem,) = found(source)["Case1009"].inspection.problems
    assert "Case1009_C0.nii.gz" in problem


@each("year", ["CineMyoPS", "elsewhere"])
def test_cine_myops_is_another_sub_task(source: Path, year: str) -> None:
    save(source / f"{year}/Case1_Cine.nii.gz", np.zeros((8, 6, 3, 2), np.int16))
    save(source / f"{year}/Case1_gd.nii.gz", labels((0, 200, 500)))
    examined = found(source)["Case1"]
    assert examined.inspection.left_out.startswith("a case of CineMyoPS")
    assert examined.inspection.problems == ()


@each(
    ("gone", "match"),
    [
        (["C0", "LGE", "T2"], "a label map without images"),
        (["LGE"], "found C0, T2 without LGE, on whose grid the labels lie"),
    ],
)
def test_images_that_are_missing(source: Path, gone: list[str], match: str) -> None:
    patient(source)
    for part in gone:
        (source / f"Case2001_{part}.nii.gz").unlink()
    assert match in only_problem(source)


def test_a_file_of_another_name(source: Path) -> None:
    patient(source)
    save(source / "Case2001_T1.nii.gz", labels())
    assert only_problem(source) == "expected a name that ends in _C0, _LGE, _DE, _T2 or _gd"


def test_a_damaged_file(source: Path) -> None:
    patient(source)
    (source / "Case2001_gd.nii.gz").write_bytes(b"no gzip")
    assert "Case2001_gd.nii.gz: cannot be read as NIfTI" in only_problem(source)


def test_the_data_set(source: Path, raw: Path) -> None:
    patient(source / "CenterB/Case2001")
    patient(source / "CenterH", "Case8001", sequences=["LGE"], values=(0, 1))
    save(source / "val/Case1009_LGE.nii.gz", labels())
    folder = convert(source, 501)
    assert folder == raw / "Dataset501_MyoPS"
    content = json.loads((folder / "dataset.json").read_text())
    assert content["channel_names"] == {"0": "image"}
    assert content["numTraining"] == 4
    assert list(content["labels"]) == [
        *("background", "myocardium", "myocardium_healthy", "lv", "rv", "edema", "scar")
    ]
    cases = content["nnunet_prompt"]["cases"]
    everything = ["edema", "lv", "myocardium", "myocardium_healthy", "rv", "scar"]
    assert cases["Case2001_T2"] == {"annotated": ["edema", "myocardium"], "prompted": everything}
    assert cases["Case8001_LGE"] == {"annotated": ["scar"]}
    for word in ("centre", "patient", "CenterB", "Myo", "sequence"):
        assert word not in json.dumps(content["nnunet_prompt"]["cases"])
    report = json.loads((folder / "conversion_report.json").read_text())
    assert (report["written"], report["left_out"]) == (4, 1)
    assert report["cases"]["Case8001_LGE"]["done"] == ["value 1 is read as 2221"]
    assert report["cases"]["Case1009"]["left_out"].startswith("no label map")


def test_stacked_sequences(source: Path, raw: Path) -> None:
    patient(source / "CenterB/Case2001")
    patient(source / "CenterE/Case5001", "Case5001", sequences=["C0", "LGE"], values=(0, 200, 500))
    folder = convert(source, 502, options=STACK)
    content = json.loads((folder / "dataset.json").read_text())
    assert content["channel_names"] == {"0": "C0", "1": "LGE", "2": "T2"}
    assert sorted(p.name for p in (folder / "labelsTr").iterdir()) == [
        "Case2001.nii.gz",
        "Case5001.nii.gz",
    ]
    cases = content["nnunet_prompt"]["cases"]
    assert cases["Case2001"]["annotated"] == [
        *("edema", "lv", "myocardium", "myocardium_healthy", "rv", "scar")
    ]
    assert cases["Case5001"]["annotated"] == ["lv", "myocardium", "rv", "scar"]
    for channel, level in enumerate((100, 200, 0)):
        image = nib.load(folder / f"imagesTr/Case5001_{channel:04d}.nii.gz")
        assert np.asarray(image.dataobj).min() == level
    assert read_side_file(folder)["Case5001"]["sequence"] == "C0+LGE"
    report = json.loads((folder / "conversion_report.json").read_text())
    assert report["cases"]["Case5001"]["done"] == ["T2 is missing and becomes zeros"]


def test_stacked_sequences_come_to_one_grid(source: Path) -> None:
    patient(source)
    turned = nib.Nifti1Image(np.full((8, 6, 3), 7, np.int16), AFFINE).as_reoriented(
        np.array([[1, 1], [2, -1], [0, 1]])
    )
    turned.to_filename(source / "Case2001_C0.nii.gz")
    far = AFFINE.copy()
    far[2, 3] = 500.0
    save(source / "Case2001_T2.nii.gz", np.ones((8, 6, 4), np.int16), far)
    examined = found(source, STACK)["Case2001"]
    assert examined.inspection.notes == (
        "T2 is left out: Case2001_T2.nii.gz and the label map do not overlap in space"
        " (their shapes differ, too)",
        "T2 is missing and becomes zeros",
    )
    assert examined.case is not None
    assert examined.case.sequence == "C0+LGE"
    images = load_canonical(examined.case).images
    assert images.shape == (3, 3, 6, 8)
    assert (images[0] == 7).all() and images[1].min() == 200 and not images[2].any()


def test_the_command(source: Path, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    patient(source / "CenterB/Case2001")
    assert main([str(source), "-d", "5", "--name", "Mine", "--stack-sequences"]) == 0
    assert capsys.readouterr().out.strip() == str(raw / "Dataset005_Mine")
    patient(source / "CenterB/Case2002", "Case2002", values=(0, 7))
    assert main([str(source), "-d", "6"]) == 1
    error = capsys.readouterr().err
    assert "error: case Case2002_C0: the label map holds the value 7" in error
    assert "--leave-out" in error and not (raw / "Dataset006_MyoPS").exists()
    assert main([str(source), "-d", "6", "--leave-out"]) == 0


def test_inspection_writes_no_data_set(
    source: Path, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patient(source / "CenterB/Case2001")
    table = source.parent / "table.csv"
    assert main([str(source), "--inspect", str(table)]) == 0
    assert table.read_text().startswith("case,files,shape,spacing_mm,axes,dtype,label_values")
    patient(source / "CenterB/Case2002", "Case2002", values=(0, 7))
    assert main([str(source), "--inspect"]) == 1
    assert "problem: case Case2002_T2: the label map holds the value 7" in capsys.readouterr().out
    assert main([str(source / "nowhere"), "--inspect"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "error: " in error and "nowhere: no such folder" in error
    assert not raw.exists()
