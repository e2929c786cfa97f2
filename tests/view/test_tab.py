"""Steps, undo, automatic structures and locks of one open case."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nnunet_prompt.common.errors import NNUNetPromptError, PromptError
from nnunet_prompt.inference.session import PromptSession
from nnunet_prompt.prompts.types import Box, CasePrompts, Point, PromptSet
from nnunet_prompt.view.tab import Tab
from nnunet_prompt.view.tabs import GoneError, Tabs
from tests.helpers.predictors import Answers, predictor, stored
from tests.view.desks import SIZE, box_mask

pytestmark = pytest.mark.slow  # a whole product

FIRST, SECOND = Box((4, 6, 2), (10, 12, 5)), Box((24, 30, 7), (30, 36, 11))
A, B = box_mask(), box_mask([24, 30, 7], [30, 36, 11])


def opened(network: Answers | None = None) -> Tab:
    return Tab(predictor(network), "heart", [stored(size=SIZE)])


def test_the_mask_is_that_of_the_session() -> None:
    tab, session = opened(), PromptSession(predictor())
    assert not tab.mask.any()
    session.set_image([stored(size=SIZE)])
    for prompt, label in ((FIRST, 500), (SECOND, 7)):
        tab.add([prompt], label)
        session.add(prompt, label)
    assert np.array_equal(tab.mask, session.predict())
    assert np.array_equal(tab.mask, 500 * A + 7 * B)


def test_undo_and_redo() -> None:
    tab = opened()
    assert tab.undo() is False and tab.redo() is False
    tab.add([FIRST], "cavity")
    tab.add([SECOND], "cavity")
    assert tab.undo() and np.array_equal(tab.mask, 500 * A)
    assert tab.redo() and np.array_equal(tab.mask, 500 * (A | B))
    tab.undo()
    tab.add([SECOND], 7)
    assert tab.redo() is False  # what was taken back is forgotten
    tab.reset()
    assert not tab.mask.any() and tab.steps == () and not tab.undo()


def test_what_is_refused_changes_nothing() -> None:
    tab = opened()
    tab.add([FIRST], 500)
    for prompt, label in ((Point((99, 0, 0)), 500), (FIRST, 0), (FIRST, "liver")):
        with pytest.raises(PromptError):
            tab.add([SECOND, prompt], label)
    assert len(tab.steps) == 1 and np.array_equal(tab.session.predict(), 500 * A)


def test_a_locked_label_keeps_its_voxels() -> None:
    tab = opened()
    tab.add([FIRST], 500)
    tab.lock(500, True)
    with pytest.raises(PromptError, match="label 500 is locked: unlock it first"):
        tab.add([SECOND], 500)
    with pytest.raises(PromptError, match="locked"):
        tab.remove(500, "box", 0)
    tab.add([Box((4, 6, 2), (12, 12, 5))], 7)  # over it and beyond
    assert np.array_equal(tab.mask == 500, A)
    assert np.array_equal(tab.mask == 7, box_mask([10, 6, 2], [12, 12, 5]))
    tab.lock(500, False)
    assert tab.undo() and tab.undo() and np.array_equal(tab.mask, 500 * A)


def test_a_lock_is_a_step() -> None:
    tab = opened()
    tab.add([FIRST], 500)
    tab.lock(500, True)
    tab.lock(500, True)  # is locked already: no step
    assert tab.undo() and not tab.locked and np.array_equal(tab.mask, 500 * A)
    assert tab.redo() and list(tab.locked) == [500]
    over = Box((4, 6, 2), (12, 12, 5))
    tab.add([over], 7)
    tab.lock(500, False)
    before = tab.mask.copy()
    assert tab.undo() and list(tab.locked) == [500] and np.array_equal(tab.mask == 500, A)
    assert tab.redo() and not tab.locked and np.array_equal(tab.mask, before)
    for _ in range(3):
        assert tab.undo()
    assert np.array_equal(tab.mask, 500 * A) and not tab.locked
    assert tab.undo() and not tab.mask.any() and not tab.undo()


def test_a_single_prompt_is_removed() -> None:
    tab = opened()
    for box in (FIRST, SECOND, FIRST):  # the same one twice
        tab.add([box], 500)
    tab.add([FIRST], 7)
    tab.remove(500, "box", 0)
    assert tab.prompts.labels[500].boxes == (SECOND, FIRST) and 7 in tab.prompts.labels
    tab.remove("cavity", "box", 1)
    session = PromptSession(predictor())
    session.set_image([stored(size=SIZE)])
    session.add(SECOND, 500)
    session.add(FIRST, 7)
    assert np.array_equal(tab.mask, session.predict())
    assert tab.undo() and tab.prompts.labels[500].boxes == (SECOND, FIRST)
    assert tab.redo() and tab.prompts.labels[500].boxes == (SECOND,)
    for given in ((500, "box", 1), (500, "point", 0), (500, "mask", 0), (3, "box", 0)):
        with pytest.raises(PromptError):
            tab.remove(*given)
    tab.remove(500, "box", 0)
    assert list(tab.prompts.labels) == [7] and np.array_equal(tab.mask, 7 * A)


def test_the_automatic_mask_goes_with_the_last_prompt() -> None:
    tab = opened(Answers(0))  # answers the mask channel
    tab.switch_automatic(True)
    automatic = tab.mask.copy()
    label = int(np.unique(automatic)[-1])
    tab.add([Point((5, 7, 3))], label)
    tab.add([Point((6, 7, 3))], label)
    tab.remove(label, "point", 0)
    assert tab.prompts.labels[label].mask is not None
    tab.remove(label, "point", 0)
    assert tab.prompts.labels == {} and np.array_equal(tab.mask, automatic)
    tab.undo()
    assert [p.position for p in tab.prompts.labels[label].points] == [(6, 7, 3)]


def test_prompts_of_a_file_are_one_step() -> None:
    tab = opened()
    tab.add([FIRST], 500)
    tab.add_case(CasePrompts({7: PromptSet(boxes=(SECOND,)), 8: PromptSet(boxes=(FIRST,))}))
    assert tab.undo() and np.array_equal(tab.mask, 500 * A) and tab.redo()
    assert sorted(tab.prompts.labels) == [7, 8]


def test_automatic_structures_give_way_to_prompts() -> None:
    tab = opened(Answers(0))  # answers the mask channel
    expected = predictor(Answers(0)).predict_structures([stored(size=SIZE)])
    assert expected.any()
    tab.switch_automatic(True)
    assert np.array_equal(tab.mask, expected)
    label = int(np.unique(expected)[-1])
    tab.add([Point((5, 7, 3))], label)  # begins with the automatic mask
    said = tab.prompts.labels[label]
    assert said.mask is not None and np.array_equal(said.mask, expected == label)
    assert len(tab.steps) == 1
    assert np.array_equal(tab.mask[expected != label], expected[expected != label])
    tab.undo()
    assert tab.prompts.labels == {} and np.array_equal(tab.mask, expected)
    tab.switch_automatic(False)
    assert not tab.mask.any()


def test_a_model_without_masks_begins_with_none() -> None:
    known = predictor()
    capability = replace(known.model.capability, unsupported=("mask",))
    tab = Tab(predictor(capability=capability), "heart", [stored(size=SIZE)])
    tab.switch_automatic(True)
    label = int(np.unique(tab.mask)[-1])
    tab.add([FIRST], label)
    assert tab.prompts.labels[label].mask is None


def test_prompts_of_a_file_replace_those_before() -> None:
    tab = opened()
    tab.add([FIRST], 500)
    tab.add_case(CasePrompts({7: PromptSet(boxes=(SECOND,))}))
    assert np.array_equal(tab.mask, 7 * B)
    with pytest.raises(NNUNetPromptError):
        tab.add_case(CasePrompts({7: PromptSet(points=(Point((99, 0, 0)),))}))
    assert np.array_equal(tab.mask, 7 * B) and list(tab.prompts.labels) == [7]
    with pytest.raises(PromptError, match="by slice"):
        tab.add_case(CasePrompts({7: PromptSet(boxes=(SECOND,))}, frame="PLS"))


def test_the_tab_used_least_recently_is_closed() -> None:
    tabs = Tabs(2, 1e12)
    first, second = tabs.add(opened()), tabs.add(opened())
    tabs.find(first)
    third = tabs.add(opened())
    with pytest.raises(GoneError, match="open it again"):
        tabs.find(second)
    assert tabs.find(first) is not tabs.find(third) and len(tabs) == 2
    assert tabs.add(opened(), third) == third and len(tabs) == 2


def test_memory_is_bounded() -> None:
    tabs = Tabs(9, 1.5 * opened().nbytes)
    first, second = tabs.add(opened()), tabs.add(opened())
    with pytest.raises(GoneError):
        tabs.find(first)
    tabs.find(second)
    tiny = Tabs(9, 1.0)
    tiny.find(tiny.add(opened()))  # the last one stays, however large
