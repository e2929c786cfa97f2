"""One image, prompts one after the other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from nnunet_prompt.common.errors import ImageError, ModelError, NNUNetPromptError
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.session import PromptSession
from nnunet_prompt.io.atomic import save_nifti
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.prompts.types import Box, CasePrompts, Point, PromptSet, Scribble
from tests.helpers.models import write_model_folder
from tests.helpers.predictors import Answers, filled, predictor, stored

SIZE = {"S": 14, "P": 45, "L": 38}
FIRST, SECOND = Box((4, 6, 2), (10, 12, 5)), Box((24, 30, 7), (30, 36, 11))


def volume() -> NiftiVolume:
    return stored(size=SIZE)


def opened(network: Answers | None = None) -> PromptSession:
    session = PromptSession(predictor(network))
    session.set_image([volume()])
    return session


def test_prompts_come_one_after_the_other() -> None:
    session = opened()
    session.add(FIRST)
    assert np.array_equal(session.predict(), filled(volume(), FIRST))
    session.add(SECOND, label=7)
    expected = filled(volume(), FIRST) + 7 * filled(volume(), SECOND)
    assert np.array_equal(session.predict(), expected)
    again = predictor().predict_prompts([volume()], session.prompts)
    assert np.array_equal(session.predict(), again)


def test_only_what_changes_is_run() -> None:
    session = opened()
    session.add(FIRST, label=1)
    session.predict()
    assert session.tiles_run == 1
    session.predict()
    assert session.tiles_run == 0
    session.add(SECOND, label=2)
    session.predict()
    assert session.tiles_run == 1  # the first label's tile does not see it
    session.add(Point((26.0, 33.0, 9.0)), label=2)
    session.predict()
    assert session.tiles_run == 1


def test_a_point_is_a_negative_where_it_reaches_another_label() -> None:
    session = opened()
    session.add(FIRST, label=1)
    session.add(SECOND, label=2)
    session.predict()
    session.add(Point((5.0, 7.0, 3.0)), label=2)
    session.predict()
    assert session.tiles_run == 3  # the first label's tile, and two for both ends of the second
    session.undo()
    session.predict()
    assert session.tiles_run == 0


def test_undo() -> None:
    session = opened()
    assert session.undo() is False
    session.add(FIRST)
    before = session.predict()
    session.add(SECOND)
    assert not np.array_equal(session.predict(), before)
    assert session.undo() is True
    assert np.array_equal(session.predict(), before)
    assert session.tiles_run == 0
    assert session.undo() and not session.predict().any() and not session.undo()


def test_a_mask_takes_the_place_of_the_one_before() -> None:
    session = opened(Answers(0))
    first, second = filled(volume(), FIRST), filled(volume(), SECOND)
    session.add(first, label=3)
    session.add(second, label=3)
    first[:] = True  # the session has its own copy
    assert np.array_equal(session.predict(), 3 * second)
    session.undo()
    assert np.array_equal(session.predict(), 3 * filled(volume(), FIRST))


def test_every_kind_of_prompt_is_kept_by_label() -> None:
    session = opened()
    point, line = Point((1.0, 2.0, 3.0), positive=False), Scribble(((1.0, 2.0, 3.0),))
    for prompt, label in ((point, 2), (FIRST, 1), (line, 2), (SECOND, 2)):
        session.add(prompt, label)
    said = session.prompts
    assert isinstance(said, CasePrompts) and said.frame == "file" and said.slices is None
    assert said.labels[1].boxes == (FIRST,) and said.labels[1].points == ()
    assert said.labels[2].points == (point,) and said.labels[2].scribbles == (line,)
    assert said.labels[2].boxes == (SECOND,) and said.labels[2].mask is None


def test_another_image_begins_anew() -> None:
    session = opened()
    session.add(FIRST)
    session.predict()
    other = replace(volume(), array=volume().array[::-1].copy())
    session.set_image([other])
    assert session.prompts.labels == {}
    assert not session.predict().any()
    session.add(FIRST)
    session.predict()
    assert session.tiles_run == 1  # nothing is left of the first image
    session.reset()
    assert not session.predict().any()


def test_what_it_refuses() -> None:
    session = PromptSession(predictor())
    for call in (session.predict, lambda: session.add(FIRST)):
        with pytest.raises(NNUNetPromptError, match="call set_image first"):
            call()
    session.set_image([volume()])
    with pytest.raises(NNUNetPromptError, match="label: expected a whole number above 0, found 0"):
        session.add(FIRST, label=0)
    with pytest.raises(NNUNetPromptError, match=r"38, 45, 14"):
        session.add(Point((38.0, 3.0, 3.0)))
    with pytest.raises(NNUNetPromptError, match=r"38, 45, 14"):
        session.add(np.ones((2, 3, 4), bool))
    assert session.prompts.labels == {}
    session.add(FIRST)
    with pytest.raises(ImageError):
        session.set_image([volume(), volume()])
    assert session.predict().any()  # the image before stays open


def test_from_files(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "model")
    path = tmp_path / "case.nii.gz"
    save_nifti(path, nib.Nifti1Image(volume().array, volume().affine))
    session = PromptSession(str(folder), PredictOptions(device="cpu", use_mirroring=False))
    session.set_image(str(path))
    session.add(Box((10, 12, 4), (20, 24, 8)), label=5)
    found = session.predict()
    assert found.shape == volume().shape and set(np.unique(found)) <= {0, 5}
    session.set_image([path])
    session.add(Box((10, 12, 4), (20, 24, 8)), label=5)
    assert torch.equal(torch.from_numpy(session.predict()), torch.from_numpy(found))
    with pytest.raises(ModelError):
        PromptSession(tmp_path / "nothing")


def test_the_same_answer_as_all_prompts_at_once() -> None:
    session = opened()
    labels = {1: PromptSet(boxes=(FIRST, SECOND)), 2: PromptSet(points=(Point((6.0, 7.0, 3.0)),))}
    for label, said in labels.items():
        for prompt in (*said.boxes, *said.points):
            session.add(prompt, label)
            session.predict()
    at_once = predictor().predict_prompts([volume()], CasePrompts(labels))
    assert np.array_equal(session.predict(), at_once)


def test_masks_that_are_there_are_begun_with() -> None:
    session = PromptSession(predictor())
    volume = stored()
    session.set_image([volume])
    label_map = np.zeros(volume.shape, np.int32)
    label_map[1:3, 1:3, 1], label_map[4:6, 4:6, 1] = 7, 9
    session.add_masks(label_map)
    masks = {label: said.mask for label, said in session.prompts.labels.items()}
    assert sorted(masks) == [7, 9]
    for label, mask in masks.items():
        assert mask is not None and np.array_equal(mask, label_map == label)
    session.reset()
    session.add_masks(label_map, 9)
    assert list(session.prompts.labels) == [9]
    with pytest.raises(NNUNetPromptError, match="label"):
        session.add_masks(label_map, [7, "nothing"])
    assert list(session.prompts.labels) == [9]
