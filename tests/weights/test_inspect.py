"""`weights inspect` shows a checkpoint without running it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.networks.adapter_file import ABOUT, Adapter, write_adapter
from nnunet_prompt.networks.provenance import Origin
from nnunet_prompt.networks.tunable import Tuning
from nnunet_prompt.weights.inspect import describe, print_checkpoint, tensor_rows
from tests.helpers.each import each
from tests.networks.test_checkpoint import Runs
from tests.weights.sources import (
    checkpoint_in,
    edit,
    multitalent_model,
    nninteractive_model,
    nnssl_checkpoint,
    nnunet_folders,
)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nnunet_folders(tmp_path, monkeypatch)


def test_the_facts_of_a_model(tmp_path: Path) -> None:
    facts = describe(nninteractive_model(tmp_path / "m"))
    expected = {
        "trainer": "nnInteractiveTrainer_stub",
        "family": "nninteractive",
        "plans": "theirPlans",
        "configuration": "3d_fullres_ps192_bs24",
        "architecture": "ResidualEncoderUNet",
        "features": [4, 8, 12],
        "blocks": [1, 1, 1],
        "patch size": [8, 12, 12],
        "normalisation": ["ZScoreNormalization"],
        "image channels": "image",
        "prompt channels": 7,
        "outputs": 2,
        "heads": "object",
        "licence": "CC BY-NC-SA 4.0",
    }
    assert {key: facts[key] for key in expected} == expected


def test_tensors_are_shown_once(tmp_path: Path) -> None:
    path = checkpoint_in(nninteractive_model(tmp_path / "m"))
    rows = tensor_rows(path)
    assert rows[0] == (
        "encoder.stem.convs.0.conv.weight (+3 names)",
        "4 x 8 x 3 x 3 x 3",
        "float32",
    )
    weights = torch.load(path, weights_only=True)["network_weights"]
    assert len(rows) == len({v.data_ptr() for v in weights.values()})


@each("tensors", [True, False])
def test_it_is_printed(tmp_path: Path, tensors: bool) -> None:
    output = io.StringIO()
    path = nnssl_checkpoint(tmp_path / "c.pth")
    print_checkpoint(path, Console(file=output, width=160), tensors=tensors)
    text = output.getvalue()
    assert "nnssl" in text and "CC BY 4.0" in text
    assert ("encoder.stem.convs.0.conv.weight" in text) == tensors


def test_a_model_with_several_stems_is_described(tmp_path: Path) -> None:
    facts = describe(multitalent_model(tmp_path / "m"))
    assert facts["family"] == "multitalent" and "no structure names" in facts["note"]


def test_a_network_that_cannot_be_adapted_is_still_shown(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    torch.save({"network_weights": {"swin.a": torch.zeros(2)}, "trainer_name": "T"}, path)
    facts = describe(path)
    assert facts["trainer"] == "T" and "has no plans" in facts["cannot be adapted"]
    assert tensor_rows(path) == [("swin.a", "2", "float32")]


def test_an_adapter_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "adapter.pth"
    about = {**dict.fromkeys(ABOUT), "trainer_name": "T"}
    origins = (Origin("c.pth", "nnunet", "CC BY 4.0"),)
    tensors = {"a.lora_down": torch.zeros(2, 3), "b": torch.zeros(4)}
    write_adapter(path, Adapter(Tuning("lora", 2, 3.0), "ab" * 32, tensors, about, origins))
    assert describe(path) == {
        "file": str(path),
        "trainer": "T",
        "kind": "adapter: what a tuning changed, no whole model (`nnunet-prompt weights merge`)",
        "method": "lora, rank 2, alpha 3",
        "base": f"weights with the hash {'ab' * 32}",
        "licence": "CC BY 4.0",
        "parameters": "10 in 2 tensors",
    }
    write_adapter(path, Adapter(Tuning("bias"), "ab" * 32, tensors, about))
    facts = describe(path)
    assert facts["method"] == "bias" and facts["licence"] == "none stated"
    edit(path, lambda content: content["adapter"].update(version=9))
    assert "an adapter of version 9" in describe(path)["cannot be adapted"]


def test_a_crafted_file_does_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    path = checkpoint_in(nninteractive_model(tmp_path / "m"))
    edit(path, lambda content: content.update(surprise=Runs(marker)))
    marker.unlink(missing_ok=True)
    with pytest.raises(ModelError, match="refused"):
        describe(path)
    assert not marker.exists()
    torch.load(path, weights_only=False)
    assert marker.exists()
