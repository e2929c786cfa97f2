"""A folder of cases: resumed, one failure costs no other, and what does not fit is refused before anything is run."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.data.plans_reader import ImageReader
from nnunet_prompt.evaluation.interact import run
from nnunet_prompt.evaluation.interact.play import Play
from nnunet_prompt.inference.options import PredictOptions
from tests.helpers.each import each
from tests.helpers.schemas import check_form

AFFINE = np.diag([1.0, 1.0, 4.0, 1.0])
TRUTH = np.zeros((6, 5, 3), np.uint8)
TRUTH[1:4, 1:4] = 5
TRUTH[5, 4, 0] = 7


class Session:
    """Answers with a box round what was clicked; its automatic mask is the first slice of the truth."""

    opened = 0

    def __init__(self, *_: Any) -> None:
        self.given: list[Any] = []
        structures = (SimpleNamespace(official=5, name="LV"),)
        self.predictor = SimpleNamespace(
            n_image_channels=1,
            reader=ImageReader(),
            table=SimpleNamespace(structures=structures),
            predict_structures=lambda _: np.where(np.arange(3) == 0, TRUTH, 0),
        )

    def set_image(self, images: Sequence[Any]) -> None:
        Session.opened += 1

    def reset(self) -> None:
        self.given = []

    def add(self, prompt: Any, label: int = 1) -> None:
        self.given.append((prompt, label))

    def predict(self) -> Any:
        mask = np.zeros(TRUTH.shape, np.int32)
        for prompt, label in self.given:
            if not isinstance(prompt, np.ndarray):
                x, y, z = (int(v) for v in prompt.position)
                mask[max(x - 1, 0) : x + 2, max(y - 1, 0) : y + 2, z] = label
        return mask


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in ("labels", "images"):
        (tmp_path / folder).mkdir()
    for case in ("a", "b"):
        nib.save(nib.Nifti1Image(TRUTH, AFFINE), tmp_path / "labels" / f"{case}.nii.gz")
        image = TRUTH.astype(np.int16)
        nib.save(nib.Nifti1Image(image, AFFINE), tmp_path / "images" / f"{case}_0000.nii.gz")
    monkeypatch.setattr("nnunet_prompt.inference.session.PromptSession", Session)
    Session.opened = 0
    return tmp_path


def play(folders: Path, **changes: Any) -> Any:
    given = {"play": Play(interactions=3), "options": PredictOptions(), **changes}
    return run.interact_folder(
        folders / "labels", folders / "images", folders / "out", model=folders, **given
    )


def rows(folders: Path) -> list[dict[str, str]]:
    with (folders / "out" / run.TABLE).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_label_of_every_case_is_played(folders: Path) -> None:
    summary = play(folders)
    found = rows(folders)
    assert [(r["case"], r["label"], r["interaction"]) for r in found] == [
        (case, label, str(k)) for case in "ab" for label in ("5", "7") for k in range(3)
    ]
    five = [float(r["dice"]) for r in found[:3]]
    assert five == pytest.approx([0.5, 0.8, 1.0])  # a slice of three with each click
    assert summary["labels"]["5"]["n"] == 2 and summary["failed"] == {}
    written = json.loads((folders / "out" / run.SUMMARY).read_text())
    assert written["all"]["curve"] == summary["all"]["curve"]
    check_form("interactions", folders / "out" / run.SUMMARY)
    assert (folders / "out" / run.CURVES).is_file()


def test_what_was_played_the_same_way_is_kept(folders: Path) -> None:
    first = play(folders)
    (folders / "out" / run.CASES / "b.json").write_text("{")  # cut off
    assert play(folders) == first and Session.opened == 3
    play(folders, play=Play(interactions=2))
    assert Session.opened == 5


def test_values_and_an_automatic_mask(folders: Path) -> None:
    play(folders, start="automatic", values=[5, 9])
    found = rows(folders)
    assert [(r["label"], r["interaction"]) for r in found[:4]] == [
        ("5", k) for k in ("-1", "0", "1", "2")
    ]
    assert float(found[0]["dice"]) == pytest.approx(0.5)
    check_form("interactions", folders / "out" / run.SUMMARY)


def test_a_case_that_fails_costs_no_other(folders: Path) -> None:
    nib.save(nib.Nifti1Image(TRUTH, 2 * AFFINE), folders / "labels" / "a.nii.gz")
    with pytest.raises(NNUNetPromptError, match="a"):
        play(folders)
    assert {r["case"] for r in rows(folders)} == {"b"}
    summary = json.loads((folders / "out" / run.SUMMARY).read_text())
    assert "has another geometry" in summary["failed"]["a"]
    check_form("interactions", summary)


def test_a_label_map_without_an_image_is_refused_at_once(folders: Path) -> None:
    (folders / "images" / "b_0000.nii.gz").unlink()
    with pytest.raises(
        NNUNetPromptError, match=r"no image for 1 of the 2 label maps.*the first is b"
    ):
        play(folders)
    assert not (folders / "out").exists()


@each("folder", ["labels", "images", "."])
def test_nothing_is_written_among_the_inputs(folders: Path, folder: str) -> None:
    if folder == ".":  # the model's own folder
        (folders / "plans.json").write_text("{}")
    with pytest.raises(NNUNetPromptError):
        run.interact_folder(
            folders / "labels",
            folders / "images",
            folders / folder,
            model=folders,
            play=Play(),
            options=PredictOptions(),
        )
    assert Session.opened == 0 and not (folders / folder / run.CASES).exists()


def test_a_name_that_is_not_in_utf_8(folders: Path) -> None:
    for path in list((folders / "images").iterdir()) + list((folders / "labels").iterdir()):
        path.rename(path.with_name(path.name.replace("b", os.fsdecode(b"caf\xe9"))))
    assert play(folders)["failed"] == {}
    assert {r["case"] for r in rows(folders)} == {"a", "caf\\udce9"}


def test_what_decides_the_rows_is_played_anew(folders: Path) -> None:
    play(folders)
    play(folders, options=PredictOptions(consistent=False))
    assert Session.opened == 4
    label = folders / "labels" / "a.nii.gz"
    nib.save(nib.Nifti1Image(np.where(TRUTH == 7, 5, TRUTH), AFFINE), label)
    play(folders, options=PredictOptions(consistent=False))
    assert Session.opened == 5  # b is kept
    (folders / "fold_0").mkdir()
    (folders / "fold_0" / "checkpoint_final.pth").touch()
    play(folders, options=PredictOptions(consistent=False))
    assert Session.opened == 7
    (folders / "fold_0" / "checkpoint_final.safetensors").touch()
    play(folders, options=PredictOptions(consistent=False))
    assert Session.opened == 9
    (folders / "liver.pth").touch()
    learnt = PredictOptions(consistent=False, adapter=folders / "liver")
    play(folders, options=learnt)
    assert Session.opened == 11
    play(folders, options=learnt)
    assert Session.opened == 11


def test_other_formats_are_read_by_the_models_reader(folders: Path) -> None:
    for case in ("a", "b"):
        for name in (f"labels/{case}", f"images/{case}_0000"):
            volume = SimpleITK.ReadImage(str(folders / f"{name}.nii.gz"))
            SimpleITK.WriteImage(volume, str(folders / f"{name}.nrrd"))
            (folders / f"{name}.nii.gz").unlink()
    assert play(folders)["labels"]["5"]["n"] == 2


def test_values_that_no_label_map_has(folders: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(NNUNetPromptError, match=r"labels: .* one of the values 8, 9, found none"):
        play(folders, values=[8, 9])
    assert not (folders / "out" / run.SUMMARY).exists()
    play(folders, values=[5, 9])
    assert "no label map has 9" in caplog.text


def test_an_automatic_mask_of_other_numbers_is_refused(folders: Path) -> None:
    for case in ("a", "b"):
        nib.save(nib.Nifti1Image(TRUTH // 5, AFFINE), folders / "labels" / f"{case}.nii.gz")
    with pytest.raises(
        NNUNetPromptError, match=r"has the values 5 \(LV\), found 1.*--start nothing"
    ):
        play(folders, start="automatic")


def test_one_label_map_per_case(folders: Path) -> None:
    nib.save(nib.Nifti1Image(TRUTH, AFFINE), folders / "labels" / "a.nii")
    with pytest.raises(NNUNetPromptError, match=r"a\.nii and .*a\.nii\.gz are both the label map"):
        play(folders)


@each(
    "wrong",
    [{"protocol": "click"}, {"interactions": 0}, {"tolerance_mm": np.nan}, {"tolerance_mm": -1.0}],
)
def test_how_to_play_is_checked(wrong: Any) -> None:
    with pytest.raises(NNUNetPromptError, match=next(iter(wrong))):
        Play(**wrong)
