"""Rows about predictions: of a folder with a hand-made model, with and without prompts."""

from __future__ import annotations

import csv
import json
import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import nn

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.inference import monitor as module
from nnunet_prompt.inference.monitor import (
    HEAD,
    WITHOUT_PROMPTS,
    _Seen,
    append_rows,
    intensities,
    thickness_mm,
)
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predict_folder import predict_folder
from nnunet_prompt.inference.run_options import RunOptions
from tests.helpers.models import write_model_folder

FAST = PredictOptions(device="cpu", use_mirroring=False)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model_folder(tmp_path_factory.mktemp("model") / "model")


def _images(folder: Path, *names: str) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in names:
        array = rng.normal(100, 20, (12, 14, 9)).astype(np.float32)
        nib.save(nib.Nifti1Image(array, np.diag([1.25, 1.5, 4.0, 1.0])), folder / f"{name}.nii.gz")
    return folder


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_per_case_and_structure(model: Path, tmp_path: Path) -> None:
    images, table = _images(tmp_path / "images", "a", "b"), tmp_path / "table.csv"
    masks = tmp_path / "masks"
    predict_folder(images, masks, model=model, options=FAST, run_options=RunOptions(monitor=table))
    rows = _rows(table)
    assert [(r["case"], r["structure"]) for r in rows] == [
        (case, name) for case in "ab" for name in ("ball", "shell", "core")
    ]
    mask = np.asarray(nib.load(masks / "a.nii.gz").dataobj)
    ml = np.count_nonzero(mask == 500) * 1.25 * 1.5 * 4.0 / 1000
    assert float(rows[0]["volume_ml"]) == pytest.approx(ml)
    assert 0 < float(rows[0]["entropy"]) <= 1
    assert [float(rows[0][f"spacing_{axis}"]) for axis in "xyz"] == pytest.approx([1.25, 1.5, 4.0])
    assert tuple(rows[0]) == WITHOUT_PROMPTS
    assert all(rows[0][key] for key in ("bottleneck_mean", "bottleneck_sd", "seconds", "roughness"))
    array = np.asarray(nib.load(images / "a.nii.gz").dataobj)
    assert float(rows[0]["intensity_p50"]) == pytest.approx(float(np.median(array)), abs=1e-3)


def test_masks_are_the_same_without_a_monitor(model: Path, tmp_path: Path) -> None:
    images = _images(tmp_path / "images", "a")
    for name, run in (("with", RunOptions(monitor=tmp_path / "t.csv")), ("without", RunOptions())):
        predict_folder(images, tmp_path / name, model=model, options=FAST, run_options=run)
    one, two = (
        np.asarray(nib.load(tmp_path / n / "a.nii.gz").dataobj) for n in ("with", "without")
    )
    assert np.array_equal(one, two)


def test_prompts_and_what_the_mask_makes_of_them(model: Path, tmp_path: Path) -> None:
    images, table = _images(tmp_path / "images", "a"), tmp_path / "table.csv"
    points = {"ball": {"points": [[5, 6, 4]]}, "77": {"points": [[2, 2, 2]]}}
    said = {"format": "nnunet-prompt", "version": 1, "cases": {"a": points}}
    (tmp_path / "a.json").write_text(json.dumps(said))
    predict_folder(
        images,
        tmp_path / "masks",
        model=model,
        prompts=tmp_path / "a.json",
        options=FAST,
        run_options=RunOptions(monitor=table),
    )
    rows = _rows(table)
    assert [r["structure"] for r in rows] == ["ball", "77"]
    assert [float(r["agreement"]) for r in rows] == [1.0, 1.0]  # a click is within its mask
    assert all(0 <= float(r["added_tiles"]) <= 1 for r in rows)


def test_rows_are_added_to_an_earlier_table_and_to_no_other_file(
    model: Path, tmp_path: Path
) -> None:
    images, table = _images(tmp_path / "images", "a"), tmp_path / "table.csv"
    for folder in ("one", "two"):
        predict_folder(
            images,
            tmp_path / folder,
            model=model,
            options=FAST,
            run_options=RunOptions(monitor=table),
        )
    assert len(_rows(table)) == 6
    other = tmp_path / "other.csv"
    other.write_text("case,centre\na,B\n")
    for path, message in (
        (other, "name a new file"),
        (tmp_path, "expected a file to write with --monitor"),
        (tmp_path / "none" / "t.csv", "in a folder that exists"),
    ):
        with pytest.raises(NNUNetPromptError, match=message):
            predict_folder(
                images,
                tmp_path / "x",
                model=model,
                options=FAST,
                run_options=RunOptions(monitor=path),
            )
    assert other.read_text() == "case,centre\na,B\n"


def test_a_row_that_fails_costs_no_mask(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(image: object) -> object:
        raise RuntimeError("no")

    monkeypatch.setattr(module, "intensities", fail)
    images = _images(tmp_path / "images", "a")
    with caplog.at_level(logging.WARNING):
        predict_folder(
            images,
            tmp_path / "masks",
            model=model,
            options=FAST,
            run_options=RunOptions(monitor=tmp_path / "t.csv"),
        )
    assert (tmp_path / "masks" / "a.nii.gz").is_file()
    assert not (tmp_path / "t.csv").exists()
    assert any("no row in" in line for line in caplog.messages)


def test_entropy_is_that_of_the_voxels_that_are_not_ruled_out() -> None:
    network = nn.Identity()
    seen = _Seen(network)
    with seen.watching():
        network(
            torch.tensor(
                [
                    [[0.0, 0.0, -50.0, 50.0]],
                ]
            ).reshape(1, 1, 4)
        )
    assert seen.entropy(0) == pytest.approx(2 / 3)  # two bits over three voxels
    assert seen.entropy(1) is None
    assert seen.bottleneck() == {}
    network(torch.zeros(1, 1, 4))  # nobody watches
    assert seen.entropy(0) == pytest.approx(2 / 3)


def test_intensities_of_a_flat_and_of_a_stepped_image() -> None:
    flat = intensities(np.full((3, 3, 3), 7.0))
    assert flat["intensity_p05"] == flat["intensity_p95"] == 7.0
    assert "roughness" not in flat
    stepped = intensities(np.arange(101.0).reshape(101, 1, 1))
    assert stepped["intensity_p50"] == 50.0
    assert stepped["roughness"] == pytest.approx(1 / 90)
    assert intensities(np.zeros((0, 3, 3))) == {}


def test_the_header_is_written_once(tmp_path: Path) -> None:
    for case in "ab":
        append_rows(tmp_path / "t.csv", [{"case": case, "structure": "x", "entropy": None}])
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[0] == ",".join(HEAD)
    assert [line[:4] for line in lines[1:]] == ["a,x,", "b,x,"]


def test_thickness_is_twice_the_volume_over_the_surface() -> None:
    mask = np.zeros((50, 40, 6), bool)
    mask[5:8] = True  # a plate of 6 x 40 x 24 mm
    volume, surface = 6 * 40 * 24, 2 * (6 * 40 + 6 * 24 + 40 * 24)
    assert thickness_mm(mask, (2, 1, 4)) == pytest.approx(2 * volume / surface)
    assert thickness_mm(np.zeros((3, 3, 3), bool), (1, 1, 1)) is None
