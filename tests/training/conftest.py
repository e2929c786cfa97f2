"""Trainers without a data set."""

from __future__ import annotations

from pathlib import Path

import pytest


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
