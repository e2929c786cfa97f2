"""A job always has an answer: by the network, else by the round before, else by its prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nnunet_prompt.challenge.budget import Budget
from nnunet_prompt.challenge.forms.answer import Job, answer
from nnunet_prompt.io.nifti import NiftiVolume
from nnunet_prompt.prompts.types import Box, CasePrompts, Point, PromptSet, Scribble
from tests.challenge.folders import BoxFiller

pytestmark = pytest.mark.slow

SHAPE = (6, 7, 5)
AFFINE = np.array([[0, -1.5, 0, 9], [-1.25, 0, 0, 3], [0, 0, -4, 5], [0, 0, 0, 1.0]])
BOX = PromptSet(boxes=(Box((1, 2, 1), (4, 5, 3)),))
FILLED = np.zeros(SHAPE, np.uint16)
FILLED[1:4, 2:5, 1:3] = 500


class Network(BoxFiller):
    """Fills boxes and masks on the file grid; its structures are the last slice; it fails where it is asked to."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__(stray=0)
        self.error = error
        self.wanted: list[Sequence[str]] = []

    def predict_prompts(
        self, images: Sequence[NiftiVolume], prompts: CasePrompts
    ) -> npt.NDArray[Any]:
        if self.error is not None:
            raise self.error
        labels = np.zeros(images[0].shape, np.uint16)
        for label, one in prompts.labels.items():
            for box in one.boxes:
                inside = [slice(int(a), int(b)) for a, b in zip(box.lower, box.upper, strict=True)]
                labels[tuple(inside)] = label
            if one.mask is not None:
                labels[one.mask] = label
        return labels

    def predict_structures(self, images: Any, wanted: Any = ()) -> Any:
        self.wanted.append(wanted)
        if self.error is not None:
            raise self.error
        labels = np.zeros(SHAPE, np.uint16)
        labels[..., -1] = 500
        return labels


def job(prompts: dict[int, PromptSet] | None, automatic: Any = None) -> Job:
    image = NiftiVolume(Path("a.mha"), np.ones(SHAPE, np.float32), AFFINE, None, SHAPE)
    said = None if prompts is None else CasePrompts(prompts)
    return Job("a", {"": image}, said, automatic, ("ball",))


def test_prompts_are_answered() -> None:
    answered = answer(Network(), job({500: BOX}))
    assert np.array_equal(answered.labels, FILLED)
    assert answered.troubles == ()


def test_words_are_answered_by_name() -> None:
    network, one = Network(), job({200: BOX})
    named = replace(one, prompts=CasePrompts({200: BOX}, named={7: "ball"}))
    last = np.zeros(SHAPE, bool)
    last[..., -1] = True
    expected = np.where(FILLED > 0, 200, np.where(last, 7, 0))
    assert np.array_equal(answer(network, named).labels, expected)
    assert network.wanted == [["ball"]]
    earlier = replace(named, automatic=np.where(last, 2221, 0).astype(np.uint16))
    assert np.array_equal(answer(Network(), earlier).labels, expected)


def test_without_prompts_the_named_structures_are_found() -> None:
    network = Network()
    assert np.count_nonzero(answer(network, job(None)).labels) == 42
    assert network.wanted == [("ball",)]


def test_a_label_with_negative_prompts_alone_begins_with_its_structure() -> None:
    network = Network()
    only = {500: PromptSet((Point((0, 0, 0), False),)), 7: PromptSet((Point((0, 0, 0), False),))}
    labels = answer(network, job(only)).labels
    assert network.wanted == [["ball"]]
    assert (labels[..., -1] == 500).all() and not labels[..., :-1].any()


def test_an_earlier_mask_is_shown_and_corrected() -> None:
    before = np.zeros(SHAPE, np.uint16)
    before[0, 0] = 500
    before[5, 6] = 200
    both = answer(Network(), job({500: BOX}, before)).labels
    expected = np.maximum(FILLED, before)
    assert np.array_equal(both, expected)
    assert np.array_equal(answer(Network(), job(None, before)).labels, before)


def test_where_the_network_fails_the_prompts_are_the_mask() -> None:
    answered = answer(Network(RuntimeError("shapes\nat line 3")), job({500: BOX}))
    assert np.array_equal(answered.labels, FILLED)
    assert [str(t) for t in answered.troubles] == [
        "case 'a', prediction: RuntimeError: shapes; its mask is from the prompts alone"
    ]
    clicks = {500: PromptSet(scribbles=(Scribble(((2, 3, 1), (2, 3, 2))),))}
    discs = answer(Network(RuntimeError("no")), job(clicks)).labels
    assert discs[2, 3, 1] == discs[2, 3, 2] == 500 and not discs[..., 3:].any()


def test_where_the_network_fails_the_earlier_mask_stays() -> None:
    before = FILLED // 500 * 200
    answered = answer(Network(MemoryError()), job({500: BOX}, before))
    assert np.array_equal(answered.labels, before)
    assert "its mask is the earlier one" in str(answered.troubles[0])


def test_without_anything_the_mask_is_empty() -> None:
    answered = answer(Network(RuntimeError("no")), job(None))
    assert not answered.labels.any() and answered.labels.shape == SHAPE
    assert str(answered.troubles[0]).endswith("its mask is empty")


def test_without_time_the_network_is_not_asked() -> None:
    now = [0.0]
    budget = Budget(10, clock=lambda: now[0])
    now[0] = 9.9
    answered = answer(Network(AssertionError()), job({500: BOX}), budget)
    assert np.array_equal(answered.labels, FILLED)
    assert "there is no time for the network" in str(answered.troubles[0])


def test_what_stops_a_program_is_no_trouble() -> None:
    class Stopped(Network):
        def predict_prompts(self, images: Any, prompts: Any) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answer(Stopped(), job({500: BOX}))
