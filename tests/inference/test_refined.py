"""Automatic masks that prompts correct."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.common.errors import ImageError
from nnunet_prompt.inference.refined import corrected, read_automatic, with_masks
from nnunet_prompt.io.nifti import read_stored
from nnunet_prompt.prompts.frames import pls_map
from nnunet_prompt.prompts.types import CasePrompts, Point, PromptSet
from tests.helpers.each import each

AFFINE = np.diag([-2.0, -3.0, 8.0, 1.0])
AUTO = np.array([[[5, 5, 0], [7, 0, 9]]], np.int32)


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    nib.save(nib.Nifti1Image(array.astype(np.int16), affine), path)
    return path


def test_prompted_labels_are_replaced_and_the_others_stay() -> None:
    answer = np.array([[[0, 5, 5], [5, 0, 0]]], np.uint8)
    assert corrected(AUTO, answer, [5]).tolist() == [[[0, 5, 5], [5, 0, 9]]]
    assert corrected(AUTO, np.zeros_like(answer), []).tolist() == AUTO.tolist()
    assert corrected(AUTO * 100, answer, [5]).max() == 900  # whatever the answer's type


@each("frame", ["file", "PLS"])
def test_a_label_begins_with_its_part_of_the_mask(tmp_path: Path, frame: str) -> None:
    image = read_stored(save(tmp_path / "i.nii.gz", AUTO))
    own = np.ones((1, 2, 3), bool)
    prompts = CasePrompts(
        {
            5: PromptSet(points=(Point((0, 0, 2)),)),
            6: PromptSet(points=(Point((0, 0, 0)),)),
            7: PromptSet(mask=own),
        },
        frame=frame,  # type: ignore[arg-type]
    )
    made = with_masks(prompts, AUTO, image).labels
    shown = pls_map(AFFINE, (1, 2, 3)).apply(AUTO) if frame == "PLS" else AUTO
    assert made[5].mask is not None and np.array_equal(made[5].mask, shown == 5)
    assert made[5].points == prompts.labels[5].points
    assert made[6].mask is None  # it is not in the mask
    assert made[7].mask is not None and made[7].mask.all()  # its own counts


def test_the_mask_of_another_image_is_refused(tmp_path: Path) -> None:
    image = read_stored(save(tmp_path / "i.nii.gz", AUTO))
    with pytest.raises(ImageError, match=r"m.nii.gz: not found; --refine"):
        read_automatic(tmp_path / "m.nii.gz", image)
    save(tmp_path / "m.nii.gz", AUTO, 2 * AFFINE)
    with pytest.raises(ImageError, match="another geometry"):
        read_automatic(tmp_path / "m.nii.gz", image)
    assert read_automatic(save(tmp_path / "m.nii.gz", AUTO), image).tolist() == AUTO.tolist()
