"""What our trainers refuse in one line, also when stock nnUNetv2_train runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunet_prompt.common.errors import RefusedError
from nnunet_prompt.training.plain import PlainTrainer
from nnunet_prompt.training.trainer import PromptTrainer
from tests.helpers.each import each
from tests.helpers.models import PLANS, hand_made_dataset_json, make_trainer
from tests.helpers.planned import write_planned


@pytest.fixture(params=[PromptTrainer, PlainTrainer])
def recipe(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("nnUNet_compile", "f")
    write_planned(tmp_path)
    return request.param


def refusal(function: Any, *what: Any, **how: Any) -> str:
    with pytest.raises(RefusedError) as caught:
        function(*what, **how)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_configuration_that_is_not_there(recipe: Any, tmp_path: Path) -> None:
    message = refusal(make_trainer, trainer=recipe, configuration="3d_fulres")
    assert message == (f"configuration 3d_fulres: not in plans {PLANS}; did you mean 3d_fullres?")
    assert not list((tmp_path / "results").iterdir())  # before anything is written


def test_on_a_cpu_as_many_threads_as_the_user_says(
    recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)  # as nnUNetv2_train does, with all processors
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    try:
        make_trainer(trainer=recipe)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_device_that_is_not_there(recipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    trainer = make_trainer(trainer=recipe)
    kept = {**trainer.my_init_kwargs, "device": torch.device("cuda")}
    kept["plans"] = {**kept["plans"], "continue_training": False}
    assert "device cuda: this machine has no GPU" in refusal(recipe, **kept)


def test_labels_that_nnunet_asserts(tmp_path: Path) -> None:
    write_planned(tmp_path)
    described = hand_made_dataset_json()
    described["labels"]["ignore"] = 9
    assert "must be the highest number, 4" in refusal(make_trainer, dataset_json=described)


def test_data_that_are_not_preprocessed(recipe: Any) -> None:
    trainer = make_trainer(trainer=recipe, configuration="2d")
    expected = f"run `nnUNetv2_preprocess -d 501 -plans_name {PLANS} -c 2d` first"
    assert expected in refusal(trainer.initialize)
    assert expected in refusal(trainer.do_split)


@each(
    ("splits", "said"),
    [
        ([{"train": ["c0"], "val": []}], "fold 0: val lists no case"),
        ([], "splits_final.json: lists no fold"),
        ([{"train": ["c0"], "val": ["gone"]}], "'gone', which is not preprocessed"),
    ],
)
def test_a_fold_that_cannot_be_trained(recipe: Any, tmp_path: Path, splits: Any, said: str) -> None:
    folder = tmp_path / "preprocessed" / "Dataset501_Tiny"
    (folder / "splits_final.json").write_text(json.dumps(splits))
    assert said in refusal(make_trainer(trainer=recipe).do_split)


def test_half_a_checkpoint_and_one_of_another_network(recipe: Any, tmp_path: Path) -> None:
    trainer = make_trainer(trainer=recipe)
    trainer.initialize()
    path = tmp_path / "checkpoint_latest.pth"
    trainer.save_checkpoint(str(path))
    assert [p.name for p in tmp_path.glob("*.pth")] == [path.name]
    assert not list(tmp_path.glob(".*"))
    content = torch.load(path, weights_only=False)
    weights = content["network_weights"]
    name = next(n for n, w in weights.items() if w.ndim > 1)
    weights[name] = weights[name][:-1]
    torch.save(content, tmp_path / "other.pth")
    assert "does not fit its plans any more" in refusal(
        trainer.load_checkpoint, str(tmp_path / "other.pth")
    )
    path.write_bytes(path.read_bytes()[:1000])
    assert "not a whole checkpoint" in refusal(trainer.load_checkpoint, str(path))


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(trainer=recipe)
    path = tmp_path / "checkpoint_latest.pth"
    path.write_bytes(b"the one before")

    def fail(self: Any, filename: str) -> None:
        Path(filename).write_bytes(b"half")
        raise RuntimeError("disc is full")

    monkeypatch.setattr(nnUNetTrainer, "save_checkpoint", fail)
    with pytest.raises(RuntimeError, match="disc is full"):
        trainer.save_checkpoint(str(path))
    assert path.read_bytes() == b"the one before"
    assert not list(tmp_path.glob(".*"))


def test_without_checkpoints_none_is_written(recipe: Any, tmp_path: Path) -> None:
    trainer = make_trainer(trainer=recipe)
    trainer.disable_checkpointing = True
    trainer.save_checkpoint(str(tmp_path / "c.pth"))
    assert not (tmp_path / "c.pth").exists()
