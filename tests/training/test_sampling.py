"""How often a case is drawn: the weights of dataset.json in the hands of nnU-Net's loader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from batchgenerators.dataloading.data_loader import DataLoader
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunet_prompt.common.errors import RefusedError
from tests.helpers.models import TABLE, hand_made_dataset_json, make_trainer

TRAINING, VALIDATION = ["a", "b", "c"], ["d"]
WEIGHTS = {"a": 3.0, "b": 1.0, "c": 1e-9, "d": 4.0}


class Names(DataLoader):  # type: ignore[misc]
    """A loader whose batches are the names of the cases it drew."""

    def __init__(self, cases: Sequence[str]) -> None:
        super().__init__(None, 100, infinite=True)
        self.indices = list(cases)

    def generate_train_batch(self) -> dict[str, Any]:
        return {"keys": self.get_indices()}


@pytest.fixture(autouse=True)
def nnunet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """nnU-Net's folders, its data sets as names, and its loaders as it starts them; workers where two are wanted."""
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path))
    monkeypatch.setenv("nnUNet_compile", "f")
    where = "nnunetv2.training.nnUNetTrainer.nnUNetTrainer.infer_dataset_class"
    monkeypatch.setattr(where, lambda folder: None)
    both = tuple(SimpleNamespace(identifiers=n) for n in (TRAINING, VALIDATION))
    monkeypatch.setattr(nnUNetTrainer, "get_tr_and_val_datasets", lambda self: both)
    monkeypatch.setattr(nnUNetTrainer, "get_dataloaders", started)


def started(trainer: Any) -> tuple[Any, Any]:
    loaders = [Names(data.identifiers) for data in trainer.get_tr_and_val_datasets()]
    if trainer.workers:
        found = [NonDetMultiThreadedAugmenter(x, None, trainer.workers) for x in loaders]
    else:
        found = [SingleThreadedAugmenter(x, None) for x in loaders]
    for augmenter in found:
        next(augmenter)
    return found[0], found[1]


def trainer(weights: dict[str, float], *, workers: int = 0) -> Any:
    described = hand_made_dataset_json(replace(TABLE, weights=weights))
    made = make_trainer(dataset_json=described)
    made.workers = workers
    return made


def drawn(augmenter: Any, batches: int = 30) -> Counter[str]:
    return Counter(str(k) for _ in range(batches) for k in next(augmenter)["keys"])


def test_training_draws_by_weight_and_validation_draws_all_alike() -> None:
    training, validation = trainer(WEIGHTS).get_dataloaders()
    chances = training.data_loader.sampling_probabilities
    # those of the fold's training cases only, of sum 1
    assert np.allclose(chances, [0.75, 0.25, 0], atol=1e-8) and sum(chances) == pytest.approx(1)
    assert validation.data_loader.sampling_probabilities is None
    np.random.seed(1)  # noqa: NPY002 - the loader draws from numpy's global state
    found = drawn(training)
    assert found["c"] == 0 and found["a"] / found["b"] == pytest.approx(3, rel=0.15)


@pytest.mark.slow
def test_workers_draw_by_weight_too() -> None:
    training, validation = trainer(WEIGHTS, workers=2).get_dataloaders()
    try:
        found = drawn(training)
        assert found["c"] == 0 and found["a"] / found["b"] == pytest.approx(3, rel=0.25)
        assert set(drawn(validation, 1)) == {"d"}
    finally:
        training._finish()
        validation._finish()


def test_without_weights_everything_is_nnunets() -> None:
    training, _ = trainer({}).get_dataloaders()
    assert training.data_loader.sampling_probabilities is None
    assert set(drawn(training, 1)) == set(TRAINING)


def test_a_case_without_weight_is_refused_before_anything_starts() -> None:
    made = trainer({"a": 1.0, "b": 1.0, "d": 1.0})
    with pytest.raises(RefusedError, match=r"cases\['c'\] has no weight"):
        made.get_dataloaders()


def test_weights_stay_out_of_what_is_saved() -> None:
    made = trainer(WEIGHTS)
    assert "cases" not in made.dataset_json["nnunet_prompt"]
    assert "cases" not in made.my_init_kwargs["dataset_json"]["nnunet_prompt"]
