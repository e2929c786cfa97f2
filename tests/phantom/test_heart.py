"""The phantom heart: the same for the same seed, hearts rather than noise, odd orientations, partial labels."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import binary_dilation, label

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.io.nifti import read_label_volume, read_nifti
from nnunet_prompt.phantom.heart import CENTRES, phantom_case, write_phantoms
from nnunet_prompt.prompts.frames import canonical_map
from tests.helpers.each import each
from tests.helpers.schemas import check_form

pytestmark = pytest.mark.slow

LV, WALL, RV, SCAR = 500, 200, 600, 2221


HEARTS = list(itertools.product(range(6), sorted(CENTRES)))


@each(("seed", "centre"), HEARTS, fast=[(n, centre) for n, centre in enumerate(sorted(CENTRES))])
def test_a_heart_has_the_shape_of_a_heart(seed: int, centre: str) -> None:
    case = phantom_case(np.random.default_rng(seed), centre=centre)
    turn = canonical_map(case.affine, case.image.shape)
    image, labels = turn.apply(case.image), turn.apply(case.labels)
    spacing = np.linalg.norm(case.affine[:3, :3], axis=0)[list(turn.axes)]
    assert round(float(spacing[0]), 6) in (8, 9, 10)
    assert np.allclose(spacing[1:], spacing[1]) and 1.3 < spacing[1] < 1.8
    slices, rows, columns = labels.shape
    assert 8 <= slices <= 12 and 80 <= rows <= 112 and 80 <= columns <= 112
    assert image.dtype == np.int16 and image.min() >= 0
    assert {0, LV, WALL, RV} <= set(np.unique(labels)) <= {0, LV, WALL, RV, SCAR}
    millilitres = {v: (labels == v).sum() * spacing.prod() / 1000 for v in (LV, WALL, RV, SCAR)}
    assert 30 < millilitres[LV] < 200 and 45 < millilitres[WALL] < 250
    assert 15 < millilitres[RV] < 200 and millilitres[SCAR] < 0.4 * millilitres[WALL]
    # the muscle closes the cavity off, in every slice and at the border of the image
    for plane in labels:
        ring = binary_dilation(plane == LV) & (plane != LV)
        assert set(np.unique(plane[ring])) <= {WALL, SCAR}
        assert label(plane == RV)[1] <= 1
    edge = np.ones(labels.shape[1:], bool)
    edge[1:-1, 1:-1] = False
    assert not labels[:, edge].any()


def test_tissues_overlap_so_that_a_threshold_does_not_do() -> None:
    for seed, centre in enumerate(CENTRES):
        case = phantom_case(np.random.default_rng(seed), centre=centre)
        blood = np.percentile(case.image[case.labels == LV], [5, 95])
        alike = (case.image > blood[0]) & (case.image < blood[1])
        assert (alike & (case.labels == 0)).sum() > (case.labels == LV).sum()


def test_centres_differ() -> None:
    codes = set()
    for centre in CENTRES:
        case = phantom_case(np.random.default_rng(0), centre=centre)
        spacing = np.linalg.norm(case.affine[:3, :3], axis=0)
        codes.add((int(np.argmax(spacing)), round(float(spacing.max()))))
        cosines = case.affine[:3, :3] / spacing
        np.testing.assert_allclose(cosines.T @ cosines, np.eye(3), atol=1e-9)
        assert np.abs(cosines).max() < 0.999  # oblique
    assert codes == {
        (2, 8),
        (0, 10),
        (1, 9),
    }  # which axis of the file the slices lie on, and their thickness
    with pytest.raises(DatasetError, match="expected one of"):
        phantom_case(np.random.default_rng(0), centre="D")


def test_nobody_read_scar_in_centre_c() -> None:
    partial = phantom_case(np.random.default_rng(3), centre="C", complete=False)
    complete = phantom_case(np.random.default_rng(3), centre="C")
    assert (complete.labels == SCAR).sum() > 50 and complete.annotated is None
    assert partial.annotated == {"LV", "myocardium", "RV"}
    np.testing.assert_array_equal(
        partial.labels, np.where(complete.labels == SCAR, WALL, complete.labels)
    )
    np.testing.assert_array_equal(partial.image, complete.image)
    assert phantom_case(np.random.default_rng(3), centre="A", complete=False).annotated is None


@pytest.mark.slow
def test_some_hearts_have_no_scar() -> None:
    scars = [
        (phantom_case(np.random.default_rng(i), centre="A").labels == SCAR).any() for i in range(20)
    ]
    assert 10 <= sum(scars) < 20


def test_the_folder(tmp_path: Path) -> None:
    folder = write_phantoms(tmp_path / "train", 4, seed=7)
    names = [f"Case{n}" for n in (1001, 1002, 1003, 1004)]
    for part in ("images", "labels"):
        assert sorted(p.name for p in (folder / part).iterdir()) == [f"{n}.nii.gz" for n in names]
    content = json.loads((folder / "cases.json").read_text())
    check_form("phantom_cases", folder / "cases.json")
    assert content["seed"] == 7
    assert [content["cases"][n]["centre"] for n in names] == ["A", "B", "C", "A"]
    assert content["cases"]["Case1003"]["annotated"] == ["LV", "RV", "myocardium"]
    assert content["cases"]["Case1001"]["annotated"] is None
    for name in names:
        image = read_nifti(folder / "images" / f"{name}.nii.gz")
        labels = read_label_volume(folder / "labels" / f"{name}.nii.gz")
        assert image.shape == labels.shape
        np.testing.assert_array_equal(image.affine, labels.affine)
        assert image.header["qform_code"] == image.header["sform_code"] == 1


def test_the_same_seed_gives_the_same_hearts(tmp_path: Path) -> None:
    one = write_phantoms(tmp_path / "one", 3, seed=1)
    two = write_phantoms(tmp_path / "two", 2, seed=1)
    other = write_phantoms(tmp_path / "other", 1, seed=2)
    test = write_phantoms(tmp_path / "test", 3, seed=1, part="test")

    def voxels(path: Path) -> list[int]:
        return [int(v) for v in np.asarray(nib.load(path).dataobj).ravel()[::97]]

    for name in ("Case1001", "Case1002"):
        assert voxels(one / f"images/{name}.nii.gz") == voxels(two / f"images/{name}.nii.gz")
    assert voxels(one / "images/Case1001.nii.gz") != voxels(other / "images/Case1001.nii.gz")
    assert voxels(one / "images/Case1001.nii.gz") != voxels(test / "images/Case9001.nii.gz")
    cases = json.loads((test / "cases.json").read_text())["cases"]
    assert [entry["annotated"] for entry in cases.values()] == [None, None, None]


def test_a_stopped_run_goes_on_and_seeds_do_not_mix(tmp_path: Path) -> None:
    write_phantoms(tmp_path, 2)
    kept, lost = tmp_path / "images/Case1001.nii.gz", tmp_path / "labels/Case1002.nii.gz"
    before = kept.stat().st_mtime_ns
    lost.unlink()
    write_phantoms(tmp_path, 3)
    assert kept.stat().st_mtime_ns == before and lost.is_file()
    with pytest.raises(DatasetError, match="seed is 0, expected 1"):
        write_phantoms(tmp_path, 3, seed=1)
    (tmp_path / "cases.json").write_text("[]")
    with pytest.raises(
        DatasetError, match="expected a JSON object, found list: choose another folder"
    ):
        write_phantoms(tmp_path, 3)
    with pytest.raises(DatasetError, match="at least one"):
        write_phantoms(tmp_path / "none", 0)


def test_a_file_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    mine = tmp_path / "images" / "Case1001.nii.gz"
    mine.write_bytes(b"of the user")
    write_phantoms(tmp_path, 1)
    assert mine.read_bytes() == b"of the user" and (tmp_path / "labels/Case1001.nii.gz").is_file()
