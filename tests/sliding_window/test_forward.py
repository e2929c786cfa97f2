"""Folds, flips and compilation, with networks whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nnunet_prompt.inference.model_folder import LoadedModel, load_model
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.sliding_window import forward
from nnunet_prompt.sliding_window.forward import mean_logits
from tests.helpers.each import each
from tests.helpers.models import write_model_folder
from tests.helpers.predictors import Answers, predictor

ON_CPU = PredictOptions(device="cpu")


class Ramp(nn.Module):
    """The object grows along the last axis, whatever is shown; the structure is the image."""

    def __init__(self, height: float) -> None:
        super().__init__()
        self.height = height

    def forward(self, x: Tensor) -> Tensor:
        ramp = self.height * torch.arange(x.shape[-1], dtype=torch.float32).expand_as(x[:, :1])
        return torch.cat([ramp, x[:, :1]], 1)


def test_folds_are_averaged() -> None:
    batch = torch.randn(2, 8, 1, 2, 3)
    logits = mean_logits([Ramp(1.0), Ramp(4.0)], batch)
    assert logits.shape == (2, 2, 1, 2, 3)
    assert logits[1, 0, 0, 1].tolist() == [0.0, 2.5, 5.0]
    assert torch.equal(logits[:, 1], batch[:, 0])
    assert mean_logits([Ramp(1.0)], batch, heads=1).shape == (2, 1, 1, 2, 3)


def test_flips_are_averaged_and_flipped_back() -> None:
    batch = torch.randn(1, 8, 1, 2, 3)
    logits = mean_logits([Ramp(1.0)], batch, mirror_axes=(1, 2))
    assert logits[0, 0, 0, 0].tolist() == [1.0, 1.0, 1.0]
    assert torch.allclose(logits[:, 1], batch[:, 0])


def networks(model: LoadedModel) -> tuple[nn.Module, ...]:
    return forward.networks(model.network, model.weights, model.device)


class TestNetworks:
    def test_one_for_each_fold_in_the_memory_of_its_weights(self, tmp_path: Path) -> None:
        model = load_model(write_model_folder(tmp_path / "m", folds=(0, 1)), ON_CPU)
        found = networks(model)
        assert len(found) == 2
        for network, weights in zip(found, model.weights, strict=True):
            assert not network.training
            loaded = network.state_dict()
            assert set(loaded) == set(weights)
            assert all(torch.equal(loaded[k], v) for k, v in weights.items())
            name = "heads.0.weight"
            assert loaded[name].data_ptr() == weights[name].data_ptr()

    def test_half_precision_weights_are_made_whole(self) -> None:
        weights = tuple({"bias": torch.tensor(b, dtype=torch.float16)} for b in (-2.0, 1.0))
        model = replace(predictor(Answers()).model, weights=weights)
        assert [n.state_dict()["bias"].item() for n in networks(model)] == [-2.0, 1.0]
        assert {p.dtype for n in networks(model) for p in n.parameters()} == {torch.float32}

    def test_a_single_one_is_the_models_own(self) -> None:
        model = predictor().model
        assert networks(model) == (model.network,)

    @each(("value", "wanted"), [("True", True), ("t", True), ("0", False)])
    def test_compilation_is_asked_for_as_of_nnunet(
        self, monkeypatch: pytest.MonkeyPatch, value: str, wanted: bool
    ) -> None:
        asked: list[Any] = []

        def compiled(network: nn.Module) -> nn.Module:
            asked.append(network)
            return network

        model = predictor().model
        monkeypatch.setattr(forward.torch, "compile", compiled)  # type: ignore[attr-defined]
        networks(model)
        assert asked == []
        monkeypatch.setenv("nnUNet_compile", value)
        networks(model)
        assert asked == ([model.network] if wanted else [])


@each(
    "layer",
    [
        nn.Conv3d(2, 3, (1, 3, 3), stride=(1, 2, 1), padding=(0, 1, 1)),
        nn.Conv3d(2, 4, 3, padding="same", groups=2),
        nn.Conv3d(2, 3, 1, bias=False),
        nn.Conv3d(2, 3, 3, padding=1),
        nn.Conv3d(2, 3, (3, 1, 3), padding=(0, 0, 1)),
        nn.Conv3d(2, 3, 3, padding=(2, 1, 1), dilation=(2, 1, 1)),
    ],
)
@each("voxels", [forward.IN_PARTS, 72, 200])
def test_onednn_computes_the_same(layer: nn.Module, voxels: int, monkeypatch: Any) -> None:
    """Also of a view, without a bias, with a padding that is left to torch, and some slices at a time."""
    monkeypatch.setattr(forward, "IN_PARTS", voxels)
    image = torch.randn(1, 2, 4, 9, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = layer(image)
        with forward.OneDNN():
            found, transposed = layer(image), layer(image.transpose(3, 4).contiguous().mT)
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.allclose(transposed, expected, atol=1e-5)


def test_sixteen_bits_only_where_asked_for() -> None:
    torch.manual_seed(0)
    first, middle, last = (nn.Conv3d(8, 8, 3, padding=1) for _ in range(3))
    image = torch.randn(1, 8, 4, 9, 8)
    three = nn.Sequential(first, nn.ReLU(), middle, nn.ReLU(), last)
    with torch.inference_mode():
        exact, rough = mean_logits([three], image), mean_logits([three], image, bfloat16=True)
        expected = three(image)
        ends = mean_logits([nn.Sequential(first, last)], image, bfloat16=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            all_rough = three(image).float()
    assert exact.dtype == rough.dtype == ends.dtype == torch.float32
    assert torch.allclose(exact, expected, atol=1e-5)
    # the first and the last convolution keep their 32 bits
    assert torch.allclose(ends, last(first(image)), atol=1e-5)
    errors = [float((found - expected).square().mean()) for found in (rough, all_rough)]
    assert 0 < errors[0] < 0.7 * errors[1] and errors[1] < 1e-2
