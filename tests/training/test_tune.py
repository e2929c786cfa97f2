"""The tuning recipes inside nnU-Net: what they start from, what the optimiser sees, and how they go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
from torch import nn

from nnunet_prompt.common.errors import RefusedError
from nnunet_prompt.inference.model_folder import load_model
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.networks.adapter_file import read_adapter
from nnunet_prompt.networks.checkpoint import read_checkpoint
from nnunet_prompt.networks.lora import lora_state
from nnunet_prompt.networks.provenance import Points, pack
from nnunet_prompt.networks.tunable import Method, Tuning
from nnunet_prompt.training.trainer import PromptTrainer
from nnunet_prompt.training.tune import TuneTrainer
from nnunet_prompt.weights.merge import merge_adapter
from tests.helpers.each import each
from tests.helpers.models import make_trainer, write_model_folder
from tests.helpers.tiny_data import TinyData, train, trained
from tests.helpers.tunings import logits

METHODS: tuple[Method, ...] = ("affine", "bias", "lora", "decoder", "spatial", "linear", "full")


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkpoint to start from. nnU-Net's data loading is left out."""
    for name in ("nnUNet_results", "nnUNet_preprocessed"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("nnUNet_compile", "f")
    where = "nnunetv2.training.nnUNetTrainer.nnUNetTrainer.infer_dataset_class"
    monkeypatch.setattr(where, lambda folder: None)
    monkeypatch.setattr(PromptTrainer, "on_train_start", lambda self: None)
    folder = write_model_folder(tmp_path / "base")
    path = folder / "fold_0" / "checkpoint_final.pth"
    content = read_checkpoint(path)  # its network is untrained: let it see prompts
    for name, tensor in content["network_weights"].items():
        if name.startswith("encoder.stages.0.0.convs.0.conv.w"):
            nn.init.normal_(tensor, 0, 0.2)
    torch.save(content, path)
    return path


def started(method: Method, base: Path | None) -> Any:
    """A trainer at the first epoch, as `nnUNetv2_train -pretrained_weights` brings it there."""

    class Recipe(TuneTrainer):
        tuning = Tuning(method, rank=2, alpha=2.0)

    trainer = make_trainer(trainer=Recipe)
    if base is not None:
        trainer.initialize()
        load_pretrained_weights(trainer.network, str(base))
    trainer.on_train_start()
    return trainer


def batch() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(3)
    shapes = [(8, 12, 12), (4, 6, 6)]
    return {
        "data": torch.rand(2, 8, *shapes[0], generator=generator),
        "target": [
            torch.randint(0, 2, (2, 4, *shape), generator=generator, dtype=torch.int8)
            for shape in shapes
        ],
    }


def steps(trainer: Any, count: int = 2) -> None:
    np.random.seed(0)  # noqa: NPY002 - which decides about rounds of correction
    trainer.network.train()
    for _ in range(count):
        trainer.train_step(batch())


def outputs(network: nn.Module) -> torch.Tensor:
    return logits(network, batch()["data"])[0]


@each("method", METHODS)
def test_it_starts_from_the_base_and_keeps_what_is_frozen(method: Method, base: Path) -> None:
    trainer = started(method, base)
    given = read_checkpoint(base)["network_weights"]
    assert all(torch.equal(t, given[n]) for n, t in trainer.network.state_dict().items())
    seen = [p for group in trainer.optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in seen} == {id(p) for p in trainer.network.parameters() if p.requires_grad}
    steps(trainer)
    after = trainer.network.state_dict()  # of LoRA the frozen weights
    changed = {n for n in after if not torch.equal(after[n], given[n])}
    allowed = {
        "affine": ".norm.",
        "bias": ".bias",
        "decoder": "decoder.",
        "full": "",
    }
    aliases = ("all_modules.1.", "all_modules.0.bias")  # other names of norms and biases
    for name in changed:
        fits = method in allowed and allowed[method] in name
        assert name.startswith("heads.") or fits or any(a in name for a in aliases), name
    if method in ("lora", "spatial", "linear"):
        assert all(n.startswith("heads.") for n in changed)


@each("method", METHODS)
def test_its_checkpoint_is_a_whole_one(method: Method, base: Path, tmp_path: Path) -> None:
    trainer = started(method, base)
    steps(trainer)
    trainer.save_checkpoint(str(base))  # into the model folder of the base
    if method != "spatial":
        assert (
            read_checkpoint(base)["network_weights"].keys() == trainer.network.state_dict().keys()
        )
    loaded = load_model(base.parent.parent, PredictOptions(device="cpu")).network
    with torch.no_grad():
        torch.testing.assert_close(
            loaded(batch()["data"]), outputs(trainer.network), atol=1e-5, rtol=0
        )


@each("method", ["affine", "lora", "spatial"])
def test_it_goes_on_exactly(method: Method, base: Path, tmp_path: Path) -> None:
    trainer = started(method, base)
    steps(trainer)
    path = str(tmp_path / "checkpoint_latest.pth")
    trainer.save_checkpoint(path)
    again = make_trainer(trainer=type(trainer))
    again.load_checkpoint(path)  # as --c and --val do it
    again.on_train_start()
    assert again.base_sha256 == trainer.base_sha256
    for one in (trainer, again):
        steps(one)
    assert torch.equal(outputs(again.network), outputs(trainer.network))
    given = read_checkpoint(base)["network_weights"]
    for name, tensors in lora_state(again.network).items():
        assert torch.equal(tensors["weight"], given[f"{name}.weight"])


@each("method", ["affine", "lora", "spatial"])
def test_the_adapter_and_the_base_make_the_checkpoint(
    method: Method, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = started(method, base)
    steps(trainer)
    monkeypatch.setattr(PromptTrainer, "on_train_end", lambda self: None)
    final, merged = tmp_path / "final.pth", tmp_path / "merged.pth"
    trainer.save_checkpoint(str(final))
    trainer.on_train_end()
    (adapter,) = (tmp_path / "nnUNet_results").rglob("adapter.pth")
    assert read_adapter(adapter).about["trainer_name"] == "Recipe"
    merge_adapter(base, adapter, merged)
    own, ours = (read_checkpoint(p)["network_weights"] for p in (final, merged))
    assert own.keys() == ours.keys()
    assert all(torch.equal(own[n], ours[n]) for n in own)
    # without checkpoints, and of a training of everything, there is none
    adapter.unlink()
    trainer.disable_checkpointing = True
    trainer.on_train_end()
    started("full", base).on_train_end()
    assert not list((tmp_path / "nnUNet_results").rglob("adapter.pth"))


def test_its_points_are_those_of_the_base(base: Path) -> None:
    balls = Points("ball", 3.0, "voxel")
    content = read_checkpoint(base)
    content["network_weights"]["provenance"] = pack((), balls)
    torch.save(content, base)
    trainer = started("affine", base)
    capability = trainer.capability
    assert capability.point_shape == "ball" and capability.point_radius == 3.0
    assert trainer.targets().style.radii == (3.0, 3.0, 3.0)


def test_without_pretrained_weights_it_refuses_in_one_line(base: Path) -> None:
    with pytest.raises(RefusedError) as caught:
        started("lora", None)
    message = str(caught.value)
    assert message.startswith("Recipe: ") and "-pretrained_weights" in message
    assert "\n" not in message and caught.value.code == message


def test_a_checkpoint_of_another_recipe_is_refused(base: Path) -> None:
    trainer = started("affine", base)
    with pytest.raises(RefusedError, match="not written by a tuning trainer"):
        trainer.optimizer.load_state_dict({"state": {}, "param_groups": []})


def test_a_base_that_ignores_prompts_is_warned_of(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = read_checkpoint(base)
    for tensor in content["network_weights"].values():
        if tensor.ndim == 5 and tensor.shape[1] == 8 and tensor.shape[0] == 4:
            tensor[:, 1:] = 0
    torch.save(content, base)
    started("lora", base)
    out = capsys.readouterr().out
    assert "tuning lora: " in out and "ignores prompts" not in out
    started("affine", base)
    assert "ignores prompts" in capsys.readouterr().out


# Whole trainings through nnU-Net's own `run_training`, on the tiny data set ------------------------------------------


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[TinyData, Path]:
    """The tiny data set, and the checkpoint of a demo training on it."""
    data, model = trained(tmp_path_factory, "3d_fullres")
    return data, model / "fold_0" / "checkpoint_final.pth"


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["LoRA", "SpatialAdapter"])
def test_a_training_tunes_goes_on_and_validates(demo: tuple[TinyData, Path], recipe: str) -> None:
    tiny, start = demo
    trainer = f"nnUNetTrainerPrompt{recipe}"
    folder = tiny.model(trainer, "3d_fullres") / "fold_0"
    options: dict[str, Any] = {"trainer": trainer}
    train(tiny, "3d_fullres", iterations=2, pretrained_weights=str(start), **options)
    first = read_adapter(folder / "adapter.pth")
    train(tiny, "3d_fullres", iterations=75, continue_training=True, **options)
    second = read_adapter(folder / "adapter.pth")
    assert second.base_sha256 == first.base_sha256
    assert any(not torch.equal(first.tensors[n], t) for n, t in second.tensors.items())
    summary = (folder / "validation" / "summary.json").read_text()
    train(tiny, "3d_fullres", iterations=75, only_run_validation=True, **options)
    assert (folder / "validation" / "summary.json").read_text() == summary
    load_model(folder.parent, PredictOptions(device="cpu"))


@pytest.mark.slow
def test_a_training_without_a_start_is_refused(demo: tuple[TinyData, Path]) -> None:
    with pytest.raises(RefusedError, match="-pretrained_weights"):
        train(demo[0], "3d_fullres", iterations=2, trainer="nnUNetTrainerPromptBias")
