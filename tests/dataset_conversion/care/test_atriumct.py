"""The left atrium in CT, in the names of the page and of the download, on downloads made here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.case import load_canonical
from nnunet_prompt.dataset_conversion.care.atriumct import (
    OTHER_TASK,
    UNLABELLED,
    convert,
    examine,
    main,
)
from nnunet_prompt.dataset_conversion.care.detect import tasks_of
from nnunet_prompt.dataset_conversion.care.inspect import cases_of
from nnunet_prompt.dataset_conversion.care.lascarqs import examine as examine_mr
from nnunet_prompt.prompts.frames import canonical_map
from tests.dataset_conversion.care.examined import Findings, write_image
from tests.helpers.each import each

pytestmark = pytest.mark.slow

AFFINE = np.diag([-0.4, -0.4, 0.5, 1.0])
SHAPE = (8, 10, 4)
ROOT = "cardiac anatomy segmentation（CT）"
FINDINGS = Findings(examine)
found, only_problem = FINDINGS.all, FINDINGS.only_problem


def labels(*values: int) -> npt.NDArray[np.uint8]:
    return np.resize(np.array(values or (0, 1, 2, 3), np.uint8), SHAPE)


def patient(folder: Path, *, page: bool = False, values: tuple[int, ...] = (0, 1, 2, 3)) -> None:
    """A case, by the names of the page or of the download; without values it has no label map."""
    number = int(folder.name.rpartition("_")[2])
    image, label = (
        ("enhanced", "cardiacSegImgMO") if page else (f"{number:04d}", f"label_{number:04d}")
    )
    voxels = np.random.default_rng(number).integers(-900, 500, SHAPE).astype(np.int16)
    write_image(folder / f"{image}.nii.gz", voxels, AFFINE)
    if values:
        write_image(folder / f"{label}.nii.gz", labels(*values), AFFINE)


@each("page", [False, True])
def test_both_forms_of_names(source: Path, page: bool) -> None:
    patient(source / ROOT / "train_data/train_50", page=page)
    patient(source / ROOT / "train_data/train_7", page=page, values=())
    patient(source / ROOT / "val_data/val_1", page=page, values=())
    (source / ROOT / "train_data/train_50/._0050.nii.gz").write_bytes(b"")
    cases = list(cases_of(examine(source)))
    assert [case.case_id for case in cases] == ["LAct_050"]
    assert cases[0].side_information() == {
        "patient": "LAct_050",
        "centre": "D",
        "source": f"{ROOT}/train_data/train_50/{'enhanced' if page else '0050'}.nii.gz",
        "sequence": "CT",
        "task": "atriumct",
        "modality": "CT",
    }
    left_out = {name: e.inspection.left_out for name, e in found(source).items()}
    assert left_out == {
        "LAct_050": "",
        "LAct_007": UNLABELLED,
        "LAct_val_001": "no label map (a validation or test case)",
    }


def test_the_three_structures_become_labels(source: Path, raw: Path) -> None:
    patient(source / "train_data/train_1")
    patient(source / "train_data/train_2", values=(0, 1, 2))
    folder = convert(source, 5)
    description = json.loads((folder / "dataset.json").read_text())
    block = description["nnunet_prompt"]
    assert folder.name == "Dataset005_AtriumCT"
    assert {n: s["official"] for n, s in block["structures"].items()} == {
        "la": 1,
        "pulmonary_veins": 2,
        "la_appendage": 3,
    }
    assert block["cases"]["LAct_002"]["annotated"] == ["la", "pulmonary_veins"]
    (note,) = found(source)["LAct_002"].inspection.notes
    assert note == "la_appendage is not in the label map and counts as unknown"
    (first, _) = cases_of(examine(source))
    label = load_canonical(first).label
    assert label is not None
    back = canonical_map(AFFINE, SHAPE).inverse().apply(label)
    assert np.array_equal(back, labels())


def test_each_converter_leaves_the_cases_of_the_other(source: Path) -> None:
    patient(source / ROOT / "train_data/train_1")
    mr = source / "LA cavity segmentation（MRI）/train_data/train_1"
    write_image(mr / "enhanced.nii.gz", labels(), AFFINE)
    write_image(mr / "atriumSegImgMO.nii.gz", labels(0, 1), AFFINE)
    write_image(source / "LA（MRI）/val_data/val_1/enhanced.nii.gz", labels(), AFFINE)
    of_ct = {name: e.inspection.left_out for name, e in found(source).items()}
    assert of_ct.pop("LAct_001") == ""
    assert set(of_ct.values()) == {OTHER_TASK} and len(of_ct) == 2
    reasons = [e.inspection.left_out for e in examine_mr(source)]
    assert "a case of the CT task, which `convert atriumct` reads" in reasons


@each(
    ("edit", "line"),
    [
        (lambda f: (f / "0001.nii.gz").unlink(), "a label map without an image"),
        (lambda f: (f / "0001.nii.gz").rename(f / "0002.nii.gz"), r"numbers [1, 2] in the folder"),
        (lambda f: (f / "0001.nii.gz").rename(f / "scan.nii.gz"), "found the file 'scan.nii.gz'"),
        (lambda f: f.rename(f.with_name("patient one")), "found the folder 'patient one'"),
        (lambda f: write_image(f / "label_0001.nii.gz", labels(0, 1, 4), AFFINE), "the value 4"),
        (lambda f: write_image(f / "label_0001.nii.gz", labels(0), AFFINE), "is empty"),
        (lambda f: (f / "0001.nii.gz").write_bytes(b"no"), "0001.nii.gz"),
    ],
)  # fmt: skip
def test_what_is_not_documented_is_a_problem(source: Path, edit: object, line: str) -> None:
    patient(source / "train_data/train_1")
    edit(source / "train_data/train_1")  # type: ignore[operator]
    assert line in only_problem(source)


def test_two_copies_of_a_case(source: Path) -> None:
    for folder in ("a", "b"):
        patient(source / folder / "train_1")
    with pytest.raises(DatasetError, match="two copies of one file"):
        list(examine(source))


def test_a_label_map_on_another_grid_is_brought_to_the_image(source: Path) -> None:
    patient(source / "train_1")
    write_image(source / "train_1/label_0001.nii.gz", labels()[:, ::2], AFFINE)
    (case,) = cases_of(examine(source))
    label = load_canonical(case).label
    assert label is not None and sorted(label.shape) == sorted(SHAPE)
    assert "resampled to the image" in found(source)["LAct_001"].inspection.notes[-1]


def test_the_unified_set_does_not_take_it(source: Path) -> None:
    patient(source / "train_data/train_1")
    with pytest.raises(DatasetError, match="no file is named as in MyoPS"):
        tasks_of([source])


def test_the_script(source: Path, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    patient(source / "train_1")
    assert main([str(source), "-d", "7"]) == 0
    assert (raw / "Dataset007_AtriumCT/labelsTr/LAct_001.nii.gz").is_file()
    assert main([str(source / "nothing"), "-d", "7"]) == 1
    assert "no such folder" in capsys.readouterr().err
