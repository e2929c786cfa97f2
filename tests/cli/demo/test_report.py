"""The picture shows what the files say, in the frame of the prompts."""

from __future__ import annotations

import io
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from rich.console import Console

from nnunet_prompt.cli.demo.picture import Row, draw_picture, load_row
from nnunet_prompt.cli.demo.report import draw_demo_picture, results_table
from nnunet_prompt.prompt_files.prompts_json_convention import RawCase, RawPrompt
from nnunet_prompt.prompts.types import Box, Point

# An L, P, S file of 4 x 3 x 2 voxels: its PLS array is (3, 4, 2), rows and columns exchanged. 2 x 3 x 8 mm.
AFFINE = np.diag([-2.0, -3.0, 8.0, 1.0])
PLS = np.zeros((3, 4, 2), np.uint16)
PLS[1, 2:4, 1] = 500  # one row, two columns, the upper slice


def _save(path: Path, pls: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(pls.transpose(1, 0, 2), AFFINE), path)
    return path


@pytest.fixture
def test_folder(tmp_path: Path) -> Path:
    ramp = np.arange(24, dtype=np.int16).reshape(3, 4, 2)
    _save(tmp_path / "images" / "Case1.nii.gz", ramp)
    _save(tmp_path / "labels" / "Case1.nii.gz", PLS)
    _save(tmp_path / "masks" / "Case1_pred.nii.gz", PLS[:, ::-1])
    _save(tmp_path / "plain" / "Case1.nii.gz", PLS[::-1, ::-1] // 2)
    content = {"Case1": {"0": None, "1": {"500": [[1, 2, 2, 4], [[1, 3]]]}}}
    (tmp_path / "prompts.json").write_text(json.dumps(content))
    return tmp_path


def test_a_row_is_the_telling_slice_in_the_frame_of_the_prompts(test_folder: Path) -> None:
    prompts = {0: {500: RawPrompt((0, 0, 1, 1))}, 1: {500: RawPrompt((1, 2, 2, 4), ((1, 3),))}}
    row = load_row(
        test_folder / "images" / "Case1.nii.gz",
        test_folder / "masks" / "Case1_pred.nii.gz",
        test_folder / "plain" / "Case1.nii.gz",
        test_folder / "labels" / "Case1.nii.gz",
        prompts=RawCase("here", prompts),
    )
    assert row.title == "Case1, slice 1"
    assert row.aspect == pytest.approx(3 / 2)  # P is stored 3 mm high, L 2 mm wide
    assert row.image.tolist() == [[1, 3, 5, 7], [9, 11, 13, 15], [17, 19, 21, 23]]
    assert row.truth.tolist() == [[0, 0, 0, 0], [0, 0, 500, 500], [0, 0, 0, 0]]
    assert row.mask.tolist() == [[0, 0, 0, 0], [500, 500, 0, 0], [0, 0, 0, 0]]
    assert row.plain.tolist() == [[0, 0, 0, 0], [250, 250, 0, 0], [0, 0, 0, 0]]
    boxes, points = row.prompts[500]
    assert boxes == (Box((1, 2, 1), (2, 4, 2)),)
    assert points == (Point((1, 3, 1)),)


def test_the_picture_of_folders(test_folder: Path) -> None:
    path = test_folder / "picture.png"
    assert (
        draw_demo_picture(test_folder, test_folder / "masks", test_folder / "plain", path, count=3)
        == path
    )
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in test_folder.glob("*.png")] == ["picture.png"]


def test_a_picture_of_nothing_but_background(tmp_path: Path) -> None:
    empty = np.zeros((3, 4), np.int32)
    row = Row("Case1", np.zeros((3, 4), np.float32), {}, empty, empty, empty, aspect=1.0)
    draw_picture([row], {1: "LV"}, tmp_path / "p.png")
    assert (tmp_path / "p.png").is_file()


def test_the_table_says_where_a_structure_was_not_found(tmp_path: Path) -> None:
    def score(
        dice: float | None, distance: float | None, volume: float | None
    ) -> dict[str, object]:
        return {"dice": dice, "hd95_mm": distance, "volume_error": volume}

    found, lost = score(0.9, 2.25, 0.1), score(0.0, 236.4, -1.0)
    arms = {
        "with": {
            "a": {"500": found, "600": lost},
            "b": {"500": score(0.8, 3.25, 0.0), "600": found},
        },
        "without": {"a": {"500": lost}, "b": {"500": lost, "600": score(None, None, None)}},
    }
    for arm, cases in arms.items():
        (tmp_path / arm).write_text(json.dumps({"cases": cases, "mean": {}}))
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(results_table({arm: tmp_path / arm for arm in arms}))
    lines = {
        line.split()[1]: [cell.strip() for cell in line.split("│")[2:6]]
        for line in console.export_text().splitlines()
        if "│" in line
    }
    assert lines["LV"] == ["0.850", "0.000", "2.8", "not found"]
    assert lines["RV"] == ["0.450", "–", "2.2 (1 not found)", "–"]
    assert lines["scar"] == ["–"] * 4
