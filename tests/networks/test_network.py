"""The promptable network: nnU-Net's own, with seven more inputs and a way to be asked without prompts."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import Tensor, nn

from nnunet_prompt.networks.network import make_promptable
from nnunet_prompt.networks.provenance import Origin, pack, provenance_of
from nnunet_prompt.networks.tensor_names import stock_names
from nnunet_prompt.prompts.channels import N_PROMPT_CHANNELS
from nnunet_prompt.training.trainer import PromptTrainer
from tests.helpers.each import each
from tests.helpers.models import hand_made_plans

PATCH = {"2d": (12, 12), "3d_fullres": (8, 12, 12)}


def built(configuration: str, *, deep: bool = False, trainer: type = PromptTrainer) -> nn.Module:
    manager = PlansManager(hand_made_plans())
    network: nn.Module = trainer.build_network_architecture(  # type: ignore[attr-defined]
        manager, manager.get_configuration(configuration), 2, 4, deep
    )
    return network.eval()


def noise(channels: int, configuration: str) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn((2, channels, *PATCH[configuration]), generator=generator)


@each("configuration", PATCH)
def test_tensor_names_are_those_of_the_stock_network_but_heads_and_only_the_stem_is_wider(
    configuration: str,
) -> None:
    saved = built(configuration).state_dict()
    ours = stock_names(saved)
    stock = built(configuration, trainer=nnUNetTrainer).state_dict()
    assert set(saved) - set(stock) == {"provenance"} | {
        f"heads.{i}.{kind}" for i in range(2) for kind in ("weight", "bias")
    }
    assert not any(".seg_layers." in name for name in saved)  # nnU-Net's loader would drop them
    assert set(ours) == set(stock)
    differ = {name for name in ours if ours[name].shape != stock[name].shape}
    assert differ and all(".stages.0.0.convs.0." in name for name in differ)
    for name in differ:
        wanted = list(stock[name].shape)
        wanted[1] = 2 + N_PROMPT_CHANNELS
        assert list(ours[name].shape) == wanted


@each("configuration", PATCH)
def test_images_alone_are_images_with_seven_silent_channels(configuration: str) -> None:
    network = built(configuration)
    image = noise(2, configuration)
    silent = torch.zeros((2, N_PROMPT_CHANNELS, *PATCH[configuration]))
    with torch.no_grad():
        alone = network(image)
        full = network(torch.cat([image, silent], 1))
    assert torch.equal(alone[:, 1:], full[:, 1:])
    assert (
        torch.count_nonzero(alone[:, 0]) == 0
    )  # nnU-Net's argmax: background unless a structure is above 0
    assert torch.count_nonzero(full[:, 0]) > 0  # the object head as it is


@each("configuration", PATCH)
def test_training_begins_where_plain_nnunet_begins(configuration: str) -> None:
    torch.manual_seed(0)
    network, stock = built(configuration), built(configuration, trainer=nnUNetTrainer)
    ours, theirs = (
        n.get_parameter("encoder.stages.0.0.convs.0.conv.weight") for n in (network, stock)
    )
    assert 0 < ours[:, 2:].std().item() < 0.5 * ours[:, :2].std().item()  # prompts do not drown it
    assert ours[:, :2].std().item() == pytest.approx(theirs.std().item(), rel=0.2)
    for layer in network.get_submodule("decoder.seg_layers").children():
        bias = layer.get_parameter("bias")
        assert torch.sigmoid(bias).tolist() == pytest.approx([0.05] * 4)


@each("configuration", PATCH)
def test_prompts_are_learnt_and_then_change_the_answer(configuration: str) -> None:
    network = built(configuration)
    image = noise(2 + N_PROMPT_CHANNELS, configuration)
    network(image).square().sum().backward()
    stem = network.get_parameter("encoder.stages.0.0.convs.0.conv.weight")
    assert stem.grad is not None and (stem.grad[:, 2:] != 0).any()
    with torch.no_grad():
        stem -= 0.1 * stem.grad
        assert not torch.equal(network(image)[:, 1:], network(image[:, :2])[:, 1:])


def test_deep_supervision_gives_every_scale_its_background() -> None:
    network = built("3d_fullres", deep=True)
    with torch.no_grad():
        outputs = network(noise(2, "3d_fullres"))
    assert [tuple(o.shape[2:]) for o in outputs] == [(8, 12, 12), (4, 6, 6)]
    assert all(torch.count_nonzero(o[:, 0]) == 0 for o in outputs)


def test_heads_are_loaded_under_either_name() -> None:
    first, second, third = (built("3d_fullres") for _ in range(3))
    saved = first.state_dict()
    before = dict(saved)
    second.load_state_dict(saved)
    third.load_state_dict(stock_names(saved))
    assert saved.keys() == before.keys()  # the caller's dict is left alone
    for name, value in saved.items():
        assert torch.equal(second.state_dict()[name], value)
        assert torch.equal(third.state_dict()[name], value)
    with pytest.raises(RuntimeError, match=r"seg_layers\.0\.bias"):
        third.load_state_dict({n: v for n, v in saved.items() if n != "heads.0.bias"})


@each("wrap", [nn.Sequential, lambda network: nn.ModuleDict({"n": network})])
def test_heads_keep_their_names_inside_another_module(wrap: Any) -> None:
    wrapped, other = wrap(built("2d")), wrap(built("2d"))
    saved = wrapped.state_dict()
    assert [n for n in saved if n.endswith("heads.0.weight")]
    other.load_state_dict(saved)
    assert all(
        torch.equal(a, b) for a, b in zip(saved.values(), other.state_dict().values(), strict=True)
    )


def test_the_licence_is_part_of_the_weights() -> None:
    network, other = built("2d"), built("2d")
    origin = Origin("c.pth", "nnunet", "CC BY 4.0")
    network.get_buffer("provenance").copy_(pack([origin]))
    other.load_state_dict(network.state_dict())
    assert provenance_of(other.state_dict()) == (origin,)
    assert provenance_of(copy.deepcopy(network).half().state_dict()) == (origin,)


def test_a_network_of_another_width_is_still_an_error() -> None:
    with pytest.raises(RuntimeError, match="channels"):
        built("3d_fullres")(noise(5, "3d_fullres"))


def test_it_stays_the_network_it_was() -> None:
    network = built("3d_fullres")
    stock = type(built("3d_fullres", trainer=nnUNetTrainer))
    assert isinstance(network, stock)
    assert type(network) is type(built("3d_fullres"))  # one class per base class
    copied = copy.deepcopy(network)
    image = noise(2, "3d_fullres")
    with torch.no_grad():
        assert torch.equal(copied(image), network(image))


def test_a_network_without_a_list_or_a_decoder_works_as_well() -> None:
    network = make_promptable(nn.Conv3d(1 + N_PROMPT_CHANNELS, 3, 1), 1)
    image = torch.ones(1, 1, 2, 3, 4)
    with torch.no_grad():
        output = network(image)
    assert output.shape == (1, 3, 2, 3, 4)
    assert torch.count_nonzero(output[:, 0]) == 0


def test_the_hooks_keep_the_signatures_of_nnunet() -> None:
    """nnU-Net calls the builder on the class, and reads the names of `__init__` into its checkpoints (trap 12)."""
    for name in ("build_network_architecture", "__init__"):
        ours, parents = (
            inspect.signature(getattr(cls, name)) for cls in (PromptTrainer, nnUNetTrainer)
        )
        assert list(ours.parameters) == list(parents.parameters)
        assert [p.default for p in ours.parameters.values()] == [
            p.default for p in parents.parameters.values()
        ]
        assert [p.kind for p in ours.parameters.values()] == [
            p.kind for p in parents.parameters.values()
        ]
    for name in ("train_step", "validation_step", "perform_actual_validation", "_build_loss"):
        ours, parents = (
            inspect.signature(getattr(cls, name)) for cls in (PromptTrainer, nnUNetTrainer)
        )
        assert list(ours.parameters) == list(parents.parameters)
    assert isinstance(
        inspect.getattr_static(PromptTrainer, "build_network_architecture"), staticmethod
    )
