"""Task vectors: nothing changes without a support, each sample has its own, and a support set becomes outputs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nnunet_prompt.common.errors import RefusedError
from nnunet_prompt.networks.adapter_file import base_sha256
from nnunet_prompt.networks.task_vector import (
    ABSENT,
    Modulation,
    add_task_vectors,
    has_task_vectors,
    is_of_task_vectors,
    takes_support,
    task_vectors,
    vector_length,
)
from nnunet_prompt.networks.tunable import Tuning, as_trained, make_tunable, tuned_tensors
from nnunet_prompt.sliding_window.promptless import without_prompts
from tests.helpers.each import each
from tests.helpers.tunings import logits, network_of, patch

pytestmark = pytest.mark.slow
KINDS = ("plain", "residual", "2d", "batchnorm")


def supported(kind: str = "plain", *, awake: bool = True) -> Any:
    """A network that takes a support, whose task vectors matter where `awake`."""
    network: Any = network_of(kind)
    add_task_vectors(network)
    network.eval()
    network.decoder.deep_supervision = False
    generator = torch.Generator().manual_seed(3)
    for module in network.modules():
        if awake and isinstance(module, Modulation):
            nn.init.normal_(module.linear.weight, std=0.2, generator=generator)
    return network


def with_support(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The batch with a support for its first sample alone; the support's images and masks."""
    generator = torch.Generator().manual_seed(5)
    images = torch.rand(x.shape[0], 1, *x.shape[2:], generator=generator)
    masks = torch.zeros_like(images)
    masks[0, ..., 2:6, 3:9] = 1
    return torch.cat([x, images, masks], 1), images, masks


@each("kind", KINDS)
def test_new_task_vectors_change_nothing(kind: str) -> None:
    plain = network_of(kind).eval()
    network = supported(kind, awake=False)
    x = patch(kind)
    expected = logits(plain, x)[0]
    assert torch.equal(network(x), expected)
    assert torch.equal(network(with_support(x)[0]), expected)
    images_alone = logits(plain, x[:, :1])[0]
    assert torch.equal(network(x[:, :1]), images_alone)


@each("kind", KINDS)
def test_a_support_changes_its_own_sample_only(kind: str) -> None:
    network = supported(kind)
    x = patch(kind)
    plain, shown = network(x), network(with_support(x)[0])
    assert not torch.allclose(shown[0], plain[0], atol=1e-3)
    torch.testing.assert_close(shown[1], plain[1])
    torch.testing.assert_close(network(x), plain)  # nothing is kept


@each("kind", KINDS)
def test_a_vector_is_the_masked_mean_of_each_stage(kind: str) -> None:
    network = supported(kind)
    _, images, masks = with_support(patch(kind))
    found = task_vectors(network, images, masks)
    assert found.shape == (2, vector_length(network)) and not found[1].any()
    zeros = torch.zeros(2, 7, *images.shape[2:])
    first = network.encoder(torch.cat([images, zeros], 1))[0][0]
    inside = first[:, masks[0, 0] > 0].mean(1)
    flat = first.flatten(1)
    expected = (inside - flat.mean(1)) / (flat.std(1, correction=0) + 1e-3)
    torch.testing.assert_close(found[0, : len(expected)], expected)


def test_what_a_support_changes_is_learned() -> None:
    network = supported(awake=False)
    network.train()
    loss = network(with_support(patch())[0]).square().mean()
    loss.backward()
    grown = [m.linear.weight.grad for m in network.modules() if isinstance(m, Modulation)]
    assert len(grown) == 2 and all(bool(g.abs().max() > 0) for g in grown)


def test_checkpoints_keep_them_and_plain_ones_are_read() -> None:
    network, plain = supported(), network_of()
    weights = network.state_dict()
    assert has_task_vectors(weights) and not has_task_vectors(plain.state_dict())
    other = network_of(seed=7)
    other.load_state_dict(weights)
    other.eval()
    other.decoder.deep_supervision = False  # type: ignore[union-attr]
    x = with_support(patch())[0]
    assert takes_support(other) and torch.equal(other(x), network(x))
    network.load_state_dict(plain.state_dict())  # keeps its own modulation
    network.shows_added = False
    assert network.state_dict().keys() == plain.state_dict().keys()
    network.load_state_dict(plain.state_dict())


@each("kind", KINDS)
def test_a_support_set_has_an_output_for_each_structure(kind: str) -> None:
    network = supported(kind)
    x = patch(kind)
    _, images, masks = with_support(x)
    vector = task_vectors(network, images, masks)[0]
    base = base_sha256(network)
    make_tunable(network, Tuning("vector"))
    assert base_sha256(network) == base
    tensors = tuned_tensors(network)
    assert {n for n in tensors if is_of_task_vectors(n)} == {"support.vectors", "support.shown"}
    with torch.no_grad():
        network.support.vectors[0, 0], network.support.shown[0, 0] = vector, 1
    structures = network(x[:, :1])
    assert not structures[:, 0].any()  # stock nnU-Net takes it for the background
    del network._modules["support"]
    empty = torch.zeros_like(x[:, 1:])
    expected = network(with_support(torch.cat([x[:, :1], empty], 1))[0])
    torch.testing.assert_close(structures[0, 1], expected[0, 0])
    assert not torch.allclose(structures[0, 1], network(torch.cat([x[:, :1], empty], 1))[0, 0])


def test_the_mean_is_over_the_cases_that_show_a_structure() -> None:
    network = supported()
    make_tunable(network, Tuning("vector"))
    length = vector_length(network)
    with torch.no_grad():
        for case, value in enumerate((1.0, 3.0, 8.0)):
            network.support.vectors[case, 0] = value
            network.support.shown[case, 0] = 1
        network.support.vectors[1, 1], network.support.shown[1, 1] = 5.0, 1
    assert torch.equal(network.support.means(), torch.tensor([[4.0], [5.0]]).expand(2, length))
    assert network.support.cases == [0, 1, 2]
    with network.support.without(1):
        expected = torch.tensor([[4.5], [0.0]]).expand(2, length)
        assert torch.equal(network.support.means(), expected)
        assert network.support.cases == [0, 2]
    assert torch.equal(network.support.means(), torch.tensor([[4.0], [5.0]]).expand(2, length))


def test_prompts_are_answered_without_the_support() -> None:
    network = supported()
    x = patch()
    x[:, 1:] = 0
    x[0, 4, 1, 3, 5] = 1
    expected = network(x)[:, :1]
    make_tunable(network, Tuning("vector"))
    found = network(x)
    torch.testing.assert_close(found[:, :1], expected)
    assert (found[:, 1:] == ABSENT).all()


@each("kind", KINDS)
def test_passes_without_prompts_answer_alike(kind: str) -> None:
    network = supported(kind)
    x = patch(kind)
    _, images, masks = with_support(x)
    vector = task_vectors(network, images, masks)[0]
    make_tunable(network, Tuning("vector"))
    with torch.no_grad():
        network.support.vectors[0], network.support.shown[0] = vector, 1
        narrow = without_prompts(network, 1)
        assert narrow is not None
        torch.testing.assert_close(narrow(x[:, :1]), network(x[:, :1]))
        with as_trained(network):
            weights = network.state_dict()
    other: Any = network_of(kind, seed=9).eval()
    other.decoder.deep_supervision = False
    other.load_state_dict(weights)
    torch.testing.assert_close(other(x[:, :1]), network(x[:, :1]))


def test_a_network_without_supports_is_refused() -> None:
    with pytest.raises(RefusedError, match="takes no support set; train it with nnUNetTrainer"):
        make_tunable(network_of(), Tuning("vector"))
