"""Refinement rounds in training: the network's own mask, and corrections where it is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from nnunet_prompt.prompts.channels import BOX, MASK, N_PROMPT_CHANNELS, POINT, SCRIBBLE
from nnunet_prompt.prompts.encode import PromptStyle
from nnunet_prompt.training import refine as module
from nnunet_prompt.training.refine import Rounds, refine
from tests.helpers.each import each

DOT = PromptStyle(radii=(0.0, 0.0, 0.0), scribble_radii=(0.0, 0.0, 0.0))  # one voxel each
ONE = Rounds(1, DOT, scribbles=False)
SHAPE = (3, 12, 16)
IMAGES = 2


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def batch(*targets: npt.NDArray[Any]) -> tuple[Tensor, Tensor]:
    """Images that nothing may change, empty prompt channels, and the object's targets."""
    target = torch.from_numpy(np.stack(targets).astype(np.int8))
    data = torch.zeros((len(targets), IMAGES + N_PROMPT_CHANNELS, *target.shape[1:]))
    data[:, :IMAGES] = torch.randn(
        data[:, :IMAGES].shape, generator=torch.Generator().manual_seed(0)
    )
    return data, target


def says(*masks: npt.NDArray[Any]) -> Callable[[Tensor], Tensor]:
    """A network that gives these masks for the samples that it is shown, whatever they hold."""
    logits = torch.from_numpy(np.stack(masks).astype(np.float32)) * 8 - 4
    return lambda data: logits[: len(data)]


@pytest.fixture
def remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody is shown the mask."""
    monkeypatch.setattr(module, "P_FORGET", 0.0)


def truth() -> npt.NDArray[np.int8]:
    target = np.zeros(SHAPE, np.int8)
    target[1, 2:8, 3:9] = 1
    return target


def clicks(channels: Tensor) -> dict[bool, list[tuple[int, ...]]]:
    """The voxels of positive and negative clicks."""
    return {
        sign: [tuple(v) for v in np.argwhere(channels[POINT[not sign]].numpy() == 1).tolist()]
        for sign in (True, False)
    }


@pytest.mark.usefixtures("remembers")
def test_the_mask_channel_holds_the_prediction() -> None:
    found = np.zeros(SHAPE, bool)
    found[0:2, 2:7, 4:12] = True
    data, target = batch(truth())
    data[0, IMAGES + MASK, 2] = 1.0  # a mask that was shown before
    assert refine(data, target, says(found), rng(), ONE) == [0]
    shown = data[0, IMAGES:]
    assert np.array_equal(shown[MASK].numpy(), found)
    assert not shown[list(BOX) + list(SCRIBBLE)].any()


def test_some_are_shown_the_corrections_without_the_mask() -> None:
    before = np.zeros(SHAPE, bool)
    before[2, 1, 1] = True
    found = truth() == 0
    kept = 0
    for seed in range(200):
        data, target = batch(truth())
        data[0, IMAGES + MASK] = torch.from_numpy(before).float()
        refine(data, target, says(found), rng(seed), ONE)
        mask = data[0, IMAGES + MASK].numpy()
        assert np.array_equal(mask, before) or np.array_equal(mask, found)
        kept += np.array_equal(mask, before)
        assert any(clicks(data[0, IMAGES:]).values())
    assert 0.3 < kept / 200 < 0.5


def test_who_forgets_does_so_in_every_round() -> None:
    found = truth() == 0
    for seed in range(40):
        data, target = batch(truth(), truth())
        masks = []

        def network(data: Tensor, masks: Any = masks) -> Tensor:
            masks.append(data[:, IMAGES + MASK].flatten(1).any(1).tolist())
            return says(found, found)(data)

        refine(data, target, network, rng(seed), replace(ONE, most=4))
        masks.append(data[:, IMAGES + MASK].flatten(1).any(1).tolist())
        assert 2 <= len(masks) <= 5 and masks[0] == [False, False]
        assert all(m == masks[1] for m in masks[1:])


@pytest.mark.usefixtures("remembers")
def test_a_missed_part_is_clicked_positive_and_a_spurious_one_negative() -> None:
    missed = truth() == 1
    missed[1, 2:8, 6:9] = False
    data, target = batch(truth())
    refine(data, target, says(missed), rng(), ONE)
    (click,) = clicks(data[0, IMAGES:])[True]
    assert click[0] == 1 and 2 <= click[1] < 8 and 6 <= click[2] < 9
    assert not clicks(data[0, IMAGES:])[False]
    spurious = truth() == 1
    spurious[2, 8:11, 10:15] = True
    data, target = batch(truth())
    refine(data, target, says(spurious), rng(), ONE)
    (click,) = clicks(data[0, IMAGES:])[False]
    assert click[0] == 2 and 8 <= click[1] < 11 and 10 <= click[2] < 15
    assert not clicks(data[0, IMAGES:])[True]


@pytest.mark.usefixtures("remembers")
def test_the_largest_error_is_clicked_first() -> None:
    found = truth() == 1
    found[1, 2:8, 7:9] = False  # 12 voxels missing
    found[0, 1:11, 10:15] = True  # 50 voxels spurious
    found[2, 4, 4] = True  # 1 voxel spurious
    counts = set()
    for seed in range(60):
        data, target = batch(truth())
        refine(data, target, says(found), rng(seed), ONE)
        said = clicks(data[0, IMAGES:])
        assert any(z == 0 for z, _, _ in said[False])
        assert {z for z, _, _ in said[True]} <= {1}
        counts.add((len(said[True]), len(said[False])))
    assert counts == {(0, 1), (1, 1), (1, 2)}


@pytest.mark.usefixtures("remembers")
def test_only_samples_that_are_shown_prompts_change() -> None:
    unknown, one, other = np.full(SHAPE, -1), truth(), np.flip(truth(), 2)
    data, target = batch(unknown, one, unknown, other)
    data[0, IMAGES + POINT[0], 0, 0, 0] = 0.5  # which nothing would put there
    before, kept = data.clone(), target.clone()
    asked = []

    def network(shown: Tensor) -> Tensor:
        asked.append(shown.clone())
        return torch.full((len(shown), *SHAPE), -1.0)

    assert refine(data, target, network, rng(), ONE) == [1, 3]
    assert len(asked) == 1 and torch.equal(asked[0], before[[1, 3]])
    assert torch.equal(data[[0, 2]], before[[0, 2]])
    assert torch.equal(data[:, :IMAGES], before[:, :IMAGES])
    assert torch.equal(target, kept)
    for index, mask in ((1, one), (3, other)):
        said = clicks(data[index, IMAGES:])
        assert said[True] and not said[False]
        assert all(mask[v] == 1 for v in said[True])


def test_a_batch_without_prompts_is_left_alone() -> None:
    data, target = batch(np.full(SHAPE, -1))
    before = data.clone()

    def network(shown: Tensor) -> Tensor:
        raise AssertionError("nobody asks")

    assert refine(data, target, network, rng(), ONE) == []
    assert torch.equal(data, before)


@pytest.mark.usefixtures("remembers")
def test_a_perfect_mask_is_shown_and_not_clicked() -> None:
    for scribbles in (False, True):
        for seed in range(20):
            data, target = batch(truth())
            refine(data, target, says(truth() == 1), rng(seed), replace(ONE, scribbles=scribbles))
            shown = data[0, IMAGES:]
            assert np.array_equal(shown[MASK].numpy(), truth())
            assert not shown[1:].any()


@pytest.mark.usefixtures("remembers")
def test_unknown_voxels_are_never_corrected() -> None:
    target_ = truth()
    target_[:, :, 8:] = -1  # a part of the object, too
    found = np.zeros(SHAPE, bool)
    found[:, :, 9:] = True  # wrong or right, nobody knows
    found[1, 2:8, 3:8] = True
    for scribbles in (False, True):
        for seed in range(20):
            rounds = replace(ONE, scribbles=scribbles)
            data, target = batch(target_)
            refine(data, target, says(found), rng(seed), rounds)
            assert not data[0, IMAGES + 1 :].any()
            data, target = batch(target_)
            refine(data, target, says(~found), rng(seed), rounds)
            drawn = data[0, IMAGES + 1 :].numpy().any(0)
            assert drawn.any() and (target_[drawn] != -1).all()


@pytest.mark.usefixtures("remembers")
def test_corrections_are_added_to_what_was_said() -> None:
    data, target = batch(truth())
    before = torch.rand(
        (N_PROMPT_CHANNELS, *SHAPE), generator=torch.Generator().manual_seed(1)
    ).mul(0.9)
    data[0, IMAGES:] = before
    refine(data, target, says(np.zeros(SHAPE, bool)), rng(), ONE)
    shown = data[0, IMAGES:]
    (click,) = np.argwhere(shown[POINT[0]].numpy() == 1).tolist()
    assert truth()[tuple(click)] == 1
    before[(POINT[0], *click)] = 1.0
    assert torch.equal(shown[1:], before[1:])
    assert not shown[MASK].any()


def test_later_rounds_see_the_earlier_corrections() -> None:
    """One more voxel of what is missing is found for each click."""
    seen: list[int] = []
    played = []
    for seed in range(60):
        seen.clear()

        def network(shown: Tensor) -> Tensor:
            here = shown[:, IMAGES + POINT[0]]
            seen.append(int(here.sum()))
            return here * 2 - 1

        data, target = batch(truth())
        assert refine(data, target, network, rng(seed), replace(ONE, most=3)) == [0]
        played.append(len(seen))
        assert seen == sorted(set(seen)) and seen[0] == 0
    assert set(played) == {1, 2, 3}
    assert played.count(1) > played.count(2) > 0


@pytest.mark.usefixtures("remembers")
def test_strokes_correct_in_the_slice_that_shows_most_of_the_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "P_SCRIBBLE", 1.0)
    target_ = np.zeros((6, 12, 16), np.int8)
    target_[1:5, 2:6, 2:6] = 1
    target_[3, 2:9, 2:6] = 1
    found = np.zeros(target_.shape, bool)
    found[2, 9:11, 8:14] = True
    signs = set()
    for axis in (0, 1, 2):
        for seed in range(20):
            data, target = batch(target_)
            rounds = replace(ONE, scribbles=True, slice_axis=axis)
            refine(data, target, says(found), rng(seed), rounds)
            shown = data[0, IMAGES:].numpy()
            assert not shown[list(POINT)].any()
            positive, negative = (shown[c] > 0 for c in SCRIBBLE)
            assert (target_[positive] == 1).all() and found[negative].all()
            (index,) = set(np.argwhere(positive)[:, axis].tolist())
            if axis == 0:
                assert index == 3
            signs.add(bool(negative.any()))
    assert signs == {False, True}
    for seed in range(20):  # none where training has none
        data, target = batch(target_)
        refine(data, target, says(found), rng(seed), ONE)
        assert not data[0, [IMAGES + c for c in SCRIBBLE]].any()


@pytest.mark.usefixtures("remembers")
@each("scribbles", [False, True])
def test_patches_of_two_axes(monkeypatch: pytest.MonkeyPatch, scribbles: bool) -> None:
    monkeypatch.setattr(module, "P_SCRIBBLE", 1.0)
    plane = np.zeros((12, 16), np.int8)
    plane[2:9, 3:10] = 1
    plane[:, 14:] = -1
    found = np.zeros((12, 16), bool)
    found[2:9, 3:5] = True
    for seed in range(10):
        data, target = batch(plane, np.full_like(plane, -1), plane)
        assert data.ndim == 4
        before = data.clone()
        refine(data, target, says(found, found), rng(seed), replace(ONE, scribbles=scribbles))
        assert torch.equal(data[1], before[1])
        for index in (0, 2):
            shown = data[index, IMAGES:].numpy()
            assert np.array_equal(shown[MASK], found)
            drawn = shown[SCRIBBLE[0] if scribbles else POINT[0]] > 0
            assert drawn.any() and (plane[drawn] == 1).all() and not found[drawn].any()
            assert shown[1:].any(0).sum() == drawn.sum()


@pytest.mark.usefixtures("remembers")
def test_the_deepest_voxel_of_a_flat_patch_is_deep_in_its_plane() -> None:
    plane = np.zeros((20, 20), np.int8)
    plane[3:14, 4:15] = 1
    for seed in range(30):
        data, target = batch(plane)
        refine(data, target, says(np.zeros_like(plane, bool)), rng(seed), ONE)
        ((_, y, x),) = np.argwhere(data[:, IMAGES + POINT[0]].numpy() == 1).tolist()
        assert max(abs(y - 8), abs(x - 9)) <= 2  # six deep, at least 0.6 of it


def test_the_generator_alone_decides() -> None:
    found = truth() == 0

    def drawn(seed: int) -> bytes:
        data, target = batch(truth(), np.flip(truth(), 2))
        torch.rand(3)
        refine(data, target, says(found, found), rng(seed), Rounds(3, DOT))
        return data.numpy().tobytes()

    assert drawn(1) == drawn(1)
    assert len({drawn(seed) for seed in range(8)}) > 4
