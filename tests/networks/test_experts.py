"""Experts: they start as the plain network, are mixed image by image, learn, and travel in checkpoints."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nnunet_prompt.common.errors import RefusedError
from nnunet_prompt.networks.adapted import load_trunk
from nnunet_prompt.networks.experts import (
    QUANTILES,
    ExpertOptions,
    Router,
    Term,
    add_experts,
    expert_options,
    has_experts,
    image_statistics,
    is_of_experts,
)
from nnunet_prompt.networks.tunable import (
    NORMALISATIONS,
    Tuning,
    as_trained,
    make_tunable,
    tuned_tensors,
)
from nnunet_prompt.sliding_window.forward import networks
from nnunet_prompt.sliding_window.promptless import without_prompts
from tests.helpers.each import each
from tests.helpers.experts import wake
from tests.helpers.tunings import KINDS, logits, network_of, patch, train_briefly

pytestmark = pytest.mark.slow

OPTIONS = ExpertOptions(number=3, rank=2)


def with_experts(kind: str = "plain", *, seed: int = 0) -> nn.Module:
    network = network_of(kind, seed=seed)
    add_experts(network, OPTIONS)
    return network


def terms(network: nn.Module) -> list[Term]:
    return [m for m in network.modules() if isinstance(m, Term)]


def other_image(x: Tensor) -> Tensor:
    """The same batch, whose second image has another contrast."""
    changed = x.clone()
    changed[1, :1] = changed[1, :1] ** 3
    return changed


@each("kind", KINDS)
def test_training_starts_at_the_plain_network(kind: str) -> None:
    network, x = network_of(kind), patch(kind)
    plain = [logits(network, x[i : i + 1]) for i in range(2)]
    add_experts(network, OPTIONS)
    for i in range(2):
        same = zip(logits(network, x[i : i + 1]), plain[i], strict=True)
        assert all(torch.equal(a, b) for a, b in same)
    assert terms(network)


@each("kind", KINDS)
def test_each_image_of_a_batch_has_weights_of_its_own(kind: str) -> None:
    network, x = with_experts(kind), other_image(patch(kind))
    wake(network)
    both = logits(network, x)
    for i in range(2):
        for ours, alone in zip(both, logits(network, x[i : i + 1]), strict=True):
            torch.testing.assert_close(ours[i : i + 1], alone, rtol=1e-4, atol=1e-4)
    with torch.no_grad():  # all images alike
        network.get_parameter("router.linear.weight").zero_()
    assert not torch.allclose(logits(network, x)[0], both[0], atol=1e-2)


def test_shares_are_soft_and_sum_to_one() -> None:
    router = Router(channels=2, axes=3, stages=5, number=4)
    shares = router(torch.rand(3, 2, 4, 6, 8))
    assert shares.shape == (3, 5, 4)
    torch.testing.assert_close(shares.sum(-1), torch.ones(3, 5))
    assert (shares > 0).all()


def test_the_formula() -> None:
    term = Term(torch.zeros(2, 3, 1, 1, 2), ExpertOptions(number=2, rank=1))
    assert term.up.shape == (2, 2, 1) and term.down.shape == (2, 1, 6)
    with torch.no_grad():
        term.up[0, :, 0], term.up[1, :, 0] = torch.tensor([1.0, 2.0]), torch.tensor([4.0, 0.0])
        term.down[0, 0], term.down[1, 0] = torch.arange(6.0), torch.ones(6)
    expected = torch.stack([0.25 * torch.arange(6.0) + 3, 0.5 * torch.arange(6.0)])
    found = term(torch.tensor([[0.25, 0.75], [0.0, 1.0]]))
    assert torch.equal(found[0], expected)
    assert torch.equal(found[1], torch.tensor([[4.0], [0.0]]).expand(2, 6))


def test_statistics_by_hand() -> None:
    image = torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])[None, None]  # (1, 1, 3, 2)
    found = image_statistics(image)[0]
    expected = [0.5, 0.5, 0.0, 0.0, 0.5, 1.0, 1.0, 0.0, 1 / 0.5]
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-4, rtol=0)
    assert image_statistics(torch.rand(2, 3, 4, 5, 6)).shape == (2, 3 * (2 + len(QUANTILES) + 3))


@each("image", [torch.zeros(1, 1, 2, 2), torch.full((1, 1, 1, 1, 1), 7.0)])
def test_statistics_of_a_constant_image_are_finite(image: Tensor) -> None:
    assert torch.isfinite(image_statistics(image)).all()


def test_quantiles_of_a_large_image_meet_every_column() -> None:
    """A step of a whole row would see one column alone."""
    ramp = torch.arange(64.0).expand(64, 64, 64)[None, None]
    quantiles = image_statistics(ramp)[0, 2:7]
    torch.testing.assert_close(quantiles, 63 * torch.tensor(QUANTILES), atol=1.0, rtol=0)


@each("kind", KINDS)
def test_gradients_reach_every_expert_and_the_router(kind: str) -> None:
    network = with_experts(kind)
    for norm in [m for m in network.modules() if isinstance(m, NORMALISATIONS)]:
        nn.init.ones_(norm.weight)  # type: ignore[arg-type] # nnU-Net shuts residual branches at first
    outputs = network(patch(kind))
    torch.stack([(o**2).mean() for o in outputs]).sum().backward()
    for term in terms(network):
        assert term.up.grad is not None
        assert (term.up.grad.flatten(1).abs().amax(1) > 0).all()  # of each of the experts
    train_briefly(network, patch(kind), steps=1)
    network.zero_grad()
    torch.stack([(o**2).mean() for o in network(patch(kind))]).sum().backward()
    for term in terms(network):
        assert term.down.grad is not None
        assert (term.down.grad.flatten(1).abs().amax(1) > 0).all()
    router = network.get_parameter("router.linear.weight").grad
    assert router is not None and router.abs().max() > 0


@each("kind", KINDS)
def test_a_checkpoint_brings_its_experts(kind: str) -> None:
    network, x = with_experts(kind), patch(kind)
    wake(network)
    weights = {n: t.clone() for n, t in network.state_dict().items()}
    assert expert_options(weights) == OPTIONS
    loaded = network_of(kind, seed=3)
    loaded.load_state_dict(weights)
    assert torch.equal(logits(loaded, x)[0], logits(network, x)[0])
    assert loaded.state_dict().keys() == weights.keys()
    again = with_experts(kind, seed=4)
    again.load_state_dict(weights)
    assert torch.equal(logits(again, x)[0], logits(network, x)[0])


def test_folds_are_copies_with_experts_of_their_own() -> None:
    first, second = with_experts(), with_experts(seed=1)
    wake(first)
    wake(second, seed=8)
    expected = [logits(n, patch())[0] for n in (first, second)]
    folds = [dict(copy.deepcopy(n).state_dict()) for n in (first, second)]
    found = networks(copy.deepcopy(first), folds, torch.device("cpu"))
    for one, logit in zip(found, expected, strict=True):
        assert torch.equal(logits(one, patch())[0], logit)


def test_weights_without_experts_make_them_do_nothing() -> None:
    plain, network = network_of(), with_experts(seed=2)
    wake(network)
    network.load_state_dict(plain.state_dict())
    one = patch()[:1]
    assert torch.equal(logits(network, one)[0], logits(plain, one)[0])


def test_hidden_experts_leave_the_state_dict_of_the_plain_network() -> None:
    plain, network = network_of(), with_experts()
    network.shows_added = False  # type: ignore[assignment]
    assert network.state_dict().keys() == plain.state_dict().keys()
    network.shows_added = True  # type: ignore[assignment]
    added = network.state_dict().keys() - plain.state_dict().keys()
    assert added and all(is_of_experts(name) for name in added)
    assert not has_experts(plain) and expert_options(plain.state_dict()) is None


def test_the_first_convolution_stays_plain_so_that_prompt_channels_can_go() -> None:
    network = with_experts()
    wake(network)
    image = patch()[:, :1]
    narrow = without_prompts(network, 1)
    assert narrow is not None
    silent = torch.cat([image, torch.zeros(2, 7, *image.shape[2:])], 1)
    torch.testing.assert_close(logits(narrow, image)[0], logits(network, silent)[0])
    promptless = logits(network, image)[0]  # as stock nnU-Net asks
    torch.testing.assert_close(promptless[:, 1:], logits(network, silent)[0][:, 1:])


def test_a_part_of_the_network_alone_is_refused() -> None:
    network = with_experts()
    logits(network, patch())
    with pytest.raises(RefusedError, match="without the router"):
        network.encoder(patch())  # type: ignore[operator]


@pytest.mark.slow
def test_torch_compile_takes_it() -> None:
    network, x = with_experts(), patch()
    wake(network)
    compiled = torch.compile(network, backend="eager")
    torch.testing.assert_close(logits(compiled, x)[0], logits(network, x)[0])  # type: ignore[arg-type]


def test_the_trunk_of_a_base_brings_its_experts_to_new_heads() -> None:
    """As `learn` and `weights merge` build on a base."""
    base, network = with_experts(), network_of(seed=6)
    wake(base)
    load_trunk(network, base.state_dict(), source=Path("base"))
    assert expert_options(network.state_dict()) == OPTIONS
    bases, ours = base.state_dict(), network.state_dict()
    assert all(torch.equal(bases[n], t) for n, t in ours.items() if not n.startswith("heads."))


@each("method", ["affine", "lora", "decoder"])
def test_a_network_with_experts_can_be_tuned(method: str) -> None:
    network, x = with_experts(), patch()
    wake(network)
    before = logits(network, x)[0]
    make_tunable(network, Tuning(method, rank=2))  # type: ignore[arg-type]
    torch.testing.assert_close(logits(network, x)[0], before)
    train_briefly(network, x)
    assert tuned_tensors(network)
    with as_trained(network):
        weights = {n: t.clone() for n, t in network.state_dict().items()}
    tuned = network_of(seed=5)
    tuned.load_state_dict(weights)
    torch.testing.assert_close(logits(tuned, x)[0], logits(network, x)[0], rtol=1e-4, atol=1e-4)
