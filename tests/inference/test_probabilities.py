"""Probabilities beside masks: the sigmoid of the logits that the masks are made of, on the grid of the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from nnunet_prompt.common.errors import OutputError
from nnunet_prompt.inference.predict_folder import Predicted, predict_folder
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.inference.probabilities import structure_keys
from nnunet_prompt.inference.run_options import RunOptions
from tests.helpers.each import each
from tests.helpers.predictors import ORIENTATIONS, TABLE, case, corner, filled, predictor, stored

ON = RunOptions(probabilities=True)
KEYS = ["200+2221", "2221", "500"]


def save(path: Path, axes: Any = ("L", "P", "S"), signs: Any = (1, 1, 1)) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    volume = stored(axes, signs)
    nib.save(nib.Nifti1Image(volume.array, volume.affine), path)
    return volume


def voxels(path: Path) -> npt.NDArray[Any]:
    return np.asarray(nib.load(path).dataobj)


def box_file(path: Path, volume: Any, *labels: int) -> Path:
    """Prompts of case a: the same box for each label."""
    box = corner(volume)
    said = {"boxes": [{"lower": list(box.lower), "upper": list(box.upper)}]}
    cases = {"a": {str(label): said for label in labels}}
    path.write_text(json.dumps({"format": "nnunet-prompt", "version": 1, "cases": cases}))
    return path


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> PromptPredictor:
    made = predictor()
    monkeypatch.setattr(PromptPredictor, "from_folder", lambda *_: made)
    return made


def maps(out: Path) -> list[str]:
    return sorted(p.name for p in (out / "probabilities").iterdir())


def test_keys_hold_the_parts_of_a_structure() -> None:
    assert structure_keys(TABLE) == {"500": [1], "200+2221": [2], "2221": [3]}
    assert structure_keys(TABLE, ["wall"]) == {"200+2221": [2]}


@each(("axes", "signs"), ORIENTATIONS)
def test_structures_on_the_grid_of_the_file(
    tmp_path: Path, model: PromptPredictor, axes: Any, signs: Any
) -> None:
    volume = save(tmp_path / "in" / "a.nii.gz", axes, signs)
    out = tmp_path / "out"
    assert predict_folder(tmp_path / "in", out, model=tmp_path, run_options=ON) == Predicted(1)
    assert maps(out) == [f"a__{key}.nii.gz" for key in KEYS]
    inside = volume.array > 0
    score = (volume.array - volume.array[inside].mean()) / volume.array[inside].std()
    for key, shift in {"500": -0.5, "200+2221": 0.0, "2221": 0.5}.items():
        path = out / "probabilities" / f"a__{key}.nii.gz"
        found = voxels(path)
        assert found.dtype == np.uint8 and np.allclose(nib.load(path).affine, volume.affine)
        assert not found[~inside].any()
        expected = 255 / (1 + np.exp(-(score + shift)))
        # resampling by a factor of one is exact up to rounding
        assert np.abs(found[inside] - expected[inside]).max() <= 0.6


def test_prompted_labels(tmp_path: Path, model: PromptPredictor) -> None:
    volume = save(tmp_path / "in" / "a.nii.gz")
    prompts = box_file(tmp_path / "p.json", volume, 500, 200)
    out = tmp_path / "out"
    predict_folder(tmp_path / "in", out, model=tmp_path, prompts=prompts, run_options=ON)
    assert maps(out) == ["a__200.nii.gz", "a__500.nii.gz"]
    logits = model.object_logits([volume], case(corner(volume)))
    part = tuple(slice(a, b) for a, b in logits.box)
    expected = np.zeros(volume.shape)
    expected[part] = 1 / (1 + np.exp(-logits.logits[0].astype(np.float64)))
    for label in (500, 200):
        found = voxels(out / "probabilities" / f"a__{label}.nii.gz")
        assert np.array_equal(found, np.rint(255 * expected))
        assert np.array_equal(found > 127, filled(volume, corner(volume)))


def test_masks_are_those_without_probabilities(tmp_path: Path, model: PromptPredictor) -> None:
    volume = save(tmp_path / "in" / "a.nii.gz")
    for prompts in (None, box_file(tmp_path / "p.json", volume, 500)):
        found = []
        for name, options in {"plain": RunOptions(), "more": ON}.items():
            out = tmp_path / name
            predict_folder(
                tmp_path / "in", out, model=tmp_path, prompts=prompts, run_options=options
            )
            found.append(voxels(out / "a.nii.gz"))
        assert found[0].any() and np.array_equal(*found)
    assert maps(tmp_path / "more") == ["a__500.nii.gz"]  # those of the first run are gone


def test_a_resumed_run_makes_what_is_missing(tmp_path: Path, model: PromptPredictor) -> None:
    save(tmp_path / "in" / "a.nii.gz")
    out = tmp_path / "out"

    def run(**options: Any) -> Predicted:
        given = RunOptions(overwrite=False, **options)
        return predict_folder(tmp_path / "in", out, model=tmp_path, run_options=given)

    assert run() == Predicted(1)
    assert run(probabilities=True) == Predicted(1)  # the mask alone is not enough
    assert run(probabilities=True) == Predicted(0, kept=1)
    path = out / "probabilities" / "a__500.nii.gz"
    whole = path.read_bytes()
    for damage in (path.unlink, lambda: path.write_bytes(whole[:50])):
        damage()
        assert run(probabilities=True) == Predicted(1)
        assert path.read_bytes() == whole
    assert not list(out.rglob(".*"))


@pytest.mark.usefixtures("model")
def test_maps_never_lie_among_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnunet_prompt.inference.predict_folder.check_is_model", lambda _: None)
    save(tmp_path / "probabilities" / "a.nii.gz")
    with pytest.raises(OutputError):
        predict_folder(tmp_path / "probabilities", tmp_path, model=tmp_path, run_options=ON)
