"""The validation download, and that the uploads of CARE-Cardiac can be made from it."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from nnunet_prompt.challenge.upload import predict_upload
from nnunet_prompt.challenge.upload_forms import FORMS, find_entries
from nnunet_prompt.data.care_labels import table_for
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.phantom import lascarqs, myops, whs
from nnunet_prompt.phantom.mock_challenge import in_turn, mock_challenge_for
from nnunet_prompt.phantom.record import save_volume
from nnunet_prompt.phantom.scanner import Site, Volume
from nnunet_prompt.phantom.val_set import ValCase, ValSet, files_of, write_tables
from tests.helpers.each import each

pytestmark = pytest.mark.slow

COARSE_MM = (4.0, 4.0)
# the task, the value of each structure in the upload, and the members
UPLOADS: dict[str, tuple[str, dict[str, int], set[str]]] = {
    "wholeheart": (
        "whs",
        {
            **{"lv": 500, "rv": 600, "la": 420, "ra": 550},
            **{"myocardium": 205, "aorta": 820, "pulmonary_artery": 850},
        },
        {
            "ct_val/CaseCTVal001_pred.nii.gz",
            "ct_val/CaseCTVal002_pred.nii.gz",
            "mr_val/CaseMRVal001_pred.nii.gz",
        },
    ),
    "leftatrium": (
        "lascarqs",
        {"la": 1, "la_scar": 1},
        {
            "LA scar quantification/val_1/1_pred.nii.gz",
            "LA scar quantification/val_2/2_pred.nii.gz",
            "LA cavity segmentation/val_1/1_pred.nii.gz",
            "LA cavity segmentation/val_2/2_pred.nii.gz",
            "LA cavity segmentation/val_3/3_pred.nii.gz",
        },
    ),
    "pathology": (
        "myops",
        {"myocardium": 200, "lv": 500, "scar": 2221},
        {f"MyoPS/Anonymous Center/Case100{i}/Case100{i}_pred.nii.gz" for i in (1, 2, 3)},
    ),
}


def volume(value: int) -> Volume:
    return Volume(np.full((2, 2, 2), value, np.uint8), np.eye(4))


def test_paths() -> None:
    image, mask = volume(1), volume(2)
    case = ValCase("a", {"a/image.nii.gz": image}, {"up/a.nii.gz": mask})
    assert files_of(case) == {"val/a/image.nii.gz": image, "hidden_labels_val/up/a.nii.gz": mask}


def test_numbers_count_within_a_series() -> None:
    def draw(rng: np.random.Generator, centre: str, numbers: Mapping[str, int]) -> ValCase:
        raise AssertionError("nothing is drawn")

    assert list(ValSet(("A",), draw).numbers("AAB")) == [{"": 1}, {"": 2}, {"": 3}]
    both = ValSet(("A", "B"), draw, lambda centre: ("x", "y") if centre == "A" else ("y",))
    assert list(both.numbers("ABA")) == [{"x": 1, "y": 1}, {"y": 2}, {"x": 2, "y": 3}]
    assert not list(both.numbers(""))
    write_tables(Path("nowhere"), both)  # it has none, and needs no folder


def test_at_least_two_cases_of_the_centres_in_turn() -> None:
    found = {n: [p.key for p in in_turn(["A", "C"], n)] for n in (1, 8, 9)}
    assert found == {1: ["A 1", "C 1"], 8: ["A 1", "C 1"], 9: ["A 1", "C 1", "A 2"]}


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws on coarse grids, for speed."""

    def grid(site: Site, slices: bool) -> Site:
        return replace(site, in_plane_mm=COARSE_MM, slice_mm=COARSE_MM if slices else site.slice_mm)

    for module in (whs, myops, lascarqs):
        sites = {n: grid(s, module is not myops) for n, s in module.SITES.items()}
        monkeypatch.setattr(module, "SITES", sites)


class Knows:
    """Sees in each image the structures of its hidden mask, which has these values."""

    n_image_channels = 1
    table = table_for("unified")

    def __init__(self, masks: Mapping[Path, Volume], values: Mapping[str, int]) -> None:
        self.masks, self.values = masks, values

    def predict_structures(
        self, images: Sequence[NiftiVolume], wanted: Sequence[str] = ()
    ) -> npt.NDArray[np.int32]:
        (image,) = images
        truth = self.masks[image.path].array
        assert image.array.shape == truth.shape
        found = np.zeros(truth.shape, np.int32)
        for name in set(wanted) & self.values.keys():
            found[truth == self.values[name]] = self.table.find(name).official
        return found

    def predict_prompts(self, images: Any, prompts: Any) -> Any:
        raise AssertionError("an upload has no prompts")


@each("form", sorted(FORMS))
@pytest.mark.usefixtures("coarse")
def test_an_upload_of_each_validation_download(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, values, members = UPLOADS[form]
    val = mock_challenge_for(task).val
    places = in_turn(val.centres, 12)
    masks: dict[Path, Volume] = {}
    for place, numbers in zip(places, val.numbers(p.centre for p in places), strict=True):
        case = val.draw(np.random.default_rng(place.number), place.centre, numbers)
        for name, file in files_of(case).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            save_volume(tmp_path / name, file)
        paths = [tmp_path / "val" / name for name in case.images]
        masks |= dict(zip(paths, case.masks.values(), strict=True))
    entries, left_out = find_entries(FORMS[form], tmp_path / "val", besides=tmp_path / "out")
    assert {e.member for e in entries} == members and not left_out
    monkeypatch.setattr(PromptPredictor, "from_folder", lambda *_: Knows(masks, values))
    made = predict_upload(
        tmp_path / "val", tmp_path / "out", form=form, model=Path("model"), team="We"
    )
    with zipfile.ZipFile(made.zip_file) as archive:
        assert set(archive.namelist()) == members
    hidden = tmp_path / "hidden_labels_val"
    truths = {p.relative_to(hidden).as_posix() for p in hidden.rglob("*.nii.gz")}
    assert truths == {member.replace("_pred", "") for member in members}
    for member in members:
        written = nib.load(made.zip_file.with_suffix("") / member)
        truth = nib.load(hidden / member.replace("_pred", ""))
        np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(truth.dataobj))
        np.testing.assert_allclose(written.affine, truth.affine, atol=1e-4)
        assert np.asarray(truth.dataobj).any()
