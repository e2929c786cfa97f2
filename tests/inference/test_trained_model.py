"""A trained model folder, opened by us and by stock nnU-Net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
import torch

from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predict_folder import predict_folder
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.io.nifti import read_label_volume, read_nifti
from nnunet_prompt.prompts.frames import pls_map
from nnunet_prompt.prompts.types import CasePrompts
from nnunet_prompt.training.validation_prompts import simulated_prompts
from tests.helpers.models import TABLE
from tests.helpers.tiny_data import NAMES, TinyData, nnunet_environment, trained

pytestmark = pytest.mark.slow

OFFICIAL = {s.label: s.official for s in TABLE.structures}
VALIDATION = NAMES[5]  # annotates all, and is resampled
Trained = tuple[TinyData, Path]


@pytest.fixture(scope="module", params=["2d", "3d_fullres"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(tmp_path_factory, request.param)


def opened(model: Trained, **options: Any) -> PromptPredictor:
    return PromptPredictor.from_folder(model[1], PredictOptions(device="cpu", **options))


def read(path: Path) -> npt.NDArray[Any]:
    return np.asarray(nib.load(path).dataobj)


def dice(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.parametrize("name", NAMES[::5])
def test_stock_nnunet_gives_the_same_masks_without_prompts(
    model: Trained, name: str, tmp_path: Path
) -> None:
    """`nnUNetv2_predict` knows no prompts, and its argmax is our decoding where structures do not overlap."""
    data, folder = model
    source = data.raw / "imagesTr" / f"{name}_0000.nii.gz"
    with nnunet_environment(data.variables):
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        stock = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
        stock.initialize_from_trained_model_folder(str(folder), (0,), "checkpoint_final.pth")
        stock.predict_from_files_sequential([[str(source)]], [str(tmp_path / "stock")])
    expected = read(tmp_path / "stock.nii.gz")
    ours = opened(model, use_mirroring=False).predict_structures([read_nifti(source)])
    assert ours.shape == expected.shape
    assert expected.any()
    in_values = np.array([0, *OFFICIAL.values()])[expected]
    # nnU-Net adds its tiles up in half precision, which can turn a voxel that is undecided
    assert (ours != in_values).mean() < 1e-3


def test_the_validation_masks_are_what_the_predictor_gives(model: Trained) -> None:
    """Training's validation and prediction from files are two ways to the same voxels."""
    data, folder = model
    image = read_nifti(data.raw / "imagesTr" / f"{VALIDATION}_0000.nii.gz")
    written = read(folder / "fold_0" / "validation" / f"{VALIDATION}.nii.gz")
    found = opened(model).predict_structures([image])
    assert np.array_equal(found, np.array([0, *OFFICIAL.values()])[written])


def test_prompts_are_followed_on_the_file_grid(model: Trained) -> None:
    data, folder = model
    image = read_nifti(data.raw / "imagesTr" / f"{VALIDATION}_0000.nii.gz")
    labels = read_label_volume(data.raw / "labelsTr" / f"{VALIDATION}.nii.gz").array
    to_pls = pls_map(image.affine, image.shape)
    masks = {v: to_pls.apply(labels == k) for k, v in OFFICIAL.items()}
    sets = simulated_prompts(masks, "box + points in slices", VALIDATION, slice_axis=2)
    slices = {
        k: frozenset(v for v, m in masks.items() if m[..., k].any())
        for k in range(to_pls.target_shape[2])
    }
    found = opened(model).predict_prompts([image], CasePrompts(sets, "PLS", slices))
    assert found.shape == labels.shape
    assert set(np.unique(found)) <= {0, *OFFICIAL.values()}
    for value, mask in masks.items():
        shown = to_pls.apply(found == value)
        assert not shown[..., ~mask.any((0, 1))].any()  # only in slices where it was prompted
    if "3d_fullres" in folder.name:
        scores = [dice(labels == k, found == v) for k, v in OFFICIAL.items()]
        assert np.mean(scores) > 0.3


def test_one_prompted_label_is_the_only_one(model: Trained) -> None:
    data, _ = model
    image = read_nifti(data.raw / "imagesTr" / f"{VALIDATION}_0000.nii.gz")
    labels = read_label_volume(data.raw / "labelsTr" / f"{VALIDATION}.nii.gz").array
    sets = simulated_prompts({77: labels == 1}, "box in slices", VALIDATION, slice_axis=2)
    found = opened(model).predict_prompts([image], CasePrompts(sets))
    assert set(np.unique(found)) <= {0, 77}


def test_mirroring_is_used_only_if_the_recipe_allows_it(model: Trained) -> None:
    assert opened(model, use_mirroring=True).engine.mirror_axes == ()  # the demo recipe does not


def test_a_folder_of_images(model: Trained, tmp_path: Path) -> None:
    data, folder = model
    made = predict_folder(
        data.raw / "imagesTr",
        tmp_path,
        model=folder,
        structures=("ball",),
        options=PredictOptions(device="cpu"),
    )
    assert made.written == len(NAMES)
    for name in NAMES:
        written, source = (
            nib.load(p)
            for p in (tmp_path / f"{name}.nii.gz", data.raw / "imagesTr" / f"{name}_0000.nii.gz")
        )
        assert written.shape == source.shape
        assert np.allclose(written.affine, source.affine)
        assert set(np.unique(np.asarray(written.dataobj))) <= {0, 500}
