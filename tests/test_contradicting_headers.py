"""A header that contradicts itself changes no number in any verb, and every verb reports it with both values."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from nnunet_prompt.challenge.check import check_output
from nnunet_prompt.challenge.simulate import simulate_prompts_json
from nnunet_prompt.dataset_conversion import msd, nnunet_raw
from nnunet_prompt.dataset_conversion.care import lascarqs, liqa, myops, whs
from nnunet_prompt.dataset_conversion.care.inspect import Examined
from nnunet_prompt.evaluation.folders import evaluate_folders
from nnunet_prompt.evaluation.options import FolderOptions
from nnunet_prompt.inference.predict_case import Asked, CaseToDo
from nnunet_prompt.inference.predict_folder import predict_cases
from nnunet_prompt.inference.session import PromptSession
from nnunet_prompt.io.image_cases import group_images, image_files
from nnunet_prompt.io.nifti import read_nifti
from nnunet_prompt.prompts.types import Box
from tests.challenge.folders import BoxFiller, Challenge, bricks, save
from tests.helpers.each import each
from tests.helpers.headers import CONTRADICT, contradict
from tests.helpers.predictors import predictor

SIZES = (1.5, 1.25, 8.0)
AFFINE = np.diag([-1.5, -1.25, 8.0, 1.0])
SAID = "sform (code 1) states voxel size 1 x 1 x 1 mm, taken is voxel size 1.5 x 1.25 x 8 mm"


def spacing(path: Path) -> tuple[float, ...]:
    return tuple(sorted(SimpleITK.ReadImage(str(path)).GetSpacing()))


def test_predict(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    array = np.random.default_rng(0).normal(size=(15, 17, 7)).astype(np.float32)
    good = save(tmp_path / "in" / "good.nii.gz", array, AFFINE)
    bad = contradict(good, tmp_path / "in" / "bad.nii.gz")
    found = group_images(image_files(tmp_path / "in"), keys=(), n_channels=1)
    cases = [CaseToDo(case, tmp_path / f"{case.case}.nii.gz") for case in found]
    run = predict_cases(predictor(), cases, Asked())
    assert run.failed == {}
    one, other = (nib.load(tmp_path / name) for name in ("good.nii.gz", "bad.nii.gz"))
    np.testing.assert_array_equal(np.asarray(one.dataobj), np.asarray(other.dataobj))
    assert np.asarray(one.dataobj).any()
    np.testing.assert_array_equal(other.affine, nib.load(bad).affine)  # the mask's own header
    assert spacing(tmp_path / "bad.nii.gz") == pytest.approx(sorted(SIZES))
    said = caplog.text
    assert SAID in said and str(bad) in said and str(good) not in said


def test_voxels_of_metres_are_refused_with_the_reason(tmp_path: Path) -> None:
    CONTRADICT["metres"].write(tmp_path / "in" / "a.nii.gz", np.ones((40, 40, 40), np.float32))
    (found,) = group_images(image_files(tmp_path / "in"), keys=(), n_channels=1)
    run = predict_cases(predictor(), [CaseToDo(found, tmp_path / "a.nii.gz")], Asked())
    assert "expected at most" in run.failed["a"] and "xyzt_units states metres" in run.failed["a"]


def test_a_session(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    array = np.random.default_rng(0).normal(size=(15, 17, 7)).astype(np.float32)
    good = save(tmp_path / "good.nii.gz", array, AFFINE)
    masks = []
    for path in (good, contradict(good, tmp_path / "bad.nii.gz")):
        session = PromptSession(predictor())
        with caplog.at_level(logging.WARNING):
            session.set_image(path)
        session.add(Box((3, 3, 2), (12, 13, 6)))
        masks.append(session.predict())
    np.testing.assert_array_equal(*masks)
    (line,) = caplog.messages
    assert line.startswith(str(tmp_path / "bad.nii.gz")) and SAID in line


def test_submit_and_check(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    challenge = Challenge(tmp_path, ["a", "b"])
    for path in challenge.images.iterdir():
        save(path, np.asarray(nib.load(path).dataobj), AFFINE)
    contradict(challenge.images / "b.nii.gz")
    assert challenge.run() == []
    assert all(np.array_equal(mask, bricks()) for mask in challenge.written().values())
    said = caplog.text
    assert SAID in said and "case 'b'" in said
    assert check_output(tmp_path / "input", challenge.output).problems == ()


def test_submit_takes_a_unit_that_gives_no_body_for_mm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    challenge = Challenge(tmp_path, ["a"])
    CONTRADICT["metres"].write(challenge.images / "a.nii.gz", np.ones((4, 6, 5), np.float32))
    seen = []

    class Spacing(BoxFiller):
        def predict_prompts(self, images: Any, prompts: Any) -> Any:
            seen.append(images[0].spacing_mm)
            return super().predict_prompts(images, prompts)

    challenge.run(Spacing())
    assert seen[0] == pytest.approx((1.5, 2.0, 8.0), rel=1e-5)
    assert "no image can have the affine" in caplog.text


@pytest.mark.parametrize("spoilt", ["labels", "predictions", "both"])
def test_evaluate(tmp_path: Path, spoilt: str, caplog: pytest.LogCaptureFixture) -> None:
    moved = np.roll(bricks(), 1, axis=2)
    for folder, array in (("labels", bricks()), ("predictions", moved)):
        path = save(tmp_path / folder / "a.nii.gz", array, AFFINE)
        copy = tmp_path / "bad" / folder / "a.nii.gz"
        copy.parent.mkdir(parents=True)
        contradict(path, copy) if spoilt in (folder, "both") else shutil.copy(path, copy)
    good = evaluate_folders(tmp_path / "labels", tmp_path / "predictions")
    assert "headers" not in good and good["mean"]["500"]["hd_mm"] == pytest.approx(8.0)
    two = FolderOptions(num_processes=2)
    bad = evaluate_folders(
        tmp_path / "bad/labels", tmp_path / "bad/predictions", folder_options=two
    )
    assert good["mean"] == {
        label: pytest.approx(scores, rel=1e-5, nan_ok=True) for label, scores in bad["mean"].items()
    }
    lines = bad["headers"]["a"]
    assert len(lines) == (2 if spoilt == "both" else 1) and all(SAID in line for line in lines)
    assert lines[0] in caplog.text


def test_simulate(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = save(tmp_path / "good" / "a.nii.gz", bricks(), AFFINE)
    (tmp_path / "bad").mkdir()
    contradict(good, tmp_path / "bad" / "a.nii.gz")
    for name in ("good", "bad"):
        simulate_prompts_json(tmp_path / name, tmp_path / f"{name}.json")
    one, other = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("good", "bad"))
    assert one == other
    assert SAID in caplog.text


def nnunet_download(root: Path) -> None:
    save(root / "imagesTr/p_0000.nii.gz", bricks(), AFFINE)
    save(root / "labelsTr/p.nii.gz", (bricks() == 500).astype(np.uint8), AFFINE)
    content = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "LV": 1},
        "numTraining": 1,
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(content))


def msd_download(root: Path) -> None:
    two = np.stack([bricks(), bricks()], 3).astype(np.float32)
    save(root / "imagesTr/p.nii.gz", two, AFFINE)
    save(root / "labelsTr/p.nii.gz", (bricks() == 500).astype(np.uint8), AFFINE)
    content = {
        "name": "lobes",
        "modality": {"0": "MRI", "1": "T2"},
        "labels": {"0": "background", "1": "front"},
        "training": [{"image": "imagesTr/p.nii.gz", "label": "labelsTr/p.nii.gz"}],
    }
    (root / "dataset.json").write_text(json.dumps(content))


@each(("download", "convert"), [(nnunet_download, nnunet_raw.convert), (msd_download, msd.convert)])
def test_converters_of_data_sets(
    tmp_path: Path,
    download: Callable[[Path], None],
    convert: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    source = tmp_path / "Dataset009_Lobes"
    source.mkdir()
    download(source)
    files = sorted(source.glob("*/*.nii.gz"))
    for path in files:
        contradict(path)
    folder = convert(source, 9)
    written = sorted(folder.glob("*/*.nii.gz"))
    assert len(written) >= 2
    assert all(spacing(path) == pytest.approx(sorted(SIZES)) for path in written)
    assert all(read_nifti(path).notes == () for path in written)
    said = caplog.text
    assert all(f"note: {path}: the header contradicts itself" in said for path in files)
    assert SAID in said


def myops_download(root: Path) -> None:
    for part in ("LGE", "gd"):
        save(root / f"Case2001/Case2001_{part}.nii.gz", bricks(), AFFINE)


def whs_download(root: Path) -> None:
    values = np.resize(np.array((0, 205, 420, 500, 550, 600, 820, 850), np.int16), (4, 6, 5))
    for part in ("image", "label"):
        save(root / f"Case1001_{part}.nii.gz", values, AFFINE)


def lascarqs_download(root: Path) -> None:
    for part in ("enhanced", "atriumSegImgMO", "scarSegImgM"):
        array = np.random.default_rng(1).integers(0, 99, (4, 6, 5)).astype(np.int16)
        mask = (bricks() == 500).astype(np.uint8)
        array = array if part == "enhanced" else mask
        save(root / f"task1/train_data/train_1/{part}.nii.gz", array, AFFINE)


def liqa_download(root: Path) -> None:
    for part in ("GED4", "mask_GED4"):
        array = (bricks() == 500).astype(np.uint8)
        save(root / f"Vendor_B1/0241-B1-S2/{part}.nii.gz", array, AFFINE)


@each(
    ("download", "module"),
    [
        (myops_download, myops),
        (whs_download, whs),
        (lascarqs_download, lascarqs),
        (liqa_download, liqa),
    ],
)
def test_converters_of_care(
    tmp_path: Path,
    download: Callable[[Path], None],
    module: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    source = tmp_path / "download"
    download(source)
    files = sorted(source.rglob("*.nii.gz"))
    for path in files:
        contradict(path)
    (examined,) = module.examine(source)
    assert isinstance(examined, Examined) and examined.inspection.problems == ()
    assert examined.inspection.spacing_mm == pytest.approx(SIZES)
    assert sum(SAID in note for note in examined.inspection.notes) == len(files)
    folder = module.convert(source, 9)
    written = sorted(folder.glob("*/*.nii.gz"))
    assert all(spacing(path) == pytest.approx(sorted(SIZES)) for path in written) and written
    said = caplog.text
    assert said.count(SAID) == len(files)
    report = json.loads((folder / "conversion_report.json").read_text())
    (entry,) = report["cases"].values()
    assert sum(SAID in line for line in entry["done"]) == len(files)


def test_many_headers_are_summed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    source = tmp_path / "Dataset009_Lobes"
    (source / "imagesTr").mkdir(parents=True)
    nnunet_download(source)
    for path in sorted(source.glob("*/*.nii.gz")):
        contradict(path)
        for n in range(4):
            shutil.copy(path, path.with_name(path.name.replace("p", f"q{n}")))
    nnunet_raw.convert(source, 9)
    said = caplog.text
    assert said.count(SAID) == 5 and "note: 5 more headers are such" in said
    caplog.clear()
    nnunet_raw.convert(source, 9)  # what is complete is not read again
    assert SAID not in caplog.text
