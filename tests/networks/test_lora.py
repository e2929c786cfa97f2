"""The low-rank term: its formula for every kind of convolution, and its state."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from nnunet_prompt.networks.lora import LowRank, add_lora, lora_state, restore_lora
from tests.helpers.each import each
from tests.helpers.tunings import logits, network_of, patch


def test_the_formula() -> None:
    weight = torch.zeros(2, 3, 1, 1, 2)
    term = LowRank(weight, rank=1, alpha=4.0)
    with torch.no_grad():
        term.up.copy_(torch.tensor([[1.0], [2.0]]))
        term.down.copy_(torch.arange(6.0)[None])
    expected = 4 * torch.stack([torch.arange(6.0), 2 * torch.arange(6.0)]).reshape(2, 3, 1, 1, 2)
    assert torch.equal(term(weight), expected)


def test_the_rank_is_cut_to_what_the_weight_can_have_and_the_scale_is_not() -> None:
    term = LowRank(torch.zeros(3, 2, 1, 1, 1), rank=8, alpha=4.0)
    assert term.up.shape == (3, 2) and term.down.shape == (2, 2)
    assert term.scale == 0.5
    assert torch.count_nonzero(term.up) == 0 and torch.count_nonzero(term.down) == 4


@each(
    "layer",
    [
        nn.Conv3d(3, 4, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
        nn.Conv2d(3, 4, 3),
        nn.ConvTranspose3d(3, 4, (1, 2, 2), (1, 2, 2)),
        nn.ConvTranspose2d(3, 4, 2, 2),
    ],
)
def test_it_equals_a_layer_with_the_summed_weight(layer: Any) -> None:
    axes = layer.weight.ndim - 2
    x = torch.randn(1, 3, *(5, 6, 8)[-axes:])
    network = nn.Sequential(layer)
    plain = layer.weight.detach().clone()
    add_lora(network, rank=2, alpha=1.0)
    state = lora_state(network)["0"]
    nn.init.normal_(state["up"])
    total = plain + 0.5 * (state["up"] @ state["down"]).view_as(plain)
    with torch.no_grad():
        adapted = network(x)
        layer_weight = {"weight": total, "bias": layer.bias}
        torch.nn.utils.parametrize.remove_parametrizations(
            layer, "weight", leave_parametrized=False
        )
        torch.testing.assert_close(adapted, torch.func.functional_call(layer, layer_weight, x))


def test_its_state_comes_back_bit_for_bit() -> None:
    """As a training goes on: the folded weights are loaded first, then what they were folded from."""
    network, other = network_of(), network_of(seed=1)
    for one in (network, other):
        add_lora(one, rank=2, alpha=1.0)
    for tensors in lora_state(network).values():
        nn.init.normal_(tensors["up"])
    kept = {n: {k: t.clone() for k, t in v.items()} for n, v in lora_state(network).items()}
    restore_lora(other, kept)
    for name, tensors in lora_state(other).items():
        assert all(torch.equal(tensors[k], kept[name][k]) for k in ("weight", "up", "down"))
    assert not torch.equal(logits(network, patch())[0], logits(other, patch())[0])  # biases, norms


def test_a_state_without_a_layer_is_an_error() -> None:
    network = network_of()
    add_lora(network, rank=2, alpha=1.0)
    state = lora_state(network)
    state.popitem()
    with pytest.raises(KeyError):
        restore_lora(network, state)


def test_a_network_without_it_has_no_state() -> None:
    assert lora_state(network_of()) == {}
    restore_lora(network_of(), {})
