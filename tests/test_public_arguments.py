"""Public functions take paths as text and refuse what they cannot mean, before they do anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.challenge.submit import SubmitOptions, submit
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.evaluation.interact.play import Play
from nnunet_prompt.evaluation.interact.run import interact_folder
from nnunet_prompt.inference.given import as_label_map
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predict_folder import predict_folder
from nnunet_prompt.io.image_files import read_label_file
from nnunet_prompt.prompt_files.prompt_file import load_prompts
from nnunet_prompt.prompts.types import PromptSet
from tests.helpers.each import each

ANY: Any = None  # what a caller without type checks may hand over
OPTIONS = PredictOptions()
OWN = '{"format": "nnunet-prompt", "version": 1, "cases": {"a": {"500": [[1, 2, 0]]}}}'


@each(
    ("call", "message"),
    [
        (lambda: predict_folder(ANY, "o", model="m"), "images: expected a path"),
        (lambda: predict_folder("i", "o", model=5), "model: expected a path"),  # type: ignore[arg-type]
        (lambda: predict_folder("i", "o", model="m", options=ANY), "options: expected PredictOp"),
        (lambda: predict_folder("i", "o", model="m", run_options=ANY), "expected RunOptions"),
        (lambda: predict_folder("i", "o", model="m", structures=ANY), "names or values of struct"),
        (lambda: predict_folder("i", "o", model="m"), "i: no such folder or file"),
        (lambda: predict_folder("i", "o", model="m", refine="x"), "give prompts with -p"),
        (lambda: predict_folder("i", "o", model="m", prompts="p", refine="x"), "x: no such folder"),
        (lambda: submit("i", ANY, model="m", options=OPTIONS), "output_folder: expected a path"),
        (lambda: submit("i", "o", model="m", options=ANY), "options: expected PredictOptions"),
        (
            lambda: submit("i", "o", model="m", options=OPTIONS, submission=ANY),
            "submission: expected SubmitOp",
        ),
        (lambda: SubmitOptions(convention=ANY), "convention: expected GivenConvention"),
        (lambda: SubmitOptions(strict=ANY), "strict: expected True or False"),
        (lambda: SubmitOptions(budget_minutes=float("nan")), "budget_minutes: expected a finite"),
        (
            lambda: interact_folder(ANY, "i", "o", model="m", play=Play(), options=OPTIONS),
            "labels: expected a path",
        ),
        (
            lambda: interact_folder("l", "i", "o", model="m", play=ANY, options=OPTIONS),
            "play: expected Play",
        ),
        (
            lambda: interact_folder(
                "l", "i", "o", model="m", play=Play(), options=OPTIONS, values=[0]
            ),
            "values: expected a whole number from 1",
        ),
        (lambda: load_prompts(ANY), "prompts: expected a path"),
        (lambda: load_prompts("p", convention=ANY), "convention: expected GivenConvention"),
        (lambda: read_label_file(ANY), "path: expected a path"),
        (lambda: PredictOptions(consistent=ANY), "consistent: expected True or False"),
        (lambda: PromptSet(negative_mask=ANY or "x"), "negative mask: expected a boolean array"),
        (lambda: as_label_map([[1]], (1, 1, 1)), "label map: expected an array of whole numbers"),
        (lambda: as_label_map(np.ones((1, 1, 2)), (1, 1, 1)), r"image's shape \(1, 1, 1\)"),
        (lambda: as_label_map(np.full((1, 1, 1), 0.5), (1, 1, 1)), "whole numbers from 0 up"),
        (lambda: as_label_map(np.full((1, 1, 1), -1), (1, 1, 1)), "whole numbers from 0 up"),
    ],
)
def test_what_is_refused(
    call: Callable[[], Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NNUNetPromptError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_prompts_of_a_path_as_text(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 2), np.float32), np.eye(4)), path)
    (tmp_path / "p.json").write_text(OWN)
    file = load_prompts(str(tmp_path / "p.json")).for_images({"a": str(path)})
    wrong: Any = str(path)
    with pytest.raises(NNUNetPromptError, match="image: expected NiftiVolume"):
        file.prompts("a", wrong)
    with pytest.raises(NNUNetPromptError, match="images: expected Mapping"):
        file.for_images(wrong)


def test_a_label_map_of_fractions_that_are_none() -> None:
    assert as_label_map(np.full((1, 2, 1), 500.0), (1, 2, 1)).max() == 500
