"""The loss on logits small enough to compute by hand: what is unknown must not be felt anywhere."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from torch import Tensor, nn

from nnunet_prompt.training.loss import UNKNOWN, PromptLoss
from tests.helpers.each import each

SHAPE = (2, 3, 2, 3, 4)  # two patches, the object and two structures


def logits(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def targets(seed: int = 1, shape: tuple[int, ...] = SHAPE) -> Tensor:
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.6
    return drawn.to(torch.int8)


def term(one: Tensor, truth: Tensor, smooth: float = 1.0) -> float:
    """Binary cross-entropy + soft Dice of one head, from the formulas, in double precision."""
    p = torch.sigmoid(one.double())
    t = truth.double()
    entropy = -(t * p.log() + (1 - t) * (1 - p).log()).mean()
    dice = 1 - (2 * (p * t).sum() + smooth) / (p.sum() + t.sum() + smooth)
    return float(entropy + dice)


def test_the_value_is_the_object_plus_the_mean_of_the_structures() -> None:
    x, t = logits(), targets()
    object_, first, second = (term(x[:, k], t[:, k]) for k in range(3))
    assert float(PromptLoss()(x, t)) == pytest.approx(object_ + (first + second) / 2, rel=1e-5)


def test_two_voxels_by_hand() -> None:
    x = torch.zeros(1, 2, 1, 1, 2)
    t = torch.tensor([[[[[1, 0]]], [[[0, 0]]]]], dtype=torch.int8)
    # entropy ln 2; object dice 1 - (2 * .5 + 1) / (1 + 1 + 1), structure dice 1 - 1 / (1 + 0 + 1)
    expected = math.log(2) + 1 / 3 + math.log(2) + 1 / 2
    assert float(PromptLoss()(x, t)) == pytest.approx(expected)


def test_an_unannotated_head_changes_nothing_and_gets_no_gradient() -> None:
    t = targets()
    t[:, 1] = UNKNOWN
    x = logits().requires_grad_()
    loss = PromptLoss()(x, t)
    loss.backward()
    assert torch.count_nonzero(x.grad[:, 1]) == 0
    assert torch.count_nonzero(x.grad[:, [0, 2]]) > 0
    changed = x.detach().clone()
    changed[:, 1] = 50.0
    assert PromptLoss()(changed, t) == loss
    object_, second = (term(x[:, k].detach(), t[:, k]) for k in (0, 2))
    assert loss.item() == pytest.approx(object_ + second, rel=1e-5)


def test_unknown_voxels_are_masked_one_by_one() -> None:
    t = targets()
    t[0, 1] = UNKNOWN  # the first patch does not annotate structure 1
    t[:, :, 0, 0, 0] = UNKNOWN  # an ignore label in one corner
    x = logits().requires_grad_()
    loss = PromptLoss()(x, t)
    loss.backward()
    unknown = t == UNKNOWN
    assert torch.count_nonzero(x.grad[unknown]) == 0
    assert (x.grad[~unknown] != 0).all()
    changed = torch.where(unknown, torch.tensor(-70.0), x.detach())
    assert PromptLoss()(changed, t) == loss
    known = t[:, 1] != UNKNOWN
    first = term(x[:, 1][known].detach(), t[:, 1][known])
    object_, second = (
        term(x[:, k][known_k].detach(), t[:, k][known_k])
        for k in (0, 2)
        for known_k in (t[:, k] != UNKNOWN,)
    )
    assert loss.item() == pytest.approx(object_ + (first + second) / 2, rel=1e-5)


@each("kind", [torch.int8, torch.float32])
def test_the_gradient_is_that_of_the_formulas(kind: torch.dtype) -> None:
    """Also for logits whose sigmoid is 0 or 1, and the targets stay as they are."""
    t = targets().to(kind)
    t[0, 1], t[:, 2, 0] = UNKNOWN, UNKNOWN
    before = t.clone()
    x = logits() * 4
    x[:, :, 1, 0, 0], x[:, :, 1, 0, 1] = 90.0, -90.0
    x.requires_grad_()
    (found,) = torch.autograd.grad(PromptLoss()(x, t), x)
    exact = x.detach().double().requires_grad_()
    heads = []
    for k in range(3):
        one, truth = (v[:, k][t[:, k] != UNKNOWN] for v in (exact, t.double()))
        p = torch.sigmoid(one)
        entropy = torch.nn.functional.binary_cross_entropy_with_logits(one, truth)
        heads.append(entropy + 1 - (2 * (p * truth).sum() + 1) / (p.sum() + truth.sum() + 1))
    (expected,) = torch.autograd.grad(heads[0] + (heads[1] + heads[2]) / 2, exact)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-8)
    assert torch.equal(t, before)


def test_nothing_known_at_all_is_zero_with_zero_gradient() -> None:
    x = logits().requires_grad_()
    loss = PromptLoss()(x, torch.full(SHAPE, UNKNOWN, dtype=torch.int8))
    loss.backward()
    assert loss.item() == 0
    assert torch.count_nonzero(x.grad) == 0


@each("bias", [-3.0, 0.0, 3.0])
def test_an_empty_patch_still_teaches(bias: float) -> None:
    """With a smooth term of 0 the Dice of an empty patch would be flat (trap 10)."""
    x = (logits() + bias).requires_grad_()
    empty = torch.zeros(SHAPE, dtype=torch.int8)
    PromptLoss()(x, empty).backward()
    assert (x.grad > 0).all()  # every logit is pushed down
    dice = 1 - 1 / (torch.sigmoid(x.detach()[:, 0]).double().sum() + 1)
    entropy = torch.nn.functional.softplus(x.detach()[:, 0].double()).mean()
    assert term(x[:, 0].detach(), empty[:, 0]) == pytest.approx(float(dice + entropy))


def test_a_case_with_one_structure_of_fourteen_weighs_as_much() -> None:
    one = logits(2, (1, 1, 2, 3, 4))
    truth = targets(3, (1, 1, 2, 3, 4))
    x, t = one.expand(1, 15, 2, 3, 4), truth.expand(1, 15, 2, 3, 4).clone()
    everything = PromptLoss()(x, t)
    t[:, 2:] = UNKNOWN
    assert float(PromptLoss()(x, t)) == pytest.approx(float(everything), rel=1e-6)


def test_deep_supervision_weighs_and_masks_every_scale() -> None:
    fine, coarse = logits().requires_grad_(), logits(5, (2, 3, 1, 2, 2)).requires_grad_()
    t_fine, t_coarse = targets(), targets(6, (2, 3, 1, 2, 2))
    t_fine[:, 2], t_coarse[:, 2] = UNKNOWN, UNKNOWN
    ours = PromptLoss()
    loss = DeepSupervisionWrapper(ours, (0.75, 0.25))([fine, coarse], [t_fine, t_coarse])
    loss.backward()
    expected = 0.75 * ours(fine, t_fine) + 0.25 * ours(coarse, t_coarse)
    assert loss.item() == pytest.approx(expected.item())
    for x in (fine, coarse):
        assert x.grad is not None
        assert torch.count_nonzero(x.grad[:, 2]) == 0
        assert (x.grad[:, :2] != 0).all()


def test_2d_patches() -> None:
    x, t = logits(0, (2, 3, 3, 4)), targets(1, (2, 3, 3, 4))
    parts = [term(x[:, k], t[:, k]) for k in range(3)]
    assert float(PromptLoss()(x, t)) == pytest.approx(parts[0] + (parts[1] + parts[2]) / 2)


def test_half_precision_logits_of_a_full_patch() -> None:
    """Under autocast logits are float16, whose largest number is 65504: a patch has more voxels than that."""
    shape = (1, 2, 48, 48, 48)
    x, t = logits(0, shape), targets(1, shape)
    expected = float(PromptLoss()(x, t))
    half = x.half().requires_grad_()
    loss = PromptLoss()(half, t)
    loss.backward()
    assert loss.item() == pytest.approx(expected, rel=1e-3)
    assert half.grad is not None and torch.isfinite(half.grad).all()


def test_half_precision_under_autocast() -> None:
    shape = (1, 2, 48, 48, 48)
    x, t = logits(0, shape), targets(1, shape)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = PromptLoss()(x.bfloat16(), t)
    assert loss.item() == pytest.approx(float(PromptLoss()(x, t)), rel=1e-2)


class _Scale(nn.Module):
    """A network of one parameter, which scales the logits it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


def _batches() -> list[tuple[Tensor, Tensor]]:
    """Two patches each: all known; and a second patch that annotates one structure, with an ignored corner."""
    partly = targets()
    partly[1, 1] = UNKNOWN
    partly[1, :, 0, 0] = UNKNOWN
    return [(logits(), targets()), (logits(), partly)]


def _one_device(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    meeting = f"file://{folder}/meeting"  # not a port, which another program could take meanwhile
    torch.distributed.init_process_group("gloo", meeting, rank=rank, world_size=2)
    for i, (x, t) in enumerate(_batches()):
        network = _Scale()
        parallel = nn.parallel.DistributedDataParallel(network)
        loss = PromptLoss(ddp=True)(parallel(x[rank : rank + 1]), t[rank : rank + 1])
        loss.backward()
        np.savez(Path(folder) / f"{i}_{rank}.npz", loss=loss.detach(), grad=network.weight.grad)
    torch.distributed.barrier()  # nobody leaves while the other still talks
    torch.distributed.destroy_process_group()
    os._exit(
        0
    )  # gloo's threads can abort an interpreter that is being taken down; all there was to do is done


@pytest.mark.slow
def test_two_devices_train_like_one_with_the_whole_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2])  # where the processes find this module
    torch.multiprocessing.spawn(_one_device, (str(tmp_path),), nprocs=2)
    for i, (x, t) in enumerate(_batches()):
        network = _Scale()
        loss = PromptLoss()(network(x), t)
        loss.backward()
        assert network.weight.grad is not None
        found = [np.load(tmp_path / f"{i}_{rank}.npz") for rank in range(2)]
        assert np.mean([f["loss"] for f in found]) == pytest.approx(loss.item(), rel=1e-5)
        for f in found:  # DDP has averaged the gradients
            assert float(f["grad"]) == pytest.approx(network.weight.grad.item(), rel=1e-4)
