"""Which files are the cases of nnU-Net raw data."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.dataset_conversion.nnunet_files import CaseFiles, training_files
from tests.helpers.each import each


def files(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Two cases of one channel, and an image elsewhere."""
    names = (f"{part}/{case}" for case in ("a", "b.v1 x") for part in ("imagesTr", "labelsTr"))
    files(
        tmp_path / "raw", *(f"{n}_0000.nii.gz" if "images" in n else f"{n}.nii.gz" for n in names)
    )
    files(tmp_path, "else/c.nii.gz", "else/d.nii")
    return tmp_path / "raw"


def found(source: Path, *, channels: int = 1, ending: str = ".nii.gz", **content: Any) -> Any:
    return training_files(source, content, channels=channels, ending=ending)


def refusal(source: Path, **how: Any) -> str:
    with pytest.raises(DatasetError) as caught:
        found(source, **how)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(source), "RAW")


def test_the_files_of_two_folders(raw: Path) -> None:
    assert found(raw, numTraining=2) == {
        name: CaseFiles(
            (raw / f"imagesTr/{name}_0000.nii.gz",),
            raw / f"labelsTr/{name}.nii.gz",
            f"imagesTr/{name}_0000.nii.gz",
        )
        for name in ("a", "b.v1 x")
    }


def test_only_listed_cases_count_and_their_files_may_lie_elsewhere(
    raw: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ELSEWHERE", str(raw.parent / "else"))
    listing = {
        "one": {"images": ["../else/c.nii.gz"], "label": "labelsTr/a.nii.gz"},
        "two": {"images": ["$ELSEWHERE/d.nii"], "label": str(raw / "labelsTr/a.nii.gz")},
    }
    cases = found(raw, dataset=listing)
    assert list(cases) == ["one", "two"]
    assert [c.images[0].resolve() for c in cases.values()] == [
        (raw.parent / "else" / name).resolve() for name in ("c.nii.gz", "d.nii")
    ]
    assert cases["two"].label == raw / "labelsTr/a.nii.gz"
    (note,) = caplog.messages
    assert "`dataset` lists 2 cases" in note and "2 files of imagesTr are left out" in note


def test_a_listing_needs_no_folders_and_says_nothing_then(
    raw: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = "../else/c.nii.gz"
    assert list(
        found(raw / "labelsTr", dataset={"x": {"images": ["a.nii.gz"], "label": "a.nii.gz"}})
    )
    assert list(found(raw.parent / "else", dataset={"x": {"images": [image], "label": image}}))
    assert caplog.messages == []


@each(
    ("listing", "said"),
    [
        ([], "dataset must be"),
        ({}, "dataset must be"),
        ([{"image": "a", "label": "b"}], "dataset must be"),
        (None, "dataset must be"),
        ({"a": "a.nii.gz"}, "dataset['a'] must be"),
        ({"a": {"images": "imagesTr/a_0000.nii.gz", "label": "l"}}, "dataset['a'] must be"),
        ({"a": {"images": [1], "label": "l"}}, "dataset['a'] must be"),
        ({"a": {"images": ["imagesTr/a_0000.nii.gz"]}}, "dataset['a'] must be"),
        ({"a": {"images": [], "label": "l"}}, "expected one file for each of the 1 channels"),
        ({"a": {"images": ["x.nii.gz"], "label": "l"}}, "dataset['a'].images: x.nii.gz: no such"),
        ({"a": {"images": ["$NOT/x.nii.gz"], "label": "l"}}, "$NOT/x.nii.gz: no such file"),
        (
            {"a": {"images": ["imagesTr/a_0000.nii.gz"], "label": "labelsTr/z.nii.gz"}},
            "dataset['a'].label: labelsTr/z.nii.gz: no such file",
        ),
    ],
)
def test_a_listing_that_is_not_in_its_form(raw: Path, listing: Any, said: str) -> None:
    message = refusal(raw, dataset=listing)
    assert message.startswith("RAW/dataset.json: ") and said in message


def test_a_listed_file_of_another_format(raw: Path) -> None:
    files(raw, "x.nrrd")
    listing = {"a": {"images": ["x.nrrd"], "label": "x.nrrd"}}
    assert "x.nrrd: only NIfTI" in refusal(raw, dataset=listing)


@each(
    ("name", "said"),
    [
        ("imagesTr/knee.nii.gz", "RAW/imagesTr/knee.nii.gz: expected a name such as <case>_0000"),
        ("imagesTr/a_000.nii.gz", "a_000.nii.gz: expected a name such as"),
        ("imagesTr/a_0001.nii.gz", "a_0001.nii.gz: is channel 1, but channel_names"),
        ("imagesTr/c_0000.nii.gz", "case c lacks labelsTr/c.nii.gz"),
        ("labelsTr/c.nii.gz", "labelsTr/c.nii.gz: a label map without images"),
        ("imagesTr/a_0000.NII.GZ", "has the same name"),
    ],
)
def test_a_file_that_fits_no_case(raw: Path, name: str, said: str) -> None:
    files(raw, name)
    assert said in refusal(raw)


def test_endings_in_upper_case_are_read(tmp_path: Path) -> None:
    files(tmp_path, "imagesTr/a_0000.NII.GZ", "labelsTr/a.Nii.gz")
    cases = found(tmp_path)
    assert cases["a"].images[0].name == "a_0000.NII.GZ"
    assert found(tmp_path, ending=".NII.GZ") == cases


def test_what_is_left_out_is_told(raw: Path, caplog: pytest.LogCaptureFixture) -> None:
    files(raw, "imagesTr/c_0000.nii", "imagesTr/notes.txt", "imagesTr/._a_0000.nii.gz")
    assert list(found(raw, numTraining=99)) == ["a", "b.v1 x"]
    lines = caplog.messages
    assert len(lines) == 2
    assert "1 files do not end with file_ending .nii.gz" in lines[0] and "c_0000.nii" in lines[0]
    assert lines[1].endswith("numTraining is 99, found 2 cases")


@each("ending", [".nii", ".nii.gz"])
def test_no_image(tmp_path: Path, ending: str) -> None:
    files(tmp_path, "imagesTr/a_0000.mha", "labelsTr/a.mha")
    assert f"no file named <case>_0000{ending}, found a_0000.mha" in refusal(
        tmp_path, ending=ending
    )


@each("part", ["imagesTr", "labelsTr"])
def test_no_folder(raw: Path, part: str) -> None:
    (raw / part).rename(raw / "gone")
    assert refusal(raw) == f"RAW/{part}: no such folder"


@each("listed", [False, True])
def test_names_are_compared_whichever_way_unicode_spells_them(tmp_path: Path, listed: bool) -> None:
    nfc, nfd = (unicodedata.normalize(form, "M\u00fcller") for form in ("NFC", "NFD"))
    files(tmp_path, f"imagesTr/{nfd}_0000.nii.gz", f"labelsTr/{nfc}.nii.gz")
    entry = {"images": [f"imagesTr/{nfc}_0000.nii.gz"], "label": f"labelsTr/{nfd}.nii.gz"}
    (case, one), *others = found(tmp_path, **({"dataset": {nfc: entry}} if listed else {})).items()
    assert case == nfc and not others
    assert one.images == (tmp_path / f"imagesTr/{nfd}_0000.nii.gz",)
    assert one.label == tmp_path / f"labelsTr/{nfc}.nii.gz"
