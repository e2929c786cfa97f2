"""What `predict -i` means, and what the masks are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.data.plans_reader import ImageReader
from nnunet_prompt.inference.inputs import check_there, input_files, mask_name
from tests.helpers.dicom import write_series
from tests.helpers.each import each

NRRD = ImageReader(ending=".nrrd")
PNG = ImageReader("NaturalImage2DIO", ending=".png")


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


def refused(images: Path, reader: ImageReader) -> str:
    with pytest.raises(NNUNetPromptError) as caught:
        input_files(images, reader)
    assert "\n" not in str(caught.value) and str(images) in str(caught.value)
    return str(caught.value)


@each(
    ("reader", "expected"),
    [
        (ImageReader(), ["a.nii.gz", "b.NII"]),
        (NRRD, ["c.nrrd"]),
        (PNG, ["d.png"]),
        (ImageReader("Tiff3DIO", ending=".tif"), ["e.tif"]),
    ],
)
def test_files_of_the_models_own_format(
    reader: ImageReader,
    expected: list[str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    names = ("a.nii.gz", "b.NII", "c.nrrd", "d.png", "e.tif", "n.txt", "._a.nii.gz", "e.json")
    assert [p.name for p in input_files(touch(tmp_path, *names), reader)] == expected
    told = caplog.text
    assert ("other formats are left out" in told) == (reader.name != "Tiff3DIO")


def test_other_formats_where_there_are_none(tmp_path: Path) -> None:
    touch(tmp_path, "a.mha", "b.nrrd", "c.png")
    assert [p.name for p in input_files(tmp_path, ImageReader())] == ["a.mha", "b.nrrd"]


def test_one_file(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "b.nii.gz")
    assert input_files(tmp_path / "a.nii.gz", ImageReader()) == [tmp_path / "a.nii.gz"]


def test_a_dicom_series_is_its_folder(tmp_path: Path) -> None:
    series = write_series(tmp_path / "p1", np.zeros((2, 4, 5)))
    assert input_files(series, ImageReader()) == [series]
    assert mask_name("p1", series, ImageReader()) == "p1.nii.gz"
    assert mask_name("p1", series, NRRD) == "p1.nrrd"


def test_slices_may_be_named_dcm(tmp_path: Path) -> None:
    series = write_series(tmp_path / "p1", np.zeros((2, 4, 5)))
    for path in list(series.iterdir()):
        path.rename(path.with_suffix(".dcm"))
    assert input_files(series, ImageReader()) == [series]
    assert "found IM0000.dcm" in refused(series, PNG)
    (one, *_) = sorted(series.iterdir())
    assert input_files(one, ImageReader()) == [one]
    assert ImageReader().read(one)[0].shape == (5, 4, 1)


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert refused(tmp_path, ImageReader()).endswith("cannot be listed: Permission denied")


def test_a_series_beside_an_image_is_refused_with_both(tmp_path: Path) -> None:
    series = write_series(tmp_path / "p1", np.zeros((2, 4, 5)))
    touch(series, "a.nii.gz")
    said = refused(series, ImageReader())
    assert "a.nii.gz" in said and "IM0000" in said


def test_nothing_there(tmp_path: Path) -> None:
    assert "no such folder" in refused(tmp_path / "none", ImageReader())
    touch(tmp_path, "a.txt")
    assert "no .nii.gz" in refused(tmp_path, ImageReader())
    with pytest.raises(NNUNetPromptError, match=r"no \.nii\.gz"):
        check_there(tmp_path)
    touch(tmp_path, "a.png")
    said = refused(tmp_path, ImageReader())
    assert "found a.png" in said and "SimpleITKIO" in said
    assert ".png file" in refused(touch(tmp_path / "n", "a.nii.gz"), PNG)


@each(
    ("image", "mask"),
    [
        ("a_0000.nii.gz", "a.nii.gz"),
        ("a.nii", "a.nii.gz"),
        ("a.nrrd", "a.nrrd"),
        ("a.nhdr", "a.nrrd"),
        ("a.MHA", "a.mha"),
        ("a.mhd", "a.mha"),
        ("a.gipl", "a.gipl"),
        ("a.dcm", "a.nii.gz"),
        ("a.png", "a.png"),
        ("a.tif", "a.tif"),
    ],
)
def test_a_mask_has_the_format_of_its_image(image: str, mask: str) -> None:
    assert mask_name("a", Path(image), ImageReader()) == mask
