"""Where a data set is read from, and where it is written to."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """nnU-Net's folder of raw data sets."""
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    return tmp_path / "raw"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The place of a download."""
    return tmp_path / "download"
