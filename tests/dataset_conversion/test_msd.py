"""The Medical Segmentation Decathlon layout, on folders made up here."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.common.errors import DatasetError, ImageError
from nnunet_prompt.data.side_file import read_side_file
from nnunet_prompt.dataset_conversion.msd import convert, main, msd_cases
from tests.helpers.each import each

AFFINE = np.diag([1.0, 1.0, 4.0, 1.0])
JSON: dict[str, Any] = {
    "name": "Two Lobes!",
    "reference": "somebody",
    "licence": "CC-BY-SA 4.0",
    "modality": {"0": "FLAIR", "1": "CT"},
    "labels": {"0": "background", "1": "front", "2": "back"},
    "training": [
        {"image": "./imagesTr/x_001.nii.gz", "label": "./labelsTr/x_001.nii.gz"},
        {"image": "./imagesTr/._x_001.nii.gz", "label": "./labelsTr/._x_001.nii.gz"},
        {"image": "./imagesTr/x_002.nii.gz", "label": "./labelsTr/x_002.nii.gz"},
    ],
    "test": ["./imagesTs/x_003.nii.gz"],
}


def layout(root: Path, **changes: Any) -> Path:
    source = root / "Task99_Lobes"
    for part in ("imagesTr", "labelsTr"):
        (source / part).mkdir(parents=True)
    for n in (1, 2):
        image = np.full((3, 4, 2, 2), n, np.float32) + np.array([0, 10], np.float32)
        nib.Nifti1Image(image, AFFINE).to_filename(source / f"imagesTr/x_00{n}.nii.gz")
        label = np.arange(24).reshape(3, 4, 2) % 3
        nib.Nifti1Image(label.astype(np.uint8), AFFINE).to_filename(
            source / f"labelsTr/x_00{n}.nii.gz"
        )
    (source / "imagesTr/._x_001.nii.gz").write_bytes(b"resource fork")
    content = {k: v for k, v in {**JSON, **changes}.items() if v is not None}
    (source / "dataset.json").write_text(json.dumps(content))
    return source


def test_a_data_set_of_two_modalities(tmp_path: Path, raw: Path) -> None:
    folder = convert(layout(tmp_path), 77)
    assert folder == raw / "Dataset077_Two_Lobes"
    content = json.loads((folder / "dataset.json").read_text())
    assert content["channel_names"] == {"0": "FLAIR", "1": "CT"}
    assert content["labels"] == {"background": 0, "front": 1, "back": 2}
    assert (content["numTraining"], content["licence"]) == (2, "CC-BY-SA 4.0")
    assert content["nnunet_prompt"]["orientation"] == "canonical"
    assert content["nnunet_prompt"]["cases"] == {}
    assert read_side_file(folder)["x_002"] == {"source": "./imagesTr/x_002.nii.gz"}
    for case, channel, value in (("x_001", 0, 1), ("x_001", 1, 11), ("x_002", 1, 12)):
        image = nib.load(folder / f"imagesTr/{case}_{channel:04d}.nii.gz")
        assert image.shape == (3, 4, 2)
        assert np.unique(np.asarray(image.dataobj)).tolist() == [value]
    assert sorted(p.name for p in (folder / "labelsTr").iterdir()) == [
        "x_001.nii.gz",
        "x_002.nii.gz",
    ]


def test_values_that_are_not_contiguous_become_so(tmp_path: Path, raw: Path) -> None:
    source = layout(tmp_path, labels={"2": "back", "1": "front", "0": "background", "7": "never"})
    block = json.loads((convert(source, 1, name="Lobes") / "dataset.json").read_text())[
        "nnunet_prompt"
    ]
    assert block["structures"]["never"] == {"label": 3, "members": [3], "official": 7}


@each(
    ("changes", "match"),
    [
        ({"labels": None}, "labels must be"),
        ({"labels": {"background": 0, "front": 1}}, "nnU-Net raw have a converter of their own"),
        ({"labels": {"0": "background"}}, "each value above 0 once"),
        ({"labels": {"1": "a", "2": "a"}}, "each value above 0 once"),
        ({"labels": ["background"]}, "labels must be"),
        ({"modality": None}, "modality must be"),
        ({"modality": {"1": "T1"}}, r"number its names from 0, found \[1\]"),
        ({"modality": {"0": "T1"}}, "holds 2 volumes, dataset.json names 1 modalities"),
        ({"training": None}, "training must list"),
        ({"training": []}, "training must list"),
        ({"training": ["./imagesTr/x_001.nii.gz"]}, r"training\[0\] must be"),
        (
            {"training": [{"image": "../a.nii.gz", "label": "l"}]},
            r"training\[0\].image: .* outside",
        ),
        ({"labels": {"0": "background", "1": "front"}}, "holds the label value 2"),
    ],
)
def test_what_is_not_of_this_layout(
    tmp_path: Path, raw: Path, changes: dict[str, Any], match: str
) -> None:
    with pytest.raises(DatasetError, match=match) as caught:
        convert(layout(tmp_path, **changes), 77)
    assert "\n" not in str(caught.value)


def test_one_file_per_modality_as_nnunet_v1_has_them(tmp_path: Path, raw: Path) -> None:
    source = layout(tmp_path)
    for path in sorted(source.glob("imagesTr/x_*")):
        image = nib.load(path)
        for channel in (0, 1):
            name = path.name.replace(".nii.gz", f"_{channel:04d}.nii.gz")
            data = np.asarray(image.dataobj)[..., channel]
            nib.Nifti1Image(data, AFFINE).to_filename(path.with_name(name))
        path.unlink()
    folder = convert(source, 78)
    for case, channel, value in (("x_001", 0, 1), ("x_002", 1, 12)):
        stored = nib.load(folder / f"imagesTr/{case}_{channel:04d}.nii.gz")
        assert np.unique(np.asarray(stored.dataobj)).tolist() == [value]
    (source / "imagesTr/x_002_0001.nii.gz").unlink()
    with pytest.raises(DatasetError, match=r"x_002_0001.nii.gz: no such file"):
        list(msd_cases(source))


def test_files_may_be_links_and_paths_those_of_windows(tmp_path: Path) -> None:
    entry = {"image": ".\\imagesTr\\x_001.nii.gz", "label": "labelsTr/./x_001.nii.gz"}
    source = layout(tmp_path, training=[entry])
    image = source / "imagesTr/x_001.nii.gz"
    image.rename(tmp_path / "annex.nii.gz")
    image.symlink_to(tmp_path / "annex.nii.gz")
    (case,) = msd_cases(source)
    assert case.case_id == "x_001"


def test_an_entry_of_another_format(tmp_path: Path) -> None:
    source = layout(tmp_path, training=[{"image": "a.mha", "label": "a.mha"}])
    with pytest.raises(DatasetError, match=r"training\[0\].image: 'a.mha': only .nii.gz and .nii"):
        list(msd_cases(source))


def test_a_listed_image_that_is_missing(tmp_path: Path) -> None:
    source = layout(tmp_path)
    (source / "imagesTr/x_002.nii.gz").unlink()
    with pytest.raises(ImageError, match=r"x_002.nii.gz: no such file"):
        list(msd_cases(source))


@each("text", [None, "{", "[]"])
def test_no_dataset_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    if text is not None:
        (tmp_path / "dataset.json").write_text(text)
    assert main([str(tmp_path), "-d", "5"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "dataset.json" in error and error.count("\n") == 1


def test_the_command(tmp_path: Path, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(layout(tmp_path)), "-d", "5", "--name", "Mine"]) == 0
    assert capsys.readouterr().out.strip() == str(raw / "Dataset005_Mine")


def test_a_name_that_the_file_system_spells_otherwise(tmp_path: Path) -> None:
    nfc, nfd = (unicodedata.normalize(form, "M\u00fcller.nii.gz") for form in ("NFC", "NFD"))
    entry = {"image": f"./imagesTr/{nfc}", "label": f"./labelsTr/{nfc}"}
    source = layout(tmp_path, training=[entry])
    for part in ("imagesTr", "labelsTr"):
        (source / part / "x_001.nii.gz").rename(source / part / nfd)
    (case,) = msd_cases(source)
    assert case.label == source / "labelsTr" / nfd
