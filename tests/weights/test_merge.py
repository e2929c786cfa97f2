"""An adapter file and its base make the tuned model again; what does not belong together is refused in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nnunet_prompt.cli.main import main
from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.inference.model_folder import load_model
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.networks.adapter_file import (
    ABOUT,
    Adapter,
    base_sha256,
    read_adapter,
    write_adapter,
)
from nnunet_prompt.networks.checkpoint import read_checkpoint
from nnunet_prompt.networks.provenance import Origin, pack
from nnunet_prompt.networks.tunable import Method, Tuning, make_tunable, tuned_tensors
from nnunet_prompt.weights.merge import merge_adapter
from tests.helpers.each import each
from tests.helpers.models import write_model_folder
from tests.helpers.tunings import logits, network_of, train_briefly

METHODS: tuple[Method, ...] = ("affine", "bias", "lora", "decoder", "spatial", "linear")
ORIGIN = Origin("Example", "nnInteractive", "CC BY-NC-SA 4.0", "ab" * 32)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model folder, whose checkpoint is the base; it was itself made from weights with a licence."""
    folder = write_model_folder(tmp_path / "model")
    path = checkpoint_of(folder)
    content = read_checkpoint(path)
    content["network_weights"]["provenance"] = pack([ORIGIN])
    torch.save(content, path)
    return folder


def checkpoint_of(folder: Path) -> Path:
    return folder / "fold_0" / "checkpoint_final.pth"


def tune(model: Path, method: Method, path: Path) -> nn.Module:
    """What a training does, in three steps: the tuned network; its adapter is written to `path`."""
    network = load_model(model, PredictOptions(device="cpu")).network
    network.decoder.deep_supervision = True  # type: ignore[union-attr]
    base = base_sha256(network)
    tuning = Tuning(method, rank=2, alpha=3.0)
    make_tunable(network, tuning)
    assert base_sha256(network) == base
    train_briefly(network, torch.rand(2, 8, 8, 12, 12))
    content = read_checkpoint(checkpoint_of(model))
    about = {key: content[key] for key in ABOUT}
    write_adapter(path, Adapter(tuning, base, tuned_tensors(network), about, (ORIGIN,)))
    return network


@each("method", METHODS)
def test_the_merged_model_is_the_tuned_one(method: Method, model: Path, tmp_path: Path) -> None:
    adapter, output, x = tmp_path / "adapter.pth", tmp_path / "out.pth", torch.rand(1, 8, 8, 12, 12)
    tuned = tune(model, method, adapter)
    base = read_checkpoint(checkpoint_of(model))
    merged = merge_adapter(checkpoint_of(model), adapter, output)
    assert (merged.method, merged.plain) == (method, method != "spatial")
    assert merged.origins == (ORIGIN,)
    output.replace(checkpoint_of(model))  # it is a checkpoint for a model folder
    content = read_checkpoint(checkpoint_of(model))
    assert torch.equal(content["network_weights"]["provenance"], pack([ORIGIN]))
    if merged.plain:
        assert content["network_weights"].keys() == base["network_weights"].keys()
    loaded = load_model(model, PredictOptions(device="cpu")).network
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), logits(tuned, x)[0], atol=1e-5, rtol=0)


def test_an_adapter_is_small_and_comes_back_as_it_was(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "adapter.pth"
    tuned = tuned_tensors(tune(model, "lora", path))
    assert path.stat().st_size < checkpoint_of(model).stat().st_size / 1.5  # a network of 12 kB
    adapter = read_adapter(path)
    assert adapter.tuning == Tuning("lora", 2, 3.0)
    assert adapter.origins == (ORIGIN,)
    assert adapter.about["init_args"]["configuration"] == "3d_fullres"
    assert len(adapter.tensors) == len(tuned)
    assert {n.rsplit(".", 1)[1] for n in adapter.tensors} == {
        "lora_up",
        "lora_down",
        "weight",
        "bias",
    }
    assert {n.split(".")[0] for n in adapter.tensors} == {"encoder", "decoder", "heads"}


def test_the_hash_is_of_the_trunk_and_not_of_files_or_heads() -> None:
    base = base_sha256(network_of())
    assert len(base) == 64 and base == base_sha256(network_of())
    other = network_of()
    nn.init.ones_(other.get_submodule("decoder.seg_layers.0").weight)  # type: ignore[arg-type]
    other.get_buffer("provenance").fill_(1)
    assert base_sha256(other) == base
    nn.init.ones_(other.get_submodule("encoder.stages.0.0.convs.0.norm").bias)  # type: ignore[arg-type]
    assert base_sha256(other) != base


def refusal(base: Path, adapter: Path) -> str:
    output = adapter.with_name("never.pth")
    with pytest.raises(ModelError) as caught:
        merge_adapter(base, adapter, output)
    message = str(caught.value)
    assert "\n" not in message and not output.exists()
    return message


class TestRefusals:
    def test_another_base(self, model: Path, tmp_path: Path) -> None:
        adapter = tmp_path / "adapter.pth"
        tune(model, "linear", adapter)
        content = read_checkpoint(checkpoint_of(model))
        content["network_weights"]["encoder.stages.0.0.convs.0.norm.bias"][0] += 1e-3
        torch.save(content, tmp_path / "other.pth")
        message = refusal(tmp_path / "other.pth", adapter)
        assert read_adapter(adapter).base_sha256[:12] in message and "other.pth" in message

    def test_another_network(self, model: Path, tmp_path: Path) -> None:
        adapter = tmp_path / "adapter.pth"
        tune(model, "linear", adapter)
        content = read_checkpoint(checkpoint_of(model))
        del content["network_weights"]["encoder.stages.0.0.convs.0.norm.bias"]
        torch.save(content, tmp_path / "other.pth")
        assert "does not fit" in refusal(tmp_path / "other.pth", adapter)

    def test_plans_that_name_what_is_no_network(self, model: Path, tmp_path: Path) -> None:
        """nnU-Net imports what plans name and calls it; an adapter brings its own."""
        adapter, marker = tmp_path / "adapter.pth", tmp_path / "marker"
        tune(model, "linear", adapter)
        content = read_checkpoint(adapter)
        plans = content["init_args"]["plans"]
        kwargs = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
        kwargs["nonlin"], kwargs["nonlin_kwargs"] = "os.system", {"command": f"touch '{marker}'"}
        torch.save(content, adapter)
        message = refusal(checkpoint_of(model), adapter)
        assert message.startswith(f"{adapter}: ") and "refused" in message
        assert "'os.system'" in message and not marker.exists()

    def test_a_checkpoint_in_place_of_an_adapter(self, model: Path) -> None:
        message = refusal(checkpoint_of(model), checkpoint_of(model))
        assert "not an adapter" in message and "adapter.pth" in message

    def test_a_missing_file(self, model: Path, tmp_path: Path) -> None:
        assert "not found" in refusal(checkpoint_of(model), tmp_path / "none.pth")

    @each(
        ("key", "value", "expected"),
        [
            ("version", 2, "version 2"),
            ("rank", None, "not a complete adapter"),
            ("rank", 1, "expected"),  # another shape than its tensors have
            ("method", "affine", "the network has none"),
        ],
    )
    def test_a_wrong_head(
        self, model: Path, tmp_path: Path, key: str, value: Any, expected: str
    ) -> None:
        adapter = tmp_path / "adapter.pth"
        tune(model, "lora", adapter)
        content = read_checkpoint(adapter)
        content["adapter"][key] = value
        torch.save(content, adapter)
        assert expected in refusal(checkpoint_of(model), adapter)

    def test_plans_that_cannot_be_built(self, model: Path, tmp_path: Path) -> None:
        path = tmp_path / "adapter.pth"
        tune(model, "linear", path)
        adapter = read_adapter(path)
        about = {**adapter.about, "init_args": {**adapter.about["init_args"], "plans": {}}}
        write_adapter(path, replace(adapter, about=about, tensors={}))
        assert "plans" in refusal(checkpoint_of(model), path)


def test_the_command_says_the_licence_and_what_cannot_be_folded(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for method, told in (("lora", False), ("spatial", True)):
        adapter, output = tmp_path / f"{method}.pth", tmp_path / f"{method}-merged.pth"
        tune(model, method, adapter)
        command = ["weights", "merge", str(checkpoint_of(model)), str(adapter), "-o", str(output)]
        capsys.readouterr()
        assert main(command) == 0
        printed = capsys.readouterr().out
        assert "CC BY-NC-SA 4.0" in printed and f"wrote {output}" in printed
        assert ("cannot be folded" in printed) is told
        assert output.is_file()
