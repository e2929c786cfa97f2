"""A trained model handed on the nnU-Net way: exported to a zip, and installed under another name elsewhere."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from nnunet_prompt.inference.model_files import CAPABILITY_KEY
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.io.nifti import read_nifti
from nnunet_prompt.networks.capability import CAPABILITY_FILE, capability_to_json, read_capability
from tests.helpers.models import PLANS, TABLE
from tests.helpers.tiny_data import NAMES, TinyData, nnunet_environment, trained

pytestmark = pytest.mark.slow

TRAINER = "nnUNetTrainerPromptDemo"


@pytest.fixture(scope="module", params=["2d", "3d_fullres"])
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TinyData, Path, str]:
    return (*trained(tmp_path_factory, request.param), request.param)


def opened(folder: Path) -> PromptPredictor:
    return PromptPredictor.from_folder(folder, PredictOptions(device="cpu", use_mirroring=False))


def test_nnunets_own_files_say_it_too(model: tuple[TinyData, Path, str]) -> None:
    _, folder, _ = model
    expected = json.loads(json.dumps(capability_to_json(read_capability(folder))))
    assert json.loads((folder / "dataset.json").read_text())[CAPABILITY_KEY] == expected
    content = torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=False)
    inside = content["init_args"]["dataset_json"][CAPABILITY_KEY]
    assert json.loads(json.dumps(inside)) == expected
    plans = json.loads((folder / "plans.json").read_text())
    assert plans["nnunet_prompt"] == {"orientation": "canonical"}


def test_exported_and_installed(model: tuple[TinyData, Path, str], tmp_path: Path) -> None:
    data, folder, configuration = model
    elsewhere = {**data.variables, "nnUNet_results": str(tmp_path / "there")}
    (tmp_path / "there").mkdir()
    with nnunet_environment(data.variables):
        from nnunetv2.model_sharing.model_export import export_pretrained_model
        from nnunetv2.model_sharing.model_import import install_model_from_zip_file

        given = {"trainer": TRAINER, "plans_identifier": PLANS, "folds": (0,)}
        export_pretrained_model(501, str(tmp_path / "m.zip"), (configuration,), **given)
    with zipfile.ZipFile(tmp_path / "m.zip") as packed:
        assert not any(name.endswith(CAPABILITY_FILE) for name in packed.namelist())
    with nnunet_environment(elsewhere):
        install_model_from_zip_file(str(tmp_path / "m.zip"))
    installed = (tmp_path / "there" / data.dataset / folder.name).rename(tmp_path / "any name")
    image = read_nifti(data.raw / "imagesTr" / f"{NAMES[5]}_0000.nii.gz")
    there, here = opened(installed), opened(folder)
    assert there.model.capability == here.model.capability
    expected = here.predict_structures([image])
    assert np.array_equal(there.predict_structures([image]), expected) and expected.any()


def test_stock_nnunet_is_right_in_another_orientation(
    model: tuple[TinyData, Path, str], tmp_path: Path
) -> None:
    data, folder, _ = model
    stored = nib.load(data.raw / "imagesTr" / f"{NAMES[5]}_0000.nii.gz")
    turned = stored.as_reoriented([[2, -1], [0, 1], [1, -1]])
    turned.to_filename(tmp_path / "a_0000.nii.gz")
    with nnunet_environment(data.variables):
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        stock = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
        stock.initialize_from_trained_model_folder(str(folder), (0,), "checkpoint_final.pth")
        stock.predict_from_files_sequential(
            [[str(tmp_path / "a_0000.nii.gz")]], [str(tmp_path / "a")]
        )
    values = np.array([0, *(s.official for s in TABLE.structures)])
    found = nib.load(tmp_path / "a.nii.gz")
    expected = opened(folder).predict_structures([read_nifti(tmp_path / "a_0000.nii.gz")])
    assert (values[np.asarray(found.dataobj)] != expected).mean() < 5e-3
    np.testing.assert_array_equal(found.affine, turned.affine)
