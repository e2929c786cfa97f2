"""What `settle` finds is what a challenge run does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.challenge.simulate import slice_prompts
from nnunet_prompt.challenge.submit import SubmitOptions, run_cases
from nnunet_prompt.prompt_files.prompts_json import read_prompts_json, write_prompts_json
from nnunet_prompt.prompt_files.prompts_json_convention import JsonConvention
from nnunet_prompt.prompts.frames import pls_map
from tests.challenge.folders import BoxFiller, save
from tests.helpers.each import each

SHAPE = (12, 5, 14)  # P, L, S
AFFINE = np.array([[0.0, -8, 0, 1], [-1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]])
FORMS = [JsonConvention("xy", 0, False), JsonConvention("yx", 1, True)]


def bricks() -> Any:
    """Two boxes, one of which is missing in the first slices along each axis."""
    labels = np.zeros(SHAPE, np.int32)
    labels[2:9, 1:5, 3:14] = 500
    labels[10:12, 1:4, 4:12] = 600
    return labels


def write_input(folder: Path, how: JsonConvention, *, axis: int, turn: Any) -> list[Path]:
    """Three cases stored with other axes, one with a trailing axis and without finite corner; returns their images."""
    prompts, images = {}, []
    labels = bricks()
    for i in range(3):
        prompts[f"c{i}"] = slice_prompts(labels, np.random.default_rng(i), slice_axis=axis)
        moved = np.asarray(turn.apply(np.zeros(SHAPE, np.float32)))
        if i == 1:
            moved = moved.copy()[..., None]
            moved[0, 0, 0] = np.nan
        affine = AFFINE @ np.linalg.inv(turn.matrix())
        images.append(save(folder / "images" / f"c{i}.nii.gz", moved, affine))
    write_prompts_json(folder / "prompts.json", prompts, convention=how)
    return images


@each("how", FORMS, ids=str)
@each("axis", [0, 1, 2])
@each("fails", [False, True])
def test_slices_along_any_axis_in_any_convention(
    tmp_path: Path, how: JsonConvention, axis: int, fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is given: base, order and axis come from the prompts, also where the network fails."""
    turn = pls_map(np.diag([-1.0, -1.0, 1.0, 1.0]), (SHAPE[1], SHAPE[0], SHAPE[2])).inverse()
    images = write_input(tmp_path, how, axis=axis, turn=turn)
    prompts = read_prompts_json(tmp_path / "prompts.json")
    predictor = Failing() if fails else BoxFiller()
    out = tmp_path / "out"
    troubles = run_cases(
        predictor, prompts, images=images, output_folder=out, submission=SubmitOptions()
    )
    assert len(troubles) == (3 if fails else 0)
    for image in images:
        mask: Any = nib.load(out / image.name.replace(".nii.gz", "_pred.nii.gz"))
        assert mask.shape == nib.load(image).shape
        found = turn.inverse().apply(np.asarray(mask.dataobj).reshape(turn.target_shape))
        assert np.array_equal(found, bricks())
    said = caplog.text
    assert f"order {how.order}, score" in said
    assert (f"slices taken along PLS axis {axis}, expected axis 2" in said) == (axis != 2)
    assert "nothing decides" not in said


class Failing(BoxFiller):
    def predict_prompts(self, images: Any, prompts: Any) -> Any:
        raise RuntimeError("no network")
