"""Trainers without a data set."""

from __future__ import annotations

from pathlib import Path

import pytest
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunet_prompt.training.trainer import PromptTrainer


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """nnU-Net's folders, with nothing in them."""
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path))
    monkeypatch.setenv("nnUNet_compile", "f")
    # nnU-Net looks at the preprocessed files to choose it; here there are none
    where = "nnunetv2.training.nnUNetTrainer.nnUNetTrainer.infer_dataset_class"
    monkeypatch.setattr(where, lambda folder: None)
    return tmp_path


@pytest.fixture
def without_cases(results: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As `results`; a trainer begins its first epoch without loaders and without a look at cases."""
    monkeypatch.setattr(nnUNetTrainer, "on_train_start", lambda self: None)
    monkeypatch.setattr(PromptTrainer, "_describe", lambda self: None)
    return results
