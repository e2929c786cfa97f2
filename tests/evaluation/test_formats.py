"""Label files of every format that nnU-Net reads are scored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk

from nnunet_prompt.evaluation.folders import evaluate_folders
from tests.helpers.each import each

TRUTH = np.zeros((5, 5, 6), np.uint8)  # (slices, rows, columns)
TRUTH[:, 1:3, 1:5] = 2
FOUND = np.zeros_like(TRUTH)
FOUND[:, 1:3, 1:4] = 2
SPACING = (1.5, 2.0, 4.0)  # x, y, z


def write(path: Path, labels: npt.NDArray[Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".tif":
        import tifffile

        tifffile.imwrite(path, labels)
        path.with_suffix(".json").write_text(json.dumps({"spacing": SPACING[::-1]}))
    elif path.suffix == ".png":
        sitk.WriteImage(sitk.GetImageFromArray(labels[1]), str(path))
    else:
        image = sitk.GetImageFromArray(labels)
        image.SetSpacing(SPACING)
        image.SetOrigin((5, 6, 7))
        sitk.WriteImage(image, str(path))


@each("ending", [".nrrd", ".mha", ".gipl", ".tif", ".png"])
def test_they_are_scored_with_their_own_spacing(ending: str, tmp_path: Path) -> None:
    write(tmp_path / "labels" / f"a{ending}", TRUTH)
    write(tmp_path / "masks" / f"a_pred{ending}", FOUND)
    scores = evaluate_folders(tmp_path / "labels", tmp_path / "masks")["cases"]["a"]["2"]
    assert scores["dice"] == pytest.approx(2 * 6 / (8 + 6))
    assert scores["hd_mm"] == pytest.approx(1.0 if ending == ".png" else SPACING[0])


def test_label_files_of_one_format_and_predictions_of_another(tmp_path: Path) -> None:
    write(tmp_path / "labels" / "a.nrrd", TRUTH)
    write(tmp_path / "masks" / "a.nii.gz", FOUND)
    scores = evaluate_folders(tmp_path / "labels", tmp_path / "masks")["cases"]["a"]["2"]
    assert scores["dice"] == pytest.approx(12 / 14)


def test_another_place_is_another_grid(tmp_path: Path) -> None:
    write(tmp_path / "labels" / "a.nrrd", TRUTH)
    moved = sitk.ReadImage(str(tmp_path / "labels" / "a.nrrd"))
    moved.SetOrigin((5, 16, 7))
    (tmp_path / "masks").mkdir()
    sitk.WriteImage(moved, str(tmp_path / "masks" / "a.nrrd"))
    assert "a" in evaluate_folders(tmp_path / "labels", tmp_path / "masks")["failed"]
