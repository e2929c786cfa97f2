"""From image and labels to image with prompts and the targets of all heads, on patches one could draw."""

from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nnunet_prompt.prompts.channels import BOX, MASK, N_PROMPT_CHANNELS, POINT, SCRIBBLE
from nnunet_prompt.prompts.encode import PromptStyle, Window, encode, style_for
from nnunet_prompt.training.loss import PromptLoss
from nnunet_prompt.training.mixture import PromptMixture
from nnunet_prompt.training.transform import (
    CaseNote,
    NotedDataset,
    SimulatePrompts,
    Targets,
    draw_object,
    head_targets,
)
from tests.helpers.each import each
from tests.training.samples import CLEAN, LABELS, STYLE, TABLE, targets


def transform(
    mixture: PromptMixture = CLEAN, case: str = "full", **changes: Any
) -> SimulatePrompts:
    return SimulatePrompts(targets(mixture, **changes), CaseNote(case))


def sample(labels: npt.NDArray[Any] = LABELS, channels: int = 2) -> dict[str, torch.Tensor]:
    image = np.arange(channels * labels.size, dtype=np.float32).reshape(channels, *labels.shape)
    segmentation = torch.from_numpy(labels[None].astype(np.int16).copy())
    return {"image": torch.from_numpy(image), "segmentation": segmentation}


def test_every_head_is_the_union_of_its_members() -> None:
    heads = head_targets(LABELS, targets(), "full")
    assert heads.dtype == np.int8 and heads.shape == (4, 2, 3, 4)
    assert not heads[0].any()
    assert np.array_equal(heads[1], LABELS == 1)
    assert np.array_equal(heads[2], (LABELS == 2) | (LABELS == 3))
    assert np.array_equal(heads[3], LABELS == 3)


def test_what_a_case_does_not_annotate_is_unknown_everywhere() -> None:
    heads = head_targets(LABELS, targets(), "partly")
    assert (heads[3] == -1).all()
    assert np.array_equal(heads[1], LABELS == 1)
    assert (head_targets(LABELS, targets(), "nothing")[1:] == -1).all()


def test_the_ignore_label_is_unknown_in_every_head() -> None:
    heads = head_targets(LABELS, targets(ignore_label=4), "full")
    assert (heads[:, LABELS == 4] == -1).all()
    assert (heads[:, LABELS != 4] >= 0).all()


def test_an_ignored_voxel_stays_unknown_in_the_object() -> None:
    setup = targets(ignore_label=4)
    for seed in range(20):
        heads = head_targets(LABELS, setup, "full")
        prompts = draw_object(heads, LABELS, np.random.default_rng(seed), setup)
        assert (heads[0, LABELS == 4] == -1).all()
        assert (heads[0, LABELS != 4] >= 0).all()
        assert not prompts.empty


def only(name: str, **changes: Any) -> PromptMixture:
    """Prompts of one kind in every sample."""
    kinds = dict.fromkeys(("few", "slices", "scribbles", "mask", "continued"), 0.0)
    return PromptMixture(**{"promptless": 0.0, **kinds, name: 1.0, **changes})


KINDS = {
    "few": only("few", p_wrong=1, p_jitter=1, p_negative_area=0.5),
    "slices": only("slices", p_sparse=1, p_wrong=1, p_jitter=1, p_beyond=1),
    "scribbles": only("scribbles", p_negative_area=0.5),
    "mask": only("mask", p_component=0.5, p_disturb=1),
    "continue": only("continued", p_component=0.5, p_beside=1),
    "none": PromptMixture(promptless=1),
    "mixed": PromptMixture(),
    "prompted": PromptMixture(promptless=0),
}


@each("kind", KINDS)
def test_the_object_is_unknown_exactly_where_nothing_is_said(kind: str) -> None:
    np.random.seed(11)  # noqa: NPY002 - the state that the transform draws from
    step = transform(KINDS[kind], ignore_label=4)
    full = 0
    for index in range(60):
        labels = np.zeros_like(LABELS) if index % 6 == 0 else LABELS
        result = step(**sample(labels))
        channels = result["image"][-N_PROMPT_CHANNELS:].numpy()
        target = result["segmentation"][0].numpy()
        assert channels.any() == (target == 1).any()
        assert channels.any() == (target != -1).any()
        assert channels.min() >= 0 and channels.max() <= 1
        full += bool(channels.any())
    assert (full == 0) == (kind == "none")


# --- what teaches which head


@each("batch_size", [1, 2, 3, 4])
def test_slots_take_turns_in_being_shown_prompts(batch_size: int) -> None:
    np.random.seed(6)  # noqa: NPY002
    step = transform(replace(CLEAN, promptless=0.5), batch_size=batch_size)
    batches = [
        [bool(step(**sample())["image"][2:].any()) for _ in range(batch_size)] for _ in range(6)
    ]
    for first, second in pairwise(batches):
        assert first == [not shown for shown in second]


def test_a_sample_without_prompts_teaches_the_structures_alone() -> None:
    np.random.seed(7)  # noqa: NPY002
    for ignore in (None, 4):
        step = transform(PromptMixture(promptless=1), ignore_label=ignore)
        for labels in (LABELS, np.zeros_like(LABELS)):
            result = step(**sample(labels))
            assert not result["image"][2:].any()
            heads = result["segmentation"].numpy()
            assert (heads[0] == -1).all()
            expected = head_targets(labels, step.targets, "full")
            assert np.array_equal(heads[1:], expected[1:])


@each("negatives", [0.0, 1.0])
def test_a_sample_with_prompts_teaches_the_object_and_what_is_not_pointed_at(
    negatives: float,
) -> None:
    np.random.seed(8)  # noqa: NPY002
    mixture = replace(CLEAN, hide=True, p_negatives=negatives, p_points_only=1.0)
    step = transform(mixture)
    expected = head_targets(LABELS, step.targets, "full")
    seen = set()
    for _ in range(60):
        result = step(**sample())
        heads = result["segmentation"].numpy()
        object_ = heads[0] == 1
        assert (heads[0] >= 0).all() and object_.any()
        negative = bool(result["image"][2 + POINT[1]].any())
        assert negative <= bool(negatives)
        hidden = []
        for k in (1, 2, 3):
            pointed = object_[expected[k] == 1].any()
            hidden.append(bool(pointed or negative))
            unknown = np.full_like(expected[k], -1)
            assert np.array_equal(heads[k], unknown if hidden[-1] else expected[k])
        seen.add(tuple(hidden))
    if negatives:
        assert (True, True, True) in seen
    else:  # cavity, wall (alone or with its scar), scar; which is also a part of the wall
        assert seen == {(True, False, False), (False, True, False), (False, True, True)}


def test_an_empty_patch_in_a_prompted_slot_is_shown_nothing() -> None:
    np.random.seed(9)  # noqa: NPY002
    step = transform(replace(CLEAN, hide=True))
    result = step(**sample(np.zeros_like(LABELS)))
    assert not result["image"][2:].any()
    assert (result["segmentation"][0] == -1).all()
    assert not result["segmentation"][1:].any()


def test_the_loss_hears_what_the_supervision_says() -> None:
    """No gradient in the object head without prompts, none in a structure head that is pointed at."""
    np.random.seed(10)  # noqa: NPY002
    step = transform(replace(CLEAN, promptless=0.5, hide=True, p_negatives=0), batch_size=1)
    for index in range(8):
        result = step(**sample())
        target = result["segmentation"][None]
        logits = torch.zeros(target.shape, requires_grad=True)
        PromptLoss()(logits, target).backward()
        assert logits.grad is not None
        taught = logits.grad[0].flatten(1).any(1).tolist()
        known = (target[0] != -1).flatten(1).any(1).tolist()
        assert taught == known
        assert taught[0] == (index % 2 == 0)


def test_a_structure_that_is_only_shown_teaches_the_object_head_alone() -> None:
    np.random.seed(4)  # noqa: NPY002
    table = replace(
        TABLE,
        annotated={"t2": frozenset({"cavity"})},
        prompted={"t2": frozenset({"cavity", "scar"})},
    )
    step = transform(case="t2", table=table)
    pointed_at_scar = 0
    for _ in range(20):
        result = step(**sample())
        target = result["segmentation"][None]
        logits = torch.zeros(target.shape, requires_grad=True)
        PromptLoss()(logits, target).backward()
        assert logits.grad is not None
        taught = logits.grad[0].flatten(1).any(1).tolist()
        assert taught == [True, True, False, False]
        assert (target[0, 2:] == -1).all()
        pointed_at_scar += np.array_equal(target[0, 0].numpy() == 1, LABELS == 3)
    assert 0 < pointed_at_scar < 20


def test_the_image_is_kept_and_the_prompts_follow_it() -> None:
    before = sample()
    image = before["image"].clone()
    result = transform()(**before)
    assert result["image"].shape == (2 + N_PROMPT_CHANNELS, 2, 3, 4)
    assert result["image"].dtype == torch.float32
    assert torch.equal(result["image"][:2], image)
    assert result["segmentation"].shape == (4, 2, 3, 4)
    assert result["segmentation"].dtype == torch.int8


def test_a_box_in_every_slice_is_the_tight_box_of_the_object() -> None:
    np.random.seed(0)  # noqa: NPY002
    step = transform(replace(CLEAN, p_points_only=0, p_box_only=1))
    for _ in range(10):
        result = step(**sample())
        target = result["segmentation"][0].numpy()
        drawn = result["image"][2 + BOX[0]].numpy()
        expected = np.zeros(target.shape)
        for z in range(2):
            if target[z].any():
                rows, columns = np.flatnonzero(target[z].any(1)), np.flatnonzero(target[z].any(0))
                expected[z, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = 1
        assert np.array_equal(drawn, expected)


def test_masks_and_boxes_are_binary_and_points_peak_at_one() -> None:
    np.random.seed(5)  # noqa: NPY002
    step = transform(KINDS["prompted"])
    seen = set()
    for _ in range(80):
        channels = step(**sample())["image"][2:].numpy()
        for channel in (MASK, *BOX, *SCRIBBLE):
            assert set(np.unique(channels[channel])) <= {0.0, 1.0}
        for channel in POINT:
            if channels[channel].any():
                assert channels[channel].max() == 1.0
        seen |= {c for c in range(N_PROMPT_CHANNELS) if channels[c].any()}
    assert seen >= {MASK, *BOX, *POINT, *SCRIBBLE}


def test_the_part_that_goes_on_is_shown_alone_and_the_whole_object_is_asked_for() -> None:
    np.random.seed(3)  # noqa: NPY002
    labels = np.zeros((4, 8, 16), np.int16)
    labels[1:3, 2:6] = 1  # from face to face of the last axis
    mixture = replace(CLEAN, slices=0, continued=1)
    less = 0
    step = transform(mixture)
    for _ in range(40):
        result = step(**sample(labels))
        prompts = result["image"][2:].numpy()
        assert prompts[MASK].any()
        assert not np.delete(prompts, MASK, axis=0).any()
        np.testing.assert_array_equal(result["segmentation"][0].numpy(), labels)
        less += prompts[MASK].sum() < labels.sum()
    assert less > 30


def test_a_channel_holds_what_encode_draws() -> None:
    """The transform stamps into one array for image and prompts, which it makes afresh for each patch."""
    np.random.seed(1)  # noqa: NPY002
    for mixture in KINDS.values():
        step = transform(mixture)
        for _ in range(5):
            params = step.get_parameters(**sample())
            first, second = (step.apply(sample(), **params)["image"] for _ in range(2))
            expected = encode(params["prompts"], Window((0, 0, 0), LABELS.shape), STYLE)
            np.testing.assert_array_equal(first[2:].numpy(), expected)
            assert torch.equal(first, second) and first.data_ptr() != second.data_ptr()


def test_a_2d_patch_is_one_slice() -> None:
    np.random.seed(2)  # noqa: NPY002
    flat = style_for((1.0, 1.5, 1.25), in_plane=True)
    step = transform(replace(KINDS["mixed"], hide=False), style=flat)
    shown = 0
    for _ in range(30):
        result = step(**sample(LABELS[0]))
        assert result["image"].shape == (2 + N_PROMPT_CHANNELS, 3, 4)
        assert result["segmentation"].shape == (4, 3, 4)
        assert result["segmentation"][2].numpy().tolist() == np.isin(LABELS[0], (2, 3)).tolist()
        shown += bool(result["image"][2:].any())
    assert shown > 10  # of 15


def test_slices_are_counted_along_the_slice_axis() -> None:
    labels = np.zeros((4, 3, 2), np.int16)
    labels[1:3, :, 0] = 1
    np.random.seed(0)  # noqa: NPY002
    for axis, boxes in ((0, 2), (1, 3), (2, 1)):
        setup = targets(replace(CLEAN, p_points_only=0), slice_axis=axis)
        heads = head_targets(labels, setup, "full")
        prompts = draw_object(heads, labels, np.random.default_rng(0), setup)
        assert len(prompts.boxes) == boxes


def test_chance_comes_from_numpys_state_which_nnunet_reseeds_in_each_worker() -> None:
    def images(seed: int) -> torch.Tensor:
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(0)
        step = transform(KINDS["mixed"])
        return torch.stack([step(**sample())["image"] for _ in range(10)])

    assert torch.equal(images(1), images(1))
    assert not torch.equal(images(1), images(2))


def test_the_note_tells_the_transform_which_case_was_loaded() -> None:
    note = CaseNote()
    inner = SimpleNamespace(identifiers=["full", "partly"], load_case=lambda name: (name, 1, 2, 3))
    dataset = NotedDataset(inner, note)
    assert dataset.identifiers == ["full", "partly"]
    step = SimulatePrompts(targets(), note)
    assert dataset.load_case("partly") == ("partly", 1, 2, 3)
    assert (step(**sample())["segmentation"][3] == -1).all()
    dataset.load_case("full")
    assert (step(**sample())["segmentation"][3] >= 0).all()


def test_note_data_set_and_transform_stay_together_on_the_way_to_a_worker() -> None:
    note = CaseNote()
    inner = _Dataset()
    both = NotedDataset(inner, note), SimulatePrompts(targets(), note)
    dataset, step = pickle.loads(pickle.dumps(both))
    dataset.load_case("partly")
    assert step.note.case == "partly"
    assert note.case == ""


class _Dataset:
    identifiers = ("full", "partly")

    def load_case(self, identifier: str) -> str:
        return identifier


def test_no_case_is_named_in_what_nnunet_writes_into_its_logs() -> None:
    """nnU-Net writes the repr of its trainer's attributes into debug.json."""
    note = CaseNote("patient-7")
    table = replace(TABLE, annotated={"patient-7": frozenset({"wall"})})
    step = SimulatePrompts(Targets(table, PromptStyle(), PromptMixture()), note)
    assert "patient-7" not in repr(note) + repr(step) + repr(step.targets)
