"""Inspection records, the table, the CSV, and the report of a conversion."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from rich.console import Console

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.care_labels import table_for
from nnunet_prompt.data.case import Case
from nnunet_prompt.data.raw import RawTarget
from nnunet_prompt.dataset_conversion.care import inspect
from nnunet_prompt.dataset_conversion.care.inspect import (
    Examined,
    Inspection,
    cases_of,
    geometry,
    inspect_download,
    messages,
    summary,
    write_csv,
    write_examined,
)
from tests.helpers.each import each
from tests.helpers.schemas import check_form

GOOD = Inspection(
    "a_LGE",
    ("A ct/a.nii", "a_gd.nii"),
    (4, 5, 3),
    (1.5, 1.5, 10.0),
    "LPS",
    "int16",
    (0, 1),
    "same",
    ("liver",),
    "A",
    ("value 421 is read as 420",),
)
BAD = Inspection("b", problems=("the label map holds the value 7, expected [0, 1]", "and more"))
OUT = Inspection("c", left_out="no label map")


def console() -> Console:
    return Console(file=io.StringIO(), width=300)


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def liver(folder: Path, name: str) -> Case:
    for part, value in (("image", 3.5), ("label", 1)):
        array = np.full((3, 4, 2), value, np.float32)
        array[0, 0, 0] = np.nan if part == "image" else 0
        nib.Nifti1Image(array, np.eye(4)).to_filename(folder / f"{name}_{part}.nii")
    return Case(name, (folder / f"{name}_image.nii",), folder / f"{name}_label.nii")


def test_the_table_and_the_messages(tmp_path: Path) -> None:
    out = console()
    assert inspect_download([Examined(i) for i in (GOOD, BAD, OUT)], console=out) == 1
    lines = text(out).splitlines()
    assert lines[0].split() == [
        *("case", "shape", "spacing_mm", "axes", "dtype", "label_values", "agreement"),
        *("annotated", "centre", "state"),
    ]
    assert lines[1].split() == "a_LGE 4x5x3 1.5x1.5x10 LPS int16 0 1 same liver A note".split()
    assert lines[4:] == [
        "note: case a_LGE: value 421 is read as 420",
        "problem: case b: the label map holds the value 7, expected [0, 1]",
        "problem: case b: and more",
        "left out: case c: no label map",
        "3 cases, 1 left out, 1 bad",
    ]


@each(("found", "code"), [([GOOD, OUT], 0), ([GOOD, BAD], 1), ([], 0)])
def test_the_exit_code(found: list[Inspection], code: int) -> None:
    assert inspect_download([Examined(i) for i in found], console=console()) == code


def test_the_csv_has_every_column(tmp_path: Path) -> None:
    write_csv(tmp_path / "new" / "table.csv", [GOOD, BAD])
    with (tmp_path / "new" / "table.csv").open(newline="", encoding="utf-8") as file:
        good, bad = csv.DictReader(file)
    assert good == {
        "case": "a_LGE",
        "files": "A ct/a.nii a_gd.nii",
        "shape": "4x5x3",
        "spacing_mm": "1.5x1.5x10",
        "axes": "LPS",
        "dtype": "int16",
        "label_values": "0 1",
        "agreement": "same",
        "annotated": "liver",
        "centre": "A",
        "notes": "value 421 is read as 420",
        "left_out": "",
        "problems": "",
    }
    assert bad["problems"] == "the label map holds the value 7, expected [0, 1]; and more"


def test_voxels_that_are_not_finite_are_noted(tmp_path: Path) -> None:
    out = console()
    found = Examined(Inspection("a"), liver(tmp_path, "a"))
    assert inspect_download([found], console=out) == 0
    assert "note: case a: a_image.nii: 1 voxels are not finite and become 0" in text(out)


def test_an_image_without_readable_voxels_is_a_problem(tmp_path: Path) -> None:
    case = liver(tmp_path, "a")
    path = tmp_path / "a_image.nii"
    path.write_bytes(path.read_bytes()[:-8])
    out = console()
    assert inspect_download([Examined(Inspection("a"), case)], console=out) == 1
    assert "problem: case a: " in text(out) and "a_image.nii" in text(out)


def test_geometry_of_a_file(tmp_path: Path) -> None:
    affine = np.diag([-1.5, -1.5, 10.0, 1.0])
    nib.Nifti1Image(np.zeros((4, 5, 3, 1), np.int16), affine).to_filename(tmp_path / "a.nii")
    found = geometry(Inspection("a"), tmp_path / "a.nii")
    assert (found.shape, found.spacing_mm) == ((4, 5, 3, 1), (1.5, 1.5, 10.0))
    assert (found.axes, found.dtype, found.problems) == ("LPS", "int16", ())
    (problem,) = geometry(Inspection("a"), tmp_path / "b.nii").problems
    assert problem == f"{tmp_path / 'b.nii'}: no such file"


def test_a_conversion_writes_a_report(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    target = RawTarget(7, "Liver", tmp_path)
    found = [Examined(GOOD, liver(tmp_path, "a_LGE")), Examined(OUT)]
    folder = write_examined(found, target, table=table_for("liqa"))
    assert (folder / "labelsTr" / "a_LGE.nii.gz").is_file()
    assert json.loads((folder / "conversion_report.json").read_text()) == {
        "version": 1,
        "written": 1,
        "left_out": 1,
        "cases": {
            "a_LGE": {
                "files": ["A ct/a.nii", "a_gd.nii"],
                "done": ["value 421 is read as 420"],
                "agreement": "same",
                "annotated": ["liver"],
                "voxels_not_finite": 1,
            },
            "c": {"files": [], "done": [], "left_out": "no label map"},
        },
    }
    check_form("conversion_report", folder / "conversion_report.json")
    lines = caplog.messages
    assert "note: value 421 is read as 420 (1 case: a_LGE)" in lines
    assert "left out: no label map (1 case: c)" in lines


def test_the_report_of_a_conversion_that_goes_on_counts_the_cases_that_are_kept(
    tmp_path: Path,
) -> None:
    target = RawTarget(7, "Liver", tmp_path)
    cases = [Examined(Inspection(n), liver(tmp_path, n)) for n in ("a", "b")]
    folder = write_examined(cases, target, table=table_for("liqa"))
    first = (folder / "conversion_report.json").read_bytes()
    (folder / "imagesTr" / "b_0000.nii.gz").unlink()
    (folder / "conversion_report.json").unlink()
    write_examined(cases, target, table=table_for("liqa"))
    assert (folder / "conversion_report.json").read_bytes() == first
    assert first.count(b'"voxels_not_finite": 1') == 2


def test_a_data_set_without_its_report_is_not_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **more: object) -> None:
        raise OSError("no space left on device")

    target = RawTarget(7, "Liver", tmp_path)
    cases = [Examined(Inspection("a"), liver(tmp_path, "a"))]
    with monkeypatch.context() as change:
        change.setattr(inspect, "write_report", full)
        with pytest.raises(OSError, match="no space"):
            write_examined(cases, target, table=table_for("liqa"))
    assert not (target.folder / "dataset.json").exists()
    folder = write_examined(cases, target, table=table_for("liqa"))
    report = json.loads((folder / "conversion_report.json").read_text())
    assert report["cases"]["a"]["voxels_not_finite"] == 1  # of a case that was kept
    assert (folder / "dataset.json").is_file()


@each("workers", ["1", "4"])
def test_records_stay_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    monkeypatch.setenv("nnUNet_def_n_proc", workers)
    names = [f"c{k}" for k in (3, 1, 2, 9, 0, 5, 4)]
    cases = [Examined(Inspection(n), liver(tmp_path, n)) for n in names]
    out = console()
    assert inspect_download(cases, tmp_path / "t.csv", console=out) == 0
    notes = [line.split()[2] for line in text(out).splitlines() if line.startswith("note:")]
    assert notes == [f"{n}:" for n in names]
    folder = write_examined(cases, RawTarget(7, "Liver", tmp_path), table=table_for("liqa"))
    report = json.loads((folder / "conversion_report.json").read_text())
    assert list(report["cases"]) == names
    assert list(cases_of(cases)) == [e.case for e in cases]


def test_a_summary_says_everything_once() -> None:
    odd = Inspection("odd", notes=("a suspect header",), problems=("no scar",))
    many = [Inspection(f"c{k}", notes=("a suspect header",), left_out="") for k in range(6)]
    assert summary([odd, *many, OUT]) == [
        "note: a suspect header (7 cases: odd, c0, c1, c2, c3, ...)",
        "left out: no scar (1 case: odd)",
        "left out: no label map (1 case: c)",
    ]
    assert summary([]) == []


def test_a_problem_stops_before_anything_is_written(tmp_path: Path) -> None:
    target = RawTarget(7, "Liver", tmp_path / "raw")
    found = [Examined(GOOD, liver(tmp_path, "a_LGE")), Examined(BAD), Examined(BAD)]
    with pytest.raises(
        DatasetError, match=r"^case b: the label map holds the value 7.*1 more"
    ) as e:
        write_examined(found, target, table=table_for("liqa"))
    assert "\n" not in str(e.value) and not (tmp_path / "raw").exists()
    folder = write_examined(found, target, table=table_for("liqa"), leave_out=True)
    report = json.loads((folder / "conversion_report.json").read_text())
    assert report["cases"]["b"]["left_out"] == "; ".join(BAD.problems)
    check_form("conversion_report", report)


def test_nothing_left_to_write(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="data set Liver: no case is left to write"):
        write_examined([Examined(OUT)], RawTarget(7, "Liver", tmp_path), table=table_for("liqa"))


def test_one_line_per_message() -> None:
    assert messages([GOOD, OUT]) == [
        "note: case a_LGE: value 421 is read as 420",
        "left out: case c: no label map",
    ]
