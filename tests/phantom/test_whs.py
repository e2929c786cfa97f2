"""Mock challenge data of WHS: names with blanks, seven values in CT and MR, and its converter's notes on defects."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.grids import OnGrid
from nnunet_prompt.dataset_conversion.care.inspect import inspect_download
from nnunet_prompt.dataset_conversion.care.whs import convert, examine
from nnunet_prompt.io.nifti import read_label_volume, read_nifti
from nnunet_prompt.phantom import whs
from nnunet_prompt.phantom.mock_challenge import Defect, DrawnCase, write_mock_challenge
from nnunet_prompt.phantom.scanner import Volume
from nnunet_prompt.prompts.frames import pls_map
from tests.helpers.each import each
from tests.official_fixture import to_official
from tests.phantom.downloads import save

pytestmark = pytest.mark.slow

VALUES = {0, 205, 420, 500, 550, 600, 820, 850}
COARSE_MM = (4.0, 4.0)


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws on coarse grids, which takes a tenth of the time."""
    sites = {
        name: replace(s, in_plane_mm=COARSE_MM, slice_mm=COARSE_MM) for name, s in whs.SITES.items()
    }
    monkeypatch.setattr(whs, "SITES", sites)


def drawn(centre: str) -> DrawnCase:
    return whs.draw(np.random.default_rng(1), centre, 10)


def rows(folder: Path) -> list[dict[str, str]]:
    table = folder.parent / "table.csv"
    inspect_download(examine(folder), table)
    return list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))


@each(
    ("centre", "stem"),
    [
        ("A", "A ct_train/Case1010"),
        ("B", "B ct_train/Case2010"),
        ("C and D", "C and D mr_train/Case3010"),
        ("E", "E mr_train/Case5010"),
        ("F", "F mr_train/Case6010"),
    ],
)
@pytest.mark.usefixtures("coarse")
def test_files_and_values_of_each_centre(centre: str, stem: str) -> None:
    case = drawn(centre)
    assert list(case.files) == [f"{stem}_image.nii.gz", f"{stem}_label.nii.gz"]
    image, label = case.files.values()
    assert isinstance(image, Volume) and isinstance(label, Volume)
    assert image.array.dtype == np.int16 and label.array.dtype == np.uint16
    assert set(np.unique(label.array)) == VALUES
    assert image.array.shape == label.array.shape
    np.testing.assert_array_equal(image.affine, label.affine)
    assert case.sequences == {"": image} and case.labels is label
    if " ct_" in stem:
        assert -1024 <= image.array.min() < -900 and 300 < image.array.max() <= 3071
    else:
        assert image.array.min() >= 0
    mean = {v: image.array[label.array == v].mean() for v in (205, 500)}
    assert mean[500] > 1.3 * mean[205]


@pytest.mark.usefixtures("coarse")
def test_the_validation_download() -> None:
    val = whs.MOCK_CHALLENGE.val
    assert list(val.numbers(["A", "C and D", "B"])) == [{"CT": 1}, {"MR": 1}, {"CT": 2}]
    case = val.draw(np.random.default_rng(0), "B", {"CT": 2})
    assert case.name == "CaseCTVal002"
    assert list(case.images) == ["ct_val/CaseCTVal002_image.nii.gz"]
    ((name, labels),) = case.masks.items()
    assert name == "ct_val/CaseCTVal002.nii.gz" and set(np.unique(labels.array)) == VALUES


@pytest.mark.slow
def test_centres_differ_in_orientation_and_size() -> None:
    shapes, codes = set(), set()
    for centre in whs.SITES:
        volume = drawn(centre).labels
        spacing = np.linalg.norm(volume.affine[:3, :3], axis=0)
        assert all(1.2 < mm < 2 for mm in spacing) and all(65 < n < 115 for n in volume.array.shape)
        shapes.add(volume.array.shape)
        codes.add(tuple(np.rint(volume.affine[:3, :3] / spacing).ravel()))
    assert len(shapes) == len(codes) == 5


@each("defect", whs.DEFECTS, ids=lambda d: d.name, fast=whs.DEFECTS[::3])
@pytest.mark.usefixtures("coarse")
def test_a_known_defect_converts_with_a_note(
    defect: Defect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = drawn(defect.centres[0] if defect.centres else "A")
    save(case, tmp_path / "source", defect)
    row, *others = rows(tmp_path / "source")
    assert row["case"] == case.case_id and not row["problems"] and not row["left_out"]
    if defect.name == "validation folder":
        (validation,) = others
        assert validation["files"] == "ct_val/CaseCTVal001_image.nii.gz"
        assert defect.note in validation["left_out"]
    else:
        assert defect.note in row["notes"] and not others
    save(case, tmp_path / "clean" / "source")
    assert not any(r["notes"] for r in rows(tmp_path / "clean" / "source"))
    raw = tmp_path / "raw"
    raw.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("nnUNet_raw", str(raw))
        folder = convert(tmp_path / "source", 5)
    capsys.readouterr()
    written = folder / "labelsTr" / f"{case.case_id}.nii.gz"
    image = next((tmp_path / "source").rglob("[!.]*_image.nii.gz"))
    label = next((tmp_path / "source").rglob("[!.]*_label.nii*"))
    if defect.name == "label map of another shape":
        official = to_official(OnGrid(written, image, "values").load().array, "whs")
        assert (official == case.labels.array).mean() > 0.93
        return
    grid = image if defect.name == "label map of another affine" else label
    official = to_official(OnGrid(written, grid, "values").load().array, "whs")
    expected = read_label_volume(label).array
    expected[expected == 421] = 420
    np.testing.assert_array_equal(official, expected)


@pytest.mark.usefixtures("coarse")
def test_stray_values_are_few_and_of_the_left_atrium() -> None:
    stray = next(d for d in whs.DEFECTS if d.name == "stray 421")
    assert stray.centres == ("C and D",)
    case = drawn("C and D")
    label = stray.inject(np.random.default_rng(0), case.files)[
        "C and D mr_train/Case3010_label.nii.gz"
    ]
    assert isinstance(label, Volume)
    assert set(case.labels.array[label.array == 421]) == {420}
    assert 0 < (label.array == 421).sum() < 0.11 * (case.labels.array == 420).sum()


@each("defect", whs.REFUSED, ids=lambda d: d.name)
@pytest.mark.usefixtures("coarse")
def test_what_only_the_user_can_settle(defect: Defect, tmp_path: Path) -> None:
    save(drawn("A"), tmp_path / "source", defect)
    if defect.name == "second copy":
        with pytest.raises(DatasetError, match=defect.note):
            list(examine(tmp_path / "source"))
        return
    assert all(defect.note in row["problems"] for row in rows(tmp_path / "source"))


@pytest.mark.slow
@pytest.mark.usefixtures("coarse")
def test_a_whole_mock_challenge(tmp_path: Path) -> None:
    folder = write_mock_challenge(whs.MOCK_CHALLENGE, tmp_path / "out", 16, defects=True)
    names = [f"Case ID{i}" for i in (1, 2, 3, 4)]
    images = sorted(p.name for p in (folder / "test/images").iterdir())
    assert images == [f"{name}.nii.gz" for name in names]
    found = rows(folder / "train")
    said = "; ".join(f"{row['notes']}; {row['left_out']}" for row in found)
    assert all(defect.note in said for defect in whs.DEFECTS)
    assert not any(row["problems"] for row in found)
    assert [r["case"] for r in found if r["left_out"]] == ["CaseCTVal001"]
    assert {row["centre"] for row in found} == {"A", "B", "C and D", "E", ""}
    prompts = json.loads((folder / "test/prompts.json").read_text())
    assert list(prompts) == names
    for name in names:  # A and B in CT, C and D and F in MR
        lowest = read_nifti(folder / f"test/images/{name}.nii.gz").array.min()
        assert (lowest < -900) == (name in ("Case ID1", "Case ID2"))
        volume = read_label_volume(folder / f"hidden_labels/{name}.nii.gz")
        labels = pls_map(volume.affine, volume.shape).apply(volume.array)
        mean = {v: np.argwhere(labels == v).mean(axis=0) for v in (420, 500, 550, 600)}
        assert max(mean, key=lambda v: mean[v][0]) == 420  # what tells x from y in square slices
        assert mean[550][1] < mean[500][1]
        for k, named in prompts[name].items():
            for value, (_, points) in (named or {}).items():
                assert all(labels[x, y, int(k)] == int(value) for x, y in points)
