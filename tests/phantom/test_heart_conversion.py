"""The phantom folder becomes nnU-Net raw data with unions, priorities and partial labels."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.side_file import read_side_file
from nnunet_prompt.phantom.heart import write_phantoms
from nnunet_prompt.phantom.heart_conversion import convert, main, phantom_cases

pytestmark = pytest.mark.slow


def test_a_phantom_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    folder = convert(write_phantoms(tmp_path / "train", 3), 901)
    assert folder == tmp_path / "raw" / "Dataset901_PhantomHeart"
    content = json.loads((folder / "dataset.json").read_text())
    assert content["labels"] == {"background": 0, "LV": 1, "myocardium": 2, "RV": 3, "scar": 4}
    block = content["nnunet_prompt"]
    assert block["structures"] == {
        "LV": {"label": 1, "members": [1], "official": 500},
        "myocardium": {"label": 2, "members": [2, 4], "official": 200},
        "RV": {"label": 3, "members": [3], "official": 600},
        "scar": {"label": 4, "members": [4], "official": 2221},
    }
    assert block["priority"].index("scar") < block["priority"].index("myocardium")
    assert block["cases"] == {"Case1003": {"annotated": ["LV", "RV", "myocardium"]}}
    assert read_side_file(folder)["Case1002"]["centre"] == "B"
    for case in ("Case1001", "Case1002", "Case1003"):
        image = nib.load(folder / f"imagesTr/{case}_0000.nii.gz")
        label = np.asarray(nib.load(folder / f"labelsTr/{case}.nii.gz").dataobj)
        assert image.shape == label.shape
        assert np.argmax(image.header.get_zooms()) == 2  # axis 0 for nnU-Net: the slices
        assert set(np.unique(label)) - {4} == {0, 1, 2, 3}
    assert label.max() == 3  # nobody read scar in centre C


def test_folders_without_phantoms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DatasetError, match=r"cases.json: no such file"):
        list(phantom_cases(tmp_path))
    for text in ("{", "[]", '{"cases": {"a": 1}}'):
        (tmp_path / "cases.json").write_text(text)
        with pytest.raises(
            DatasetError, match=r"cases\.json: .*(phantoms there first|form of a phantom folder)"
        ):
            list(phantom_cases(tmp_path))
    assert main([str(tmp_path), "-d", "1"]) == 1
    assert capsys.readouterr().err.startswith("error: ")
