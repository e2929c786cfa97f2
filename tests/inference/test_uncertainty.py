"""`predict --uncertainty`: which voxels change where one case of the support set is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.common.errors import ModelError, NNUNetPromptError
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predict_folder import predict_folder
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.inference.run_options import RunOptions
from nnunet_prompt.io.nifti import read_stored
from nnunet_prompt.learn.options import LearnOptions
from nnunet_prompt.learn.run import learn
from tests.helpers.supports import model_with_supports
from tests.learn.conftest import write_case

pytestmark = pytest.mark.slow
ON_CPU = PredictOptions(device="cpu")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes supports, and the vectors of three cases and of one, `three` and `one`."""
    folder = tmp_path_factory.mktemp("uncertainty")
    model = model_with_supports(folder / "model")
    for name, count in (("three", 3), ("one", 1)):
        for i in range(count):
            write_case(folder / name, f"case_{i}", seed=10 * i)
        learn(
            folder / name / "images",
            folder / name / "labels",
            model=model,
            output=folder / name,
            options=LearnOptions(kind="vector"),
            running=ON_CPU,
        )
    write_case(folder / "asked", "new", seed=99)
    return folder


def predicted(place: Path, output: Path, support: str | None = "three", **given: Any) -> Any:
    adapter = None if support is None else place / support
    prompts = given.pop("prompts", None)
    return predict_folder(
        place / "asked" / "images",
        output,
        model=place / "model",
        prompts=prompts,
        options=PredictOptions(device="cpu", adapter=adapter),
        run_options=RunOptions(uncertainty=True, **given),
    )


def read(path: Path) -> Any:
    return np.asarray(nib.load(path).dataobj)


def test_it_is_the_share_of_answers_that_differ(place: Path, tmp_path: Path) -> None:
    predicted(place, tmp_path)
    mask, found = read(tmp_path / "new.nii.gz"), read(tmp_path / "uncertainty" / "new.nii.gz")
    assert found.dtype == np.uint8 and found.shape == mask.shape
    assert set(np.unique(found)) <= {0, 85, 170, 255} and found.any()
    predictor = PromptPredictor(
        place / "model", PredictOptions(device="cpu", adapter=place / "three")
    )
    image = [read_stored(place / "asked" / "images" / "new_0000.nii.gz")]
    assert np.array_equal(predictor.predict_structures(image), mask)
    support: Any = predictor.model.network.support
    differ = np.zeros(mask.shape, int)
    for case in range(3):
        kept = support.shown[case].clone()
        support.shown.data[case] = 0
        differ += predictor.predict_structures(image) != mask
        support.shown.data[case] = kept
    assert np.array_equal(found, differ * 85)


def test_masks_without_a_map_are_not_finished(place: Path, tmp_path: Path) -> None:
    predicted(place, tmp_path)
    (tmp_path / "uncertainty" / "new.nii.gz").unlink()
    predicted(place, tmp_path, overwrite=False)
    assert (tmp_path / "uncertainty" / "new.nii.gz").is_file()
    before = (tmp_path / "new.nii.gz").stat().st_mtime_ns
    predicted(place, tmp_path, overwrite=False)
    assert (tmp_path / "new.nii.gz").stat().st_mtime_ns == before


def test_a_map_does_not_hinder_other_options(place: Path, tmp_path: Path) -> None:
    predicted(place, tmp_path, probabilities=True)
    assert (tmp_path / "uncertainty" / "new.nii.gz").is_file()
    assert (tmp_path / "probabilities" / "new__7.nii.gz").is_file()


def test_it_needs_a_support_set_of_two_cases(place: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"model: uncertainty: expected .* found none; give --with"
    ):
        predicted(place, tmp_path / "out", support=None)
    with pytest.raises(ModelError, match="found one case"):
        predicted(place, tmp_path / "out", support="one")
    with pytest.raises(NNUNetPromptError, match="uncertainty: of what a support set shows, not of"):
        predicted(place, tmp_path / "out", prompts=place / "asked" / "labels")
    assert not (tmp_path / "out").exists()
