"""Mock challenge data of MyoPS: names, sequences, values, partial labels of each centre, its converter's notes."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.grids import OnGrid
from nnunet_prompt.dataset_conversion.care.inspect import inspect_download
from nnunet_prompt.dataset_conversion.care.myops import convert, examine
from nnunet_prompt.io.nifti import read_label_volume
from nnunet_prompt.phantom import myops
from nnunet_prompt.phantom.mock_challenge import Defect, DrawnCase, write_mock_challenge
from nnunet_prompt.phantom.scanner import Volume
from nnunet_prompt.prompts.frames import canonical_map
from tests.helpers.each import each
from tests.official_fixture import to_official
from tests.phantom.downloads import save

pytestmark = pytest.mark.slow

ANATOMY = {200, 500, 600}
COARSE_MM = 4.0
VALUES = {
    "A": {200, 500, 2221},
    **{centre: {200, 500, 600, 1220, 2221} for centre in "BCD"},
    **{centre: {200, 500, 600, 2221} for centre in "EFG"},
    "H": {2221},
}


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws on coarse grids, which takes a tenth of the time."""
    sites = {n: replace(s, in_plane_mm=(COARSE_MM, COARSE_MM)) for n, s in myops.SITES.items()}
    monkeypatch.setattr(myops, "SITES", sites)


def drawn(centre: str, seed: int = 1) -> DrawnCase:
    return myops.draw(np.random.default_rng(seed), centre, 12)


def rows(folder: Path) -> list[dict[str, str]]:
    table = folder.parent / "table.csv"
    inspect_download(examine(folder), table)
    return list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))


@each(
    ("centre", "digit", "sequences"),
    [
        *(("A", 1, "LGE"), ("B", 2, "C0 LGE T2"), ("C", 3, "C0 LGE T2"), ("D", 4, "C0 LGE T2")),
        *(("E", 5, "C0 LGE"), ("F", 6, "C0 LGE"), ("G", 7, "C0 LGE"), ("H", 8, "LGE")),
    ],
)
@pytest.mark.usefixtures("coarse")
def test_files_and_values_of_each_centre(centre: str, digit: int, sequences: str) -> None:
    case = drawn(centre)
    name = f"Case{digit}012"
    folder = f"Myo_train/MyoPS_train/Center{centre}/{name}/{name}"
    parts = [*sequences.split(), "gd"]
    assert case.case_id == name and case.centre == centre
    assert list(case.files) == [f"{folder}_{part}.nii.gz" for part in parts]
    assert list(case.sequences) == ["C0", "LGE", "T2"]
    label = case.files[f"{folder}_gd.nii.gz"]
    assert isinstance(label, Volume) and label.array.dtype == np.uint16
    assert set(np.unique(label.array)) == VALUES[centre] | {0}
    assert set(np.unique(case.labels.array)) == ANATOMY | {0, 1220, 2221}
    for image in case.sequences.values():
        assert image.array.dtype == np.int16 and image.array.shape == label.array.shape
        np.testing.assert_array_equal(image.affine, label.affine)


@pytest.mark.usefixtures("coarse")
def test_the_validation_download() -> None:
    case = myops.MOCK_CHALLENGE.val.draw(np.random.default_rng(0), "D", {"": 7})
    assert case.name == "Case1007"
    assert list(case.images) == ["AnonymousCenter/Case1007/Case1007_LGE.nii.gz"]
    ((name, mask),) = case.masks.items()
    assert name == "MyoPS/Anonymous Center/Case1007/Case1007.nii.gz"
    whole = myops.draw(np.random.default_rng(0), "D", 7).labels.array
    expected = np.where(whole == 1220, 200, whole * (whole != 600))
    np.testing.assert_array_equal(mask.array, expected)
    assert set(np.unique(mask.array)) == {0, 200, 500, 2221}


def test_partial_labels() -> None:
    complete = np.array([0, 200, 500, 600, 1220, 2221], np.uint16)
    expected = {
        "A": [0, 200, 500, 0, 200, 2221],
        **{centre: [0, 200, 500, 600, 1220, 2221] for centre in "BCD"},
        **{centre: [0, 200, 500, 600, 200, 2221] for centre in "EFG"},
        "H": [0, 0, 0, 0, 0, 2221],
    }
    for centre, values in expected.items():
        found = myops.partial_labels(complete, centre)
        assert found.tolist() == values and found.dtype == np.uint16
    assert complete.tolist() == [0, 200, 500, 600, 1220, 2221]


@each("centre", ["B", "H"])
def test_each_sequence_shows_what_it_is_for(centre: str) -> None:
    case = drawn(centre)
    mean = {
        (sequence, value): float(image.array[case.labels.array == value].mean())
        for sequence, image in case.sequences.items()
        for value in (200, 500, 1220, 2221)
    }
    assert mean["LGE", 2221] > 1.15 * max(mean["LGE", v] for v in (200, 500, 1220))
    assert mean["T2", 1220] > 1.3 * max(mean["T2", v] for v in (200, 500))
    assert mean["C0", 500] > 1.5 * max(mean["C0", v] for v in (200, 1220, 2221))


@pytest.mark.slow
@pytest.mark.parametrize("centre", sorted(myops.SITES))
def test_geometry(centre: str) -> None:
    volume = drawn(centre).labels
    turn = canonical_map(volume.affine, volume.array.shape)
    labels = turn.apply(volume.array)
    spacing = np.linalg.norm(volume.affine[:3, :3], axis=0)
    thick, *in_plane = spacing[list(turn.axes)]
    assert 5 <= thick <= 23 and all(0.73 <= mm <= 1.86 for mm in in_plane)
    assert 4 <= labels.shape[0] <= 13 and max(labels.shape[1:]) <= 230
    assert np.abs(volume.affine[:3, :3] / spacing).max() < 0.999  # oblique
    edge = np.ones(labels.shape[1:], bool)
    edge[2:-2, 2:-2] = False
    assert not labels[:, edge].any()


@pytest.mark.usefixtures("coarse")
def test_some_hearts_of_some_centres_have_no_scar() -> None:
    scarred = [(drawn("E", seed).labels.array == 2221).any() for seed in range(10)]
    assert 5 <= sum(scarred) < 10
    assert all((drawn("H", seed).labels.array == 2221).any() for seed in range(5))


@each("defect", myops.DEFECTS, ids=lambda d: d.name, fast=myops.DEFECTS[::3])
@pytest.mark.usefixtures("coarse")
def test_a_known_defect_converts_with_a_note(
    defect: Defect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = drawn(defect.centres[0] if defect.centres else "B")
    save(case, tmp_path / "source", defect)
    found = rows(tmp_path / "source")
    sequences = myops.SEQUENCES[case.centre]
    assert [row["case"] for row in found] == [f"{case.case_id}_{s}" for s in sequences]
    assert not any(row["problems"] or row["left_out"] for row in found)
    assert any(defect.note in row["notes"] for row in found)
    save(case, tmp_path / "clean" / "source")
    assert not any(row["notes"] for row in rows(tmp_path / "clean" / "source"))
    raw = tmp_path / "raw"
    raw.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("nnUNet_raw", str(raw))
        folder = convert(tmp_path / "source", 5)
    label = next((tmp_path / "source").rglob("[!.]*_gd.nii*"))
    lge = next((tmp_path / "source").rglob("[!.]*_LGE.nii.gz"))
    expected = read_label_volume(label).array
    expected[expected == 1] = 2221
    for sequence in sequences:
        written = folder / "labelsTr" / f"{case.case_id}_{sequence}.nii.gz"
        official = to_official(OnGrid(written, lge, "values").load().array, "myops")
        np.testing.assert_array_equal(official, expected)
    capsys.readouterr()


@each("defect", myops.REFUSED, ids=lambda d: d.name)
@pytest.mark.usefixtures("coarse")
def test_what_only_the_user_can_settle(defect: Defect, tmp_path: Path) -> None:
    case = drawn(defect.centres[0] if defect.centres else "B")
    save(case, tmp_path / "source", defect)
    if defect.name == "unaligned copy":
        with pytest.raises(DatasetError, match=defect.note):
            list(examine(tmp_path / "source"))
        return
    assert all(defect.note in row["problems"] for row in rows(tmp_path / "source"))


@pytest.mark.slow
@pytest.mark.usefixtures("coarse")
def test_a_whole_mock_challenge(tmp_path: Path) -> None:
    folder = write_mock_challenge(myops.MOCK_CHALLENGE, tmp_path / "out", 14, defects=True)
    names = {p.name for p in (folder / "test/images").iterdir()}
    assert names == {f"Case ID{i}_{s}.nii.gz" for i in (1, 2, 3, 4) for s in ("C0", "LGE", "T2")}
    for i in (1, 2, 3, 4):
        labels = read_label_volume(folder / f"hidden_labels/Case ID{i}.nii.gz").array
        assert set(np.unique(labels)) == ANATOMY | {0, 1220, 2221}
    found = rows(folder / "train")
    notes = "; ".join(row["notes"] for row in found)
    assert all(defect.note in notes for defect in myops.DEFECTS)
    assert not any(row["problems"] or row["left_out"] for row in found)
    assert {row["centre"] for row in found} == set("ABCEFGH")
