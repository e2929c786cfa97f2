"""Finding the files of a download."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.dataset_conversion.care.download import (
    CareOptions,
    files_by_case,
    nifti_files,
    one_each,
    stem,
)
from tests.helpers.each import each


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def names(files: list[Path], root: Path) -> list[str]:
    return [f.relative_to(root).as_posix() for f in files]


def test_both_endings_in_any_case_at_any_depth_and_nothing_hidden(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "a.nii",
        "A ct_train/b.NII.GZ",
        "x（MRI）/y/c.nii.gz",
        "._a.nii",
        "__MACOSX/A ct_train/._b.nii.gz",
        "__MACOSX/d.nii.gz",
        ".cache/e.nii.gz",
        "readme.txt",
        "f.nii.gz.part",
    )
    found = names(nifti_files(tmp_path), tmp_path)
    assert found == ["A ct_train/b.NII.GZ", "a.nii", "x（MRI）/y/c.nii.gz"]


def test_a_hidden_folder_above_the_download_does_not_hide_it(tmp_path: Path) -> None:
    touch(tmp_path, ".data/a.nii")
    assert names(nifti_files(tmp_path / ".data"), tmp_path) == [".data/a.nii"]


def test_the_version_root_restricts_the_search(tmp_path: Path) -> None:
    touch(tmp_path, "aligned/a.nii", "unaligned/a.nii")
    for root in (Path("aligned"), tmp_path / "aligned"):
        options = CareOptions(version_root=root)
        assert names(nifti_files(tmp_path, options), tmp_path) == ["aligned/a.nii"]


@each("root", ["missing", "..", "/"])
def test_a_version_root_outside_of_the_download(tmp_path: Path, root: str) -> None:
    touch(tmp_path, "a.nii")
    with pytest.raises(DatasetError, match=r"--version-root .*: expected a folder in"):
        nifti_files(tmp_path, CareOptions(version_root=Path(root)))


def test_no_folder_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder"):
        nifti_files(tmp_path / "nowhere")
    touch(tmp_path, "MyoPS.zip")
    with pytest.raises(DatasetError, match=r"no file that ends in \.nii\.gz or \.nii: unpack"):
        nifti_files(tmp_path)


def test_a_stem_has_no_ending() -> None:
    found = [stem(Path("f") / n) for n in ("a_C0.nii.gz", "a_C0.NII", "a.b.nii", "a.txt")]
    assert found == ["a_C0", "a_C0", "a.b", "a.txt"]


def test_two_copies_of_a_file_are_refused(tmp_path: Path) -> None:
    a, b = tmp_path / "aligned/x.nii", tmp_path / "raw/x.nii"
    assert one_each([("x", a), ("y", b)], tmp_path) == {"x": a, "y": b}
    with pytest.raises(DatasetError, match=r"aligned/x.nii and raw/x.nii .*--version-root") as e:
        one_each([("x", a), ("x", b)], tmp_path)
    assert "\n" not in str(e.value)


def test_the_files_of_each_case_by_what_they_hold(tmp_path: Path) -> None:
    touch(tmp_path, "z/b 1_GD.nii", "a_lge.nii.gz", "b 1_lge.nii", "readme.nii", "._a_gd.nii")
    pattern = re.compile(r"(?P<case>.+)_(?P<part>lge|gd)", re.IGNORECASE)
    found, odd = files_by_case(tmp_path, CareOptions(), name=pattern, part=str.upper)
    assert list(found) == ["a", "b_1"] and names(odd, tmp_path) == ["readme.nii"]
    assert found["a"] == {"LGE": tmp_path / "a_lge.nii.gz"}
    assert found["b_1"] == {"LGE": tmp_path / "b 1_lge.nii", "GD": tmp_path / "z" / "b 1_GD.nii"}
    touch(tmp_path, "copy/a_LGE.nii")
    with pytest.raises(DatasetError, match="two copies of one file"):
        files_by_case(tmp_path, CareOptions(), name=pattern, part=str.upper)
