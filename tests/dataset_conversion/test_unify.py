"""The script of the unified data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunet_prompt.dataset_conversion.unify import main
from tests.dataset_conversion.care.test_liqa import patient


def test_inspect_convert_and_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    source = tmp_path / "LiQA"
    patient(source / "Vendor_A/1009-A-S4")
    assert main([str(source), "--inspect"]) == 0
    assert "liqa:LiQA_A_1009" in capsys.readouterr().out
    assert main([str(source), "-d", "510"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'raw' / 'Dataset510_CARE'}\n"
    assert main([str(source), str(source), "-d", "510"]) == 1
    error = capsys.readouterr().err.splitlines()
    assert error[-1].startswith("error: ") and "both hold files of liqa" in error[-1]
