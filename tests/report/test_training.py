"""The page of a training: its log, its validation, its prompts, and what is refused."""

from __future__ import annotations

import base64
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nnunet_prompt.cli.main import main
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.networks.capability import Capability, write_capability
from nnunet_prompt.report.as_seen import Source, prompts_as_seen
from nnunet_prompt.report.log_file import read_logs
from nnunet_prompt.report.training import write_training_report
from nnunet_prompt.report.validation import read_validation
from nnunet_prompt.training.validation_prompts import VALIDATION_KINDS, folder_name
from tests.helpers.each import each
from tests.helpers.models import SPACING, hand_made_dataset_json, hand_made_plans
from tests.report.html import read_page
from tests.report.test_masks import check_whole

pytestmark = pytest.mark.slow  # a whole product

DATASET = "Dataset501_Tiny"
SHAPE = (12, 40, 36)  # reader frame
CASES = ("t1", "t2", "t3")
STAMP = "2026-01-02 03:04:05.678901: "


def log_text(epochs: range, preprocessed: Path) -> str:
    lines = [f"Using splits from existing split file: {preprocessed / 'splits_final.json'} "]
    for n in epochs:
        lines += [
            f"Epoch {n} ",
            f"Current learning rate: {0.01 / (n + 1):.5f} ",
            f"Pseudo Dice without prompts: ball 0.5, shell nan; of the object, with prompts: 0.{n + 1} ",
            f"train_loss {1.5 - n / 4} ",
            f"val_loss {-n / 8} ",
            f"Pseudo dice [np.float64(0.2), np.float32(0.{n + 3}), nan] ",
            "Epoch time: 12.5 s ",
        ]
    return "\n#####\nPlease cite nnU-Net\n" + "".join(f"{STAMP}{line}\n" for line in lines)


def truth(case: str) -> np.ndarray:
    array = np.zeros(SHAPE, np.uint8)
    array[3:9, 8:24, 10:20] = 1
    array[4:7, 26:32, 22:30] = 2 if case == "t1" else 0
    return array


def save(path: Path, array: np.ndarray) -> None:
    import nibabel as nib

    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([-SPACING[2], -SPACING[1], SPACING[0], 1.0])
    nib.save(nib.Nifti1Image(array.transpose(2, 1, 0), affine), path)


@pytest.fixture
def fold(tmp_path: Path) -> Path:
    """Fold 0 of a model that was never trained, with log and validation, and nnU-Net's folders around it."""
    model = tmp_path / "results" / DATASET / "nnUNetTrainerPrompt__tinyPlans__3d_fullres"
    fold, preprocessed = model / "fold_0", tmp_path / "preprocessed" / DATASET
    fold.mkdir(parents=True)
    (model / "plans.json").write_text(json.dumps(hand_made_plans()))
    (model / "dataset.json").write_text(json.dumps(hand_made_dataset_json()))
    write_capability(model, Capability(grid_spacing=SPACING))
    (fold / "checkpoint_final.pth").write_bytes(b"no checkpoint")
    for name, epochs in (("2026_1", range(3)), ("2026_2", range(2, 5))):  # it was resumed
        (fold / f"training_log_{name}.txt").write_text(log_text(epochs, preprocessed))
    write_data(preprocessed, tmp_path / "nnUNet_raw" / DATASET)
    write_validation(fold)
    return fold


def write_data(preprocessed: Path, raw: Path) -> None:
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

    folder = preprocessed / "nnUNetPlans_3d_fullres"
    folder.mkdir(parents=True)
    properties = {
        "spacing": list(SPACING),
        "shape_before_cropping": SHAPE,
        "bbox_used_for_cropping": [[0, n] for n in SHAPE],
        "shape_after_cropping_and_before_resampling": SHAPE,
    }
    for case in CASES:
        image = truth(case).astype(np.float32)[None]
        seg = truth(case).astype(np.int8)[None]
        whole = {"chunks": (1, *SHAPE), "blocks": (1, *SHAPE)}
        whole |= {"chunks_seg": whole["chunks"], "blocks_seg": whole["blocks"]}
        nnUNetDatasetBlosc2.save_case(image, seg, properties, str(folder / case), **whole)
        save(preprocessed / "gt_segmentations" / f"{case}.nii.gz", truth(case))
        save(raw / "imagesTr" / f"{case}_0000.nii.gz", image[0])


def write_validation(fold: Path) -> None:
    """Masks and scores of three kinds; t2 is the worst without prompts."""
    rows: list[dict[str, Any]] = []
    kinds = {"none": 0.5, "3D box": 0.7, "box in slices": 0.9}
    for n, case in enumerate(CASES):
        scores = {
            kind: {"1": {"Dice": dice - (0.2 if n == 1 else 0.0), "HD": 9.0, "HD95": 4.0}}
            for kind, dice in kinds.items()
        }
        rows.append({"case": case, "metrics": scores["none"], "prompt_kinds": scores})
        for kind, shift in (("none", 4), ("3D box", 2), ("box in slices", 1)):
            folder = fold / "validation" / ("" if kind == "none" else folder_name(kind))
            save(folder / f"{case}.nii.gz", np.roll(truth(case), shift, axis=1))
    about = {kind: {"gated": "slices" in kind, "mean": {}} for kind in kinds}
    summary = {"metric_per_case": rows, "prompt_kinds": about, "structures": {"1": "ball"}}
    (fold / "validation" / "summary.json").write_text(json.dumps(summary))


def test_logs_of_a_resumed_training_are_one(fold: Path) -> None:
    log = read_logs(fold)
    assert log.epochs == 5
    assert log.values["train_loss"] == (1.5, 1.25, 1.0, 0.75, 0.5)
    assert log.values["val_loss"] == (0, -0.125, -0.25, -0.375, -0.5)
    assert log.values["object"] == pytest.approx((0.1, 0.2, 0.3, 0.4, 0.5))
    assert log.values["structures"] == pytest.approx((0.25, 0.3, 0.35, 0.4, 0.45))
    assert log.values["seconds"] == (12.5,) * 5
    assert log.preprocessed is not None and log.preprocessed.name == DATASET


def test_an_epoch_that_did_not_end_is_none(tmp_path: Path) -> None:
    text = log_text(range(2), tmp_path) + f"{STAMP}Epoch 2 \n{STAMP}Current learning rate: 1e-05 \n"
    (tmp_path / "training_log_1.txt").write_text(text)
    assert read_logs(tmp_path).epochs == 2


def test_epochs_that_are_missing_are_gaps(tmp_path: Path) -> None:
    (tmp_path / "training_log_1.txt").write_text(log_text(range(2, 4), tmp_path))
    losses = read_logs(tmp_path).values["train_loss"]
    assert losses == pytest.approx((np.nan, np.nan, 1.0, 0.75), nan_ok=True)
    assert read_logs(tmp_path / "nowhere").epochs == 0


def test_the_page_of_a_fold(fold: Path, tmp_path: Path) -> None:
    written = write_training_report(fold, tmp_path / "report.html")
    assert written.cases == 3
    page = read_page(written.path)
    check_whole(page)
    for words in (
        "5 epochs",
        "Loss by epoch",
        "no prompt",
        "box in slices",
        "+0.400",
        "ball",
        "edt",
    ):
        assert words in page.text + "".join(page.charts), words
    assert page.tags["article"] == 3
    seen = len(VALIDATION_KINDS) - 1
    slices = 5
    assert page.tags["img"] == seen + 3 * 2 * slices  # the best kind stands beside no prompt
    places = re.findall(r"</span>(\w+)</h3>", written.path.read_text(encoding="utf-8"))
    assert places == ["t2", "t1", "t3"]
    assert len(page.charts) == 4 + 2


@pytest.mark.slow
def test_a_model_folder_is_all_its_folds(fold: Path, tmp_path: Path) -> None:
    other = fold.parent / "fold_1"
    other.mkdir()
    (other / "training_log_1.txt").write_text(log_text(range(2), tmp_path))
    page = read_page(write_training_report(fold.parent, tmp_path / "report.html").path)
    check_whole(page)
    assert "fold_0, fold_1 of" in page.text and len(page.charts) == 2 * 4 + 2


@pytest.mark.slow
def test_what_is_not_found_is_stated(fold: Path, tmp_path: Path) -> None:
    (tmp_path / "preprocessed").rename(tmp_path / "elsewhere")
    page = read_page(write_training_report(fold, tmp_path / "report.html").path)
    check_whole(page)
    assert "the preprocessed data set, which holds the references, is not found" in page.text
    assert page.tags["img"] == 0 and page.tags["article"] == 3
    os.environ["nnUNet_preprocessed"] = str(tmp_path / "elsewhere")  # restored by tests/conftest.py
    os.environ["nnUNet_raw"] = str(tmp_path / "nnUNet_raw")
    page = read_page(write_training_report(fold, tmp_path / "report.html").path)
    assert page.tags["img"] > 30


def test_a_training_without_validation(fold: Path, tmp_path: Path) -> None:
    (fold / "validation" / "summary.json").unlink()
    page = read_page(write_training_report(fold, tmp_path / "report.html").path)
    check_whole(page)
    assert "not validated yet" in page.text and len(page.charts) == 4


def test_a_summary_of_nnunet_alone(fold: Path) -> None:
    rows = [{"metrics": {"1": {"Dice": 0.5, "IoU": 0.3}}, "reference_file": "/a/b/t1.nii.gz"}]
    (fold / "validation" / "summary.json").write_text(json.dumps({"metric_per_case": rows}))
    found = read_validation([fold])
    assert found is not None and [arm.name for arm in found.study.arms] == ["none"]
    assert found.study.values(0, "1", "dice") == {"t1": 0.5}
    assert found.study.structures == {"1": "label 1"}


def test_the_channels_are_where_the_prompts_are(fold: Path, tmp_path: Path) -> None:
    name, seen = prompts_as_seen(Source(fold.parent, tmp_path / "preprocessed" / DATASET, "t2"))
    assert name == "ball" and [one.kind for one in seen] == list(VALIDATION_KINDS[1:])
    by_kind = {one.kind: pixels(one.image) for one in seen}
    box = blue(by_kind["3D box"])
    rows, columns = np.flatnonzero(box.any(1)), np.flatnonzero(box.any(0))
    height, width = box.shape
    # rows 8 to 24 of 40 and columns 10 to 20 of 36: the picture shows all of the grid
    assert (rows[0] / height, rows[-1] / height) == pytest.approx((8 / 40, 24 / 40), abs=0.02)
    assert (columns[0] / width, columns[-1] / width) == pytest.approx((10 / 36, 20 / 36), abs=0.02)
    assert not blue(by_kind["one click"]).any()


def pixels(uri: str) -> np.ndarray:
    content = base64.b64decode(uri.partition("base64,")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), int)


def blue(picture: np.ndarray) -> np.ndarray:
    """Where a picture is more blue than red: the colour of boxes."""
    return np.asarray(picture[..., 2] > picture[..., 0] + 20)


@each(
    "change, message",
    [
        ("nothing", "nothing: no such folder"),
        ("empty", "empty: not a training: expected training_log_*.txt"),
        ("broken", "summary.json: not a summary of a validation"),
    ],
)
def test_what_is_wrong_is_one_line(fold: Path, tmp_path: Path, change: str, message: str) -> None:
    (tmp_path / "empty").mkdir(exist_ok=True)
    broken = tmp_path / "broken" / "validation"
    broken.mkdir(parents=True, exist_ok=True)
    (broken / "summary.json").write_text('{"metric_per_case": [1]}')
    with pytest.raises(NNUNetPromptError) as found:
        write_training_report(tmp_path / change, tmp_path / "report.html")
    assert message in str(found.value) and "\n" not in str(found.value)


def test_the_verb_takes_one_folder_for_a_training(
    fold: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "report.html"
    assert main(["report", str(fold), "-o", str(output)]) == 0
    assert capsys.readouterr().out == f"wrote {output} (3 validation cases)\n"
    assert main(["report", str(fold), "-o", str(output), "--groups", "g.csv"]) == 1
    assert "--groups: is of a report of masks" in capsys.readouterr().err
