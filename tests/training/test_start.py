"""A fresh network begins where plain nnU-Net begins (trap 11: every alias of the stem, no repeat-and-divide)."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from torch import nn

from nnunet_prompt.networks.network import PRIOR, PROMPT_SCALE
from nnunet_prompt.networks.tensor_names import stock_names
from nnunet_prompt.training.trainer import PromptTrainer
from tests.helpers.each import each

COMMON = {
    "n_stages": 2,
    "features_per_stage": [5, 6],
    "conv_op": "torch.nn.modules.conv.Conv3d",
    "kernel_sizes": [[3, 3, 3], [3, 3, 3]],
    "strides": [[1, 1, 1], [1, 2, 2]],
    "n_conv_per_stage_decoder": [1],
    "conv_bias": True,
    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
    "norm_op_kwargs": {"eps": 1e-05, "affine": True},
    "dropout_op": None,
    "dropout_op_kwargs": None,
    "nonlin": "torch.nn.LeakyReLU",
    "nonlin_kwargs": {"inplace": True},
}
ARCHITECTURES = {
    "PlainConvUNet": {**COMMON, "n_conv_per_stage": [1, 1]},
    "ResidualEncoderUNet": {**COMMON, "n_blocks_per_stage": [1, 1]},
}
# a residual encoder stores its stem four times, and each name must tell the same
STEM_NAMES = {"PlainConvUNet": 4, "ResidualEncoderUNet": 4}


def configuration(name: str) -> Any:
    return configuration_of(name, ARCHITECTURES[name])


def configuration_of(name: str, kwargs: dict[str, Any]) -> Any:
    described = {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{name}",
        "arch_kwargs": kwargs,
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
    return ConfigurationManager({"architecture": described})


def build(name: str, channels: int) -> nn.Module:
    torch.manual_seed(0)
    network = PromptTrainer.build_network_architecture(
        None, configuration(name), channels, 3, False
    )
    return network.eval()


@each("name", list(ARCHITECTURES))
def test_prompts_are_heard_from_the_start(name: str) -> None:
    network = build(name, 1)
    silent = torch.zeros(1, 8, 4, 8, 8)
    silent[:, :1] = torch.randn(1, 1, 4, 8, 8)
    for channel in range(1, 8):
        loud = silent.clone()
        loud[:, channel, 1:3, 2:6, 2:6] = 1.0
        with torch.no_grad():
            assert not torch.equal(network(silent), network(loud))


@each("name", list(ARCHITECTURES))
def test_every_alias_of_the_stem_tells_the_same(name: str) -> None:
    weights = build(name, 1).state_dict()
    stems = [v for v in weights.values() if v.ndim == 5 and v.shape[1] == 8]
    assert len(stems) == STEM_NAMES[name]
    for weight in stems:
        assert torch.equal(weight, stems[0])


@each("name", list(ARCHITECTURES))
def test_images_alone_give_what_the_stock_network_gives_with_the_same_weights(name: str) -> None:
    network = build(name, 2)
    stock = nnUNetTrainer.build_network_architecture(None, configuration(name), 2, 3, False).eval()
    narrow = {
        k: v[:, :2] if v.ndim == 5 and v.shape[1] == 9 else v
        for k, v in stock_names(network.state_dict()).items()
    }
    stock.load_state_dict(narrow)
    image = torch.randn(1, 2, 4, 8, 8)
    with torch.no_grad():
        full = network(torch.cat([image, torch.zeros(1, 7, 4, 8, 8)], 1))
        torch.testing.assert_close(full, stock(image), atol=1e-6, rtol=0)


@each("channels", [1, 3])
def test_the_scales_of_the_stem(channels: int) -> None:
    """Kaiming's variance is 2 / ((1 + slope^2) fan-in): eight inputs must not make the image's share smaller."""
    name = "PlainConvUNet"
    wide = {**ARCHITECTURES[name], "features_per_stage": [256, 6]}
    torch.manual_seed(0)
    stem = PromptTrainer.build_network_architecture(
        None,
        configuration_of(name, wide),
        channels,
        3,
        False,
    ).state_dict()["encoder.stages.0.0.convs.0.conv.weight"]
    images = math.sqrt(2 / (1 + 1e-2**2) / (27 * channels))
    prompts = PROMPT_SCALE * math.sqrt(2 / (1 + 1e-2**2) / (27 * (channels + 7)))
    assert stem[:, :channels].std().item() == pytest.approx(images, rel=0.05)
    assert stem[:, channels:].std().item() == pytest.approx(prompts, rel=0.05)


def test_every_head_starts_at_the_prior() -> None:
    heads = build("PlainConvUNet", 1).decoder.seg_layers
    for head in heads:
        torch.testing.assert_close(torch.sigmoid(head.bias), torch.full((3,), PRIOR))


def test_a_stock_checkpoint_is_not_taken_for_one_of_ours(tmp_path: Any) -> None:
    """nnU-Net's own loader must refuse the narrow stem rather than load the rest in silence."""
    from nnunetv2.run.load_pretrained_weights import load_pretrained_weights

    stock = nnUNetTrainer.build_network_architecture(
        None, configuration("PlainConvUNet"), 1, 3, False
    )
    path = tmp_path / "stock.pth"
    torch.save({"network_weights": stock.state_dict()}, path)
    with pytest.raises(AssertionError, match="shape"):
        load_pretrained_weights(build("PlainConvUNet", 1), str(path))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the tracer's own
def test_torch_compile_traces_both_ways_of_asking() -> None:
    """Without code generation, so that no compiler is needed."""
    network = build("PlainConvUNet", 1)
    compiled = torch.compile(network, backend="aot_eager")
    x = torch.randn(2, 8, 4, 8, 8)
    compiled(x).sum().backward()
    with torch.no_grad():
        for given in (x, x[:, :1]):
            torch.testing.assert_close(compiled(given), network(given))
