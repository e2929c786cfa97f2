"""What is trained, what stays bit for bit, and what the state dict says meanwhile."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nnunet_prompt.common.errors import RefusedError
from nnunet_prompt.networks.tunable import (
    Method,
    Tuning,
    as_trained,
    is_deaf,
    make_tunable,
    tuned_tensors,
)
from tests.helpers.each import each
from tests.helpers.tunings import KINDS, logits, network_of, patch, train_briefly

METHODS: tuple[Method, ...] = ("affine", "bias", "lora", "decoder", "spatial", "linear", "full")
ALL = list(itertools.product(METHODS, KINDS))
FEW = [(method, KINDS[n % len(KINDS)]) for n, method in enumerate(METHODS)]


def tunable(method: Method, kind: str = "plain") -> Any:
    network = network_of(kind)
    make_tunable(network, Tuning(method, rank=2, alpha=3.0))
    return network


def trained_names(network: nn.Module) -> set[str]:
    return {n for n, p in network.named_parameters() if p.requires_grad}


def copies(network: nn.Module) -> dict[str, torch.Tensor]:
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {n: t.detach().clone() for n, t in tensors.items()}


@each(("method", "kind"), ALL, fast=FEW)
def test_at_first_no_logit_changes_and_the_state_dict_is_the_same(
    method: Method, kind: str
) -> None:
    plain, network = network_of(kind), tunable(method, kind)
    before, after = logits(plain, patch(kind)), logits(network, patch(kind))
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    own, ours = plain.state_dict(), network.state_dict()
    assert own.keys() == ours.keys()
    assert all(torch.equal(own[n], ours[n]) for n in own)


@each(("method", "kind"), ALL[: -len(KINDS)], fast=FEW[:-1])
def test_frozen_parameters_and_buffers_stay_bit_for_bit(method: Method, kind: str) -> None:
    network = tunable(method, kind)
    before = copies(network)
    train_briefly(network, patch(kind))
    after, tuned = copies(network), tuned_tensors(network)
    changed = {n for n in before if not torch.equal(before[n], after[n])}
    assert changed <= tuned.keys()
    assert trained_names(network) <= tuned.keys()
    assert any(n.startswith("decoder.seg_layers.") for n in changed)
    if method != "linear":
        assert any(not n.startswith("decoder.seg_layers.") for n in changed)


def test_each_method_trains_what_it_is_called_for() -> None:
    heads = {f"decoder.seg_layers.{i}.{n}" for i in range(2) for n in ("weight", "bias")}
    assert trained_names(tunable("linear")) == heads
    affine = trained_names(tunable("affine")) - heads
    assert len(affine) == 2 * 5 and all(".norm." in n for n in affine)
    bias = trained_names(tunable("bias")) - heads
    assert len(bias) == 5 * 2 + 2 and all(n.endswith(".bias") for n in bias)
    decoder = trained_names(tunable("decoder"))
    assert decoder > heads and all(n.startswith("decoder.") for n in decoder)
    assert not any("encoder" in n for n in decoder)
    lora = trained_names(tunable("lora")) - heads
    assert len(lora) == 2 * (5 + 2)  # the two transposed convolutions as well
    spatial = trained_names(tunable("spatial")) - heads
    assert {n.removeprefix("decoder.stages.1.adapter.") for n in spatial} == {
        "first.weight",
        "first.bias",
        "last.weight",
        "last.bias",
    }
    full = tunable("full")
    assert trained_names(full) == {n for n, _ in full.named_parameters()}


def test_batch_statistics_belong_to_the_layers_that_are_trained() -> None:
    """`affine` trains the normalisation layers and `decoder` its own; every other method must keep all statistics."""
    for method, expected in (("affine", 5), ("decoder", 2), ("bias", 0), ("linear", 0)):
        network = tunable(method, "batchnorm")
        before = copies(network)
        train_briefly(network, patch())
        moved = [
            n
            for n, t in copies(network).items()
            if "running" in n and not torch.equal(t, before[n])
        ]
        assert len(moved) == 2 * expected, method
        assert set(moved) <= tuned_tensors(network).keys()


@each(("method", "kind"), ALL, fast=FEW)
def test_the_saved_weights_are_those_of_the_tuned_model(method: Method, kind: str) -> None:
    network = tunable(method, kind)
    train_briefly(network, patch(kind))
    with as_trained(network):
        saved = network.state_dict()
    base = network.state_dict()
    plain = network_of(kind, seed=1)  # what our model folders build: they know nothing of tuning
    plain.load_state_dict(saved)
    for own, loaded in zip(logits(network, patch(kind)), logits(plain, patch(kind)), strict=True):
        torch.testing.assert_close(loaded, own, atol=1e-5, rtol=0)
    if method != "spatial":
        assert saved.keys() == base.keys()


def test_a_folded_layer_is_stored_once(tmp_path: Path) -> None:
    """A residual encoder stores its stem under four names; they must stay one tensor in the file."""
    network = tunable("lora", "residual")
    with as_trained(network):
        stems = [t for t in network.state_dict().values() if t.ndim == 5 and t.shape[1] == 8]
    assert len([t for t in stems if t.data_ptr() == stems[0].data_ptr()]) == 4


def test_loading_makes_what_was_added_do_nothing() -> None:
    """As nnU-Net's loader of pretrained weights does it: take the state dict, change it, load it."""
    for method in ("lora", "spatial"):
        network = tunable(method)
        assert not network.has_base
        train_briefly(network, patch())
        other = network_of(seed=7)
        network.load_state_dict(other.state_dict())
        assert network.has_base
        for a, b in zip(logits(network, patch()), logits(other, patch()), strict=True):
            assert torch.equal(a, b)


def test_a_spatial_adapter_is_not_lost_in_silence() -> None:
    """nnU-Net's loader drops names that it does not know; so a name that it does know has to be missing."""
    network = tunable("spatial")
    with as_trained(network):
        saved = network.state_dict()
    assert "heads.0.weight" in saved and "heads.1.weight" not in saved
    assert {n for n in saved if n.startswith("spatial_adapter.")} == {
        f"spatial_adapter.{part}.{n}"
        for part in ("first", "last", "head")
        for n in ("weight", "bias")
    }
    assert saved["spatial_adapter.first.weight"].shape == (4, 4, 1, 3, 3)  # the stage's kernel


def test_a_network_with_a_grown_adapter_saves_it_and_loses_it_again() -> None:
    network = tunable("spatial")
    train_briefly(network, patch())
    with as_trained(network):
        saved = network.state_dict()
    grown = network_of(seed=3)
    grown.load_state_dict(saved)
    again = grown.state_dict()
    assert again.keys() == saved.keys()
    assert all(torch.equal(again[n], saved[n]) for n in saved)
    plain = network_of(seed=4)
    grown.load_state_dict(plain.state_dict())
    for a, b in zip(logits(grown, patch()), logits(plain, patch()), strict=True):
        assert torch.equal(a, b)


def test_a_base_that_ignores_prompts_is_told_from_one_that_learns_them() -> None:
    deaf = network_of()
    stem = deaf.get_submodule("encoder.stages.0.0.convs.0.conv")
    nn.init.zeros_(stem.weight[:, 1:])  # type: ignore[index, arg-type]
    state = deaf.state_dict()
    for method, expected in (("affine", True), ("linear", True), ("lora", False), ("full", False)):
        network = tunable(method)
        network.load_state_dict(state)
        assert is_deaf(network) is expected, method
        assert not is_deaf(tunable(method))


def test_a_method_that_finds_nothing_is_refused() -> None:
    network = network_of()
    for module in network.modules():
        if isinstance(module, nn.InstanceNorm3d):
            module.weight = module.bias = None  # type: ignore[assignment]
    with pytest.raises(RefusedError, match=r"tuning affine: .* use another trainer"):
        make_tunable(network, Tuning("affine"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the tracer's own
@pytest.mark.parametrize("method", ["lora", "spatial"])
def test_torch_compile_traces_it_and_still_trains(method: Method) -> None:
    """Compiled before it is made tunable, as nnU-Net does; without code generation."""
    network, x = network_of(), patch()
    compiled: Any = torch.compile(network, backend="aot_eager")
    make_tunable(network, Tuning(method, rank=2))
    train_briefly(compiled, x)
    for a, b in zip(logits(compiled, x), logits(network, x), strict=True):
        torch.testing.assert_close(a, b)
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's own, of a group of one
@pytest.mark.parametrize("method", ["affine", "lora", "spatial"])
def test_ddp_takes_a_network_that_is_mostly_frozen(method: Method, tmp_path: Path) -> None:
    """As nnU-Net wraps it, without a search for unused parameters; a group of one."""
    from torch import distributed
    from torch.nn.parallel import DistributedDataParallel

    distributed.init_process_group(
        "gloo", f"file://{tmp_path / 'rendezvous'}", rank=0, world_size=1
    )
    try:
        network, alone = tunable(method), tunable(method)
        alone.load_state_dict(network.state_dict())
        with torch.no_grad():
            for own, other in zip(alone.parameters(), network.parameters(), strict=True):
                own.copy_(other)
        wrapped = DistributedDataParallel(network)
        for one in (wrapped, alone):
            train_briefly(one, patch())
        for own, other in zip(alone.parameters(), network.parameters(), strict=True):
            assert torch.equal(own, other)
    finally:
        distributed.destroy_process_group()
