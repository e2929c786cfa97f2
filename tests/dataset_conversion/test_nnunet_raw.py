"""Data that already are nnU-Net raw, on folders made up here and, where they are, on real ones."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.common.errors import DatasetError, NNUNetPromptError, OutputError
from nnunet_prompt.data.side_file import patients_of
from nnunet_prompt.dataset_conversion.nnunet_raw import convert, main, nnunet_cases
from tests.helpers.each import each

AFFINE = np.diag([-1.0, 1.0, 4.0, 1.0])
JSON: dict[str, Any] = {
    "channel_names": {"0": "CT", "1": "T2"},
    "labels": {"background": 0, "front": 1, "back": 2, "ignore": 3},
    "numTraining": 3,
    "file_ending": ".nii.gz",
    "reference": "somebody",
}
CASES = ("p1_ed", "p1_es", "p2_ed")


def layout(root: Path, **changes: Any) -> Path:
    source = root / "Dataset009_Lobes"
    for part in ("imagesTr", "labelsTr", "__MACOSX"):
        (source / part).mkdir(parents=True)
    labels = (np.arange(24).reshape(3, 4, 2) % 4).astype(np.uint8)
    for case in CASES:
        for channel in (0, 1):
            path = source / f"imagesTr/{case}_{channel:04d}.nii.gz"
            nib.Nifti1Image(labels + np.float32(channel), AFFINE).to_filename(path)
        nib.Nifti1Image(labels, AFFINE).to_filename(source / f"labelsTr/{case}.nii.gz")
    for junk in ("imagesTr/._p1_ed_0000.nii.gz", "labelsTr/.DS_Store", "__MACOSX/x_0000.nii.gz"):
        (source / junk).write_bytes(b"junk")
    content = {k: v for k, v in {**JSON, **changes}.items() if v is not None}
    (source / "dataset.json").write_text(json.dumps(content))
    return source


def test_channels_labels_and_patients(tmp_path: Path, raw: Path) -> None:
    folder = convert(layout(tmp_path), 12, patient_regex=r"^(p\d+)_")
    assert folder == raw / "Dataset012_Lobes"
    content = json.loads((folder / "dataset.json").read_text())
    assert content["channel_names"] == {"0": "CT", "1": "T2"}
    assert content["labels"] == {"background": 0, "front": 1, "back": 2, "ignore": 3}
    assert (content["numTraining"], content["reference"]) == (3, "somebody")
    assert content["nnunet_prompt"]["structures"] == {
        "front": {"label": 1, "members": [1], "official": 1},
        "back": {"label": 2, "members": [2], "official": 2},
    }
    assert patients_of(folder) == {"p1_ed": "p1", "p1_es": "p1", "p2_ed": "p2"}
    label = np.asarray(nib.load(folder / "labelsTr/p1_es.nii.gz").dataobj)
    image = np.asarray(nib.load(folder / "imagesTr/p1_es_0001.nii.gz").dataobj)
    np.testing.assert_array_equal(image, label + 1.0)
    # columns towards left, rows towards posterior: both axes of the file turn round in the plane
    np.testing.assert_array_equal(label, np.arange(24).reshape(3, 4, 2)[:, ::-1] % 4)


def test_a_block_is_kept(tmp_path: Path, raw: Path) -> None:
    block = {
        "version": 1,
        "orientation": "file",
        "structures": {
            "front": {"label": 1, "members": [1, 2], "official": 200},
            "back": {"label": 2, "members": [2], "official": 2221},
        },
        "priority": ["back"],
        "cases": {"p2_ed": {"annotated": ["front"]}},
    }
    folder = convert(layout(tmp_path, nnunet_prompt=block), 12, name="Mine")
    content = json.loads((folder / "dataset.json").read_text())
    assert content["nnunet_prompt"] == {**block, "orientation": "canonical"}
    assert patients_of(folder) == {}


@each(
    ("changes", "match"),
    [
        ({"labels": {"background": 0, "all": [1, 2], "back": [2]}}, "label 'all' is a region"),
        (
            {"labels": {"background": 0, "front": 1, "back": 3}},
            r"labels 1 to 2 in order, found \[1, 3\]",
        ),
        ({"labels": {"background": 0}}, "no foreground"),
        ({"labels": {"0": "background", "1": "front"}}, "Decathlon layout has a converter"),
        ({"labels": {"front": 1, "back": 2}}, "holds the label value 3"),
        ({"labels": {"background": 1, "front": 1}}, "labels.background must be 0, found 1"),
        ({"labels": {"front": 1, "back": 2, "ignore": 2}}, "labels.ignore must be the highest"),
        ({"labels": {"front": 1, "back": 1}}, "labels gives 1 to 'front' and 'back'"),
        ({"labels": {"front": 1, "ignore": "3"}}, "labels.ignore must be a number"),
        ({"labels": None}, "no foreground"),
        ({"channel_names": None}, "channel_names must be"),
        (
            {"channel_names": None, "file_ending": None, "modality": {"0": "MR"}},
            "nnunet-prompt convert msd",
        ),
        ({"channel_names": {"1": "T1"}}, "channel_names must be"),
        ({"channel_names": {"0": "T1", "1": "T2", "2": "T3"}}, r"lacks imagesTr/p1_ed_0002.nii.gz"),
        ({"file_ending": ".png"}, "file_ending is '.png', only .nii.gz and .nii"),
        ({"file_ending": ".nii"}, "no file named <case>_0000.nii"),
    ],
)
def test_what_is_not_of_this_layout(
    tmp_path: Path, raw: Path, changes: dict[str, Any], match: str
) -> None:
    with pytest.raises(DatasetError, match=match) as caught:
        convert(layout(tmp_path, **changes), 77)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value) or "case p1_ed" in str(caught.value)


@each(
    ("regex", "match"),
    [
        ("p1", "needs a group"),
        ("(p1", "patient regex"),
        ("(p1)_", "case p2_ed: patient regex .* finds no patient"),
        ("(x*)p", "finds no patient"),
    ],
)
def test_a_regex_that_finds_no_patient(tmp_path: Path, regex: str, match: str) -> None:
    with pytest.raises(DatasetError, match=match):
        list(nnunet_cases(layout(tmp_path), patient_regex=regex))


def test_images_and_labels_must_belong_together(tmp_path: Path) -> None:
    source = layout(tmp_path)
    (source / "labelsTr/p2_ed.nii.gz").rename(source / "labelsTr/p3_ed.nii.gz")
    with pytest.raises(DatasetError, match=r"p3_ed.nii.gz: a label map without images"):
        list(nnunet_cases(source))
    (source / "labelsTr/p3_ed.nii.gz").unlink()
    with pytest.raises(DatasetError, match=r"case p2_ed lacks labelsTr/p2_ed.nii.gz"):
        list(nnunet_cases(source))


def test_a_listing_is_all_there_is(tmp_path: Path, raw: Path) -> None:
    listing = {
        case: {
            "images": [f"imagesTr/{case}_{c:04d}.nii.gz" for c in (0, 1)],
            "label": f"labelsTr/{case}.nii.gz",
        }
        for case in CASES[1:]
    }
    folder = convert(layout(tmp_path, dataset=listing, numTraining=2), 12)
    assert json.loads((folder / "dataset.json").read_text())["numTraining"] == 2
    assert sorted(p.name for p in (folder / "labelsTr").iterdir()) == [
        "p1_es.nii.gz",
        "p2_ed.nii.gz",
    ]


def test_a_mark_of_the_byte_order(tmp_path: Path, raw: Path) -> None:
    path = layout(tmp_path) / "dataset.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b", ", b",\r\n"))
    assert len(list(nnunet_cases(path.parent))) == 3


@each("name", [None, "Lobes", "Other"])
def test_a_data_set_is_never_converted_into_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    source = layout(tmp_path)
    before = {p: p.read_bytes() for p in source.rglob("*") if p.is_file()}
    with pytest.raises(NNUNetPromptError, match="choose another id") as caught:
        convert(source, 9, name=name)
    assert "remove" not in str(caught.value)
    assert {p: p.read_bytes() for p in source.rglob("*") if p.is_file()} == before
    assert convert(source, 10, name=name).name.startswith("Dataset010")


def test_nor_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    link = tmp_path / "link"
    link.symlink_to(layout(tmp_path), target_is_directory=True)
    with pytest.raises(OutputError, match="holds the input"):
        convert(link, 9, name="Lobes")


def test_the_command(tmp_path: Path, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = layout(tmp_path)
    assert main([str(source), "-d", "5", "--patient-regex", "(p.)_"]) == 0
    assert capsys.readouterr().out.strip() == str(raw / "Dataset005_Lobes")
    assert main([str(source), "-d", "6", "--patient-regex", "("]) == 1
    assert capsys.readouterr().err.count("error: ") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("archive", "regex", "axes"),
    [("hippocampus", None, "SPL"), ("sunnybrook", r"^(.+)_e[ds]$", None)],
)
def test_real_data(
    tmp_path: Path, raw: Path, archive: str, regex: str | None, axes: str | None
) -> None:
    packed = Path(os.environ.get("NNUNET_PROMPT_DATA", "")) / f"{archive}.tar.gz"
    if not packed.is_file():
        pytest.skip(f"NNUNET_PROMPT_DATA names no folder with {archive}.tar.gz")
    with tarfile.open(packed) as tar:
        tar.extractall(tmp_path, filter="data")
    (source,) = {p.parent for p in tmp_path.rglob("dataset.json")}
    keep = {c.case_id for c in list(nnunet_cases(source))[:4]}
    for path in [*source.glob("imagesTr/*"), *source.glob("labelsTr/*")]:
        if not any(path.name.startswith(c) for c in keep):
            path.unlink()
    folder = convert(source, 4, patient_regex=regex)
    assert len(patients_of(folder)) == (4 if regex else 0)
    for path in (folder / "imagesTr").iterdir():
        image = nib.load(path)
        codes = "".join(nib.aff2axcodes(image.affine)[::-1])
        spacing = np.array(image.header.get_zooms()[::-1])
        assert codes == axes if axes else spacing.argmax() == 0
