"""Parts in a network: what is set is read, and base + shared + private is one adapter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.federated.average import average
from nnunet_prompt.federated.part import Part, add, layout_of, pack_part
from nnunet_prompt.federated.state import TunedState
from nnunet_prompt.networks.adapter_file import Adapter, apply_adapter, read_adapter, write_adapter
from nnunet_prompt.networks.tunable import Method, Tuning, make_tunable, tuned_tensors
from tests.helpers.each import each
from tests.helpers.tunings import KINDS, logits, network_of, patch, train_briefly

pytestmark = pytest.mark.slow

METHODS: tuple[Method, ...] = ("affine", "lora", "bias", "decoder", "linear")


def tunable(method: Method, kind: str = "plain") -> tuple[nn.Module, TunedState]:
    network, tuning = network_of(kind), Tuning(method, rank=2, alpha=3.0)
    make_tunable(network, tuning)
    return network, TunedState(network, tuning)


def answer(network: nn.Module, kind: str = "plain") -> torch.Tensor:
    return logits(network, patch(kind))[0]


def trained(network: nn.Module, state: TunedState, seed: int) -> Part:
    """A part of a brief training from the start."""
    state.set(state.start(seed))
    train_briefly(network, patch(seed=seed), steps=2)
    return state.read()


@each("method", METHODS)
def test_the_start_changes_nothing(method: Method) -> None:
    network, state = tunable(method)
    state.set(state.start(1), state.start(2))
    assert torch.equal(answer(network), answer(network_of()))


@each("method", METHODS)
def test_what_was_trained_is_read_and_set_again(method: Method) -> None:
    network, state = tunable(method)
    part = trained(network, state, 1)
    after = answer(network)
    state.set(state.start(1))
    assert not torch.equal(answer(network), after)
    state.set(part)
    torch.testing.assert_close(answer(network), after, atol=1e-5, rtol=1e-5)
    assert layout_of(state.read()) == layout_of(part)


@each("kind", KINDS)
def test_every_kind_of_network_reads_what_was_set(kind: str) -> None:
    network, state = tunable("lora", kind)
    state.set(state.start(1))
    train_briefly(network, patch(kind))
    part, after = state.read(), answer(network, kind)
    state.set(state.start(1))
    state.set(part)
    torch.testing.assert_close(answer(network, kind), after, atol=1e-4, rtol=1e-4)


@each("method", ["affine", "lora"])
def test_shared_and_private_are_one_adapter_of_the_base(method: Method, tmp_path: Path) -> None:
    network, state = tunable(method)
    shared, private = trained(network, state, 1), trained(network, state, 2)
    state.set(private, shared)
    both = answer(network)
    state.set(shared, private)  # which of them is held does not matter
    torch.testing.assert_close(answer(network), both, atol=1e-4, rtol=1e-4)
    about = {"trainer_name": "", "init_args": {}, "inference_allowed_mirroring_axes": None}
    like = Adapter(Tuning(method, 2, 3.0), "hash", tuned_tensors(network), about)
    adapter = state.adapter(add(shared, private), like)
    assert adapter.tuning == (Tuning("lora", 4, 6.0) if method == "lora" else like.tuning)
    path = tmp_path / "adapter.pth"
    write_adapter(path, adapter)
    other = network_of()
    make_tunable(other, adapter.tuning)
    apply_adapter(read_adapter(path), tuned_tensors(other), source=path)
    torch.testing.assert_close(answer(other), both, atol=1e-4, rtol=1e-4)


def test_a_private_part_trains_while_the_shared_one_is_held() -> None:
    network, state = tunable("lora")
    shared = trained(network, state, 1)
    state.set(state.start(5), shared)
    before = answer(network)
    train_briefly(network, patch(), steps=1)
    private = state.read()
    assert not torch.equal(answer(network), before)
    state.set(state.start(5), shared)
    torch.testing.assert_close(answer(network), before, atol=1e-6, rtol=1e-6)
    assert any(f.up.any() for f in private.low.values())


def test_the_average_of_parts_answers_as_the_mean_of_weights() -> None:
    """Of a network whose only change is one layer: weights are linear in the mean of the products."""
    network, state = tunable("lora")
    parts = [trained(network, state, s) for s in (1, 2)]
    mean = average(parts, [1, 1])
    for name, low in mean.part.low.items():
        exact = (parts[0].low[name].product + parts[1].low[name].product) / 2
        error = np.sum((low.product - exact) ** 2) / max(np.sum(exact**2), 1e-12)
        assert error <= mean.lost + 1e-6


def test_affine_sends_fewer_numbers_than_lora_and_lora_fewer_than_all() -> None:
    sizes = [pack_part(tunable(m)[1].start(0)).size for m in ("linear", "affine", "lora")]
    total = sum(p.numel() for p in network_of().parameters())
    assert sizes[0] < sizes[1] < sizes[2] < total


def test_parts_of_another_network_are_refused() -> None:
    _, state = tunable("affine")
    _, other = tunable("lora")
    with pytest.raises(ModelError, match="another network"):
        state.set(other.start(0))
    with pytest.raises(ModelError, match="another network"):
        state.set(state.start(0), other.start(0))
