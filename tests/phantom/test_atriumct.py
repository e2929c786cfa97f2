"""Mock challenge data of the left atrium in CT: its layout, three structures in touch, and its converter's notes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, label

from nnunet_prompt.dataset_conversion.care.atriumct import examine
from nnunet_prompt.phantom import atriumct
from nnunet_prompt.phantom.mock_challenge import Defect, DrawnCase, write_mock_challenge
from nnunet_prompt.phantom.scanner import Volume
from tests.helpers.each import each
from tests.phantom.downloads import inspected, save

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws on coarse grids, for speed."""
    sites = {
        n: replace(s, in_plane_mm=(2.5, 2.5), slice_mm=(2.5, 2.5))
        for n, s in atriumct.SITES.items()
    }
    monkeypatch.setattr(atriumct, "SITES", sites)


def drawn(seed: int = 1) -> DrawnCase:
    return atriumct.draw(np.random.default_rng(seed), "D", 7)


def test_files_and_values() -> None:
    case = drawn()
    folder = "cardiac anatomy segmentation（CT）/train_data/train_7"
    assert list(case.files) == [f"{folder}/0007.nii.gz", f"{folder}/label_0007.nii.gz"]
    image, labels = case.files.values()
    assert isinstance(image, Volume) and isinstance(labels, Volume)
    assert set(np.unique(labels.array)) == {0, 1, 2, 3}
    assert image.array.dtype == np.int16 and image.array.min() >= -1024
    blood = image.array[labels.array > 0].mean()
    assert 250 < blood < 450 and image.array[labels.array == 0].mean() < blood - 200


@each("seed", range(3))
def test_the_atrium_is_one_piece_with_four_veins_and_one_appendage(seed: int) -> None:
    array = drawn(seed).labels.array
    volumes = [int((array == value).sum()) for value in (1, 2, 3)]
    assert volumes[0] > volumes[1] > volumes[2] > 20
    assert label(array > 0)[1] == 1
    body = binary_dilation(array == 1)
    for value in (2, 3):
        pieces, count = label(array == value)
        large = [k for k in range(1, count + 1) if (pieces == k).sum() > 20]
        assert 1 <= len(large) <= (4 if value == 2 else 1)
        assert all((body & (pieces == k)).any() for k in large)


@each("defect", atriumct.DEFECTS, ids=lambda d: d.name)
def test_a_known_defect_is_read_with_a_note(defect: Defect, tmp_path: Path) -> None:
    save(drawn(), tmp_path / "source", defect)
    (row,) = inspected(examine(tmp_path / "source"), tmp_path / "table.csv").values()
    assert row["case"] == "LAct_007"
    assert defect.note in row["notes"] + row["left_out"]
    assert bool(row["left_out"]) == (defect.name == "no label map")


def test_a_mock_challenge_converts_and_hides_its_masks(tmp_path: Path) -> None:
    write_mock_challenge(atriumct.MOCK_CHALLENGE, tmp_path / "mock", 2, defects=False)
    train = inspected(examine(tmp_path / "mock" / "train"), tmp_path / "train.csv")
    assert list(train) == ["LAct_001", "LAct_002"]
    assert {row["label_values"] for row in train.values()} == {"0 1 2 3"}
    val = inspected(examine(tmp_path / "mock" / "val"), tmp_path / "val.csv")
    assert {row["left_out"] for row in val.values()} == {"no label map (a validation or test case)"}
    hidden = tmp_path / "mock" / "hidden_labels_val" / "LA multi-structure segmentation"
    assert sorted(p.name for p in hidden.rglob("*.nii.gz")) == ["1.nii.gz", "2.nii.gz"]
