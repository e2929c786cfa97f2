"""Trainers with experts inside nnU-Net: what they start from, what they save, and that others run or refuse it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.networks.checkpoint import read_checkpoint
from nnunet_prompt.networks.experts import ExpertOptions, expert_options, is_of_experts
from nnunet_prompt.training.experts import ExpertsTrainer
from nnunet_prompt.weights.export import Format, export_model
from nnunet_prompt.weights.inspect import describe
from tests.helpers.each import each
from tests.helpers.experts import give_experts, open_heads
from tests.helpers.models import make_trainer, write_model_folder
from tests.helpers.tiny_data import TinyData, affine, tiny_case, tiny_data, train
from tests.helpers.tunings import logits

pytestmark = pytest.mark.slow


@pytest.fixture
def started(without_cases: Path) -> tuple[Any, Path]:
    """A trainer at the first epoch, from pretrained weights, and their file."""
    base = write_model_folder(without_cases / "base") / "fold_0" / "checkpoint_final.pth"
    trainer = make_trainer(trainer=ExpertsTrainer)
    trainer.initialize()
    load_pretrained_weights(trainer.network, str(base))
    trainer.on_train_start()
    return trainer, base


def test_it_starts_at_pretrained_weights_and_trains_all(started: tuple[Any, Path]) -> None:
    trainer, base = started
    plain = make_trainer()
    plain.initialize()
    load_pretrained_weights(plain.network, str(base))
    heads = {n: t for n, t in trainer.network.state_dict().items() if n.startswith("heads.")}
    plain.network.load_state_dict({**plain.network.state_dict(), **heads})
    x = torch.rand(1, 8, 8, 12, 12)
    assert torch.equal(logits(trainer.network, x)[0], logits(plain.network, x)[0])
    trained = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    assert {id(p) for p in trainer.network.parameters()} == trained


def test_its_checkpoint_holds_the_experts_and_resumes(
    started: tuple[Any, Path], tmp_path: Path
) -> None:
    trainer, _ = started
    with torch.no_grad():
        for name, parameter in trainer.network.named_parameters():
            if is_of_experts(name):
                parameter.normal_()
    path = tmp_path / "checkpoint_latest.pth"
    trainer.save_checkpoint(str(path))
    assert expert_options(read_checkpoint(path)["network_weights"]) == ExpertOptions(4, 4)
    other = make_trainer(trainer=ExpertsTrainer)
    other.load_checkpoint(str(path))
    x = torch.rand(2, 8, 8, 12, 12)
    assert torch.equal(logits(other.network, x)[0], logits(trainer.network, x)[0])


def predicted(model: Path) -> Any:
    predictor = PromptPredictor.from_folder(model, PredictOptions(device="cpu"))
    image = (tiny_case(0)[0].T, affine()[:, [2, 1, 0, 3]])
    return predictor.predict_structures(image)


def test_a_model_with_experts_predicts_and_they_matter(tmp_path: Path) -> None:
    model = open_heads(write_model_folder(tmp_path / "m"))
    plain = predicted(model)
    give_experts(model)
    assert plain.any() and not np.array_equal(predicted(model), plain)


def test_inspect_shows_them(tmp_path: Path) -> None:
    path = give_experts(write_model_folder(tmp_path / "m"))
    facts = describe(path)
    assert facts["experts"].startswith("3 of rank 2 on each convolution")
    assert "cannot be adapted" not in facts
    assert "experts" not in describe(write_model_folder(tmp_path / "plain"))


@each("form", ["nnunet", "nninteractive", "onnx"])
def test_they_cannot_be_merged_and_the_export_is_refused(form: Format, tmp_path: Path) -> None:
    model = write_model_folder(tmp_path / "m")
    give_experts(model)
    with pytest.raises(ModelError, match=r"has experts, whose weights depend on the image") as told:
        export_model(model, tmp_path / "out", form)
    assert "\n" not in str(told.value) and not (tmp_path / "out").exists()


def test_safetensors_keep_them(tmp_path: Path) -> None:
    model = open_heads(write_model_folder(tmp_path / "m"))
    give_experts(model)
    export_model(model, tmp_path / "open", "safetensors")
    assert np.array_equal(predicted(tmp_path / "open"), predicted(model))


@pytest.mark.slow
def test_it_is_trained_by_nnunet_and_predicts(tmp_path_factory: pytest.TempPathFactory) -> None:
    data: TinyData = tiny_data(tmp_path_factory)
    name = "nnUNetTrainerPromptCPUExperts"
    train(data, "3d_fullres", trainer=name, iterations=30)
    model = data.model(name, "3d_fullres")
    weights = read_checkpoint(model / "fold_0" / "checkpoint_final.pth")["network_weights"]
    ups = [t for n, t in weights.items() if n.endswith(".experts.up")]
    assert ups and all(bool(t.abs().flatten(1).amax(1).gt(0).all()) for t in ups)
    assert predicted(model).any()
    assert (model / "fold_0" / "validation" / "summary.json").is_file()
