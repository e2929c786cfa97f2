"""The phantom that a model has to segment before it gets into an image."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.cli import self_check as module
from nnunet_prompt.cli.self_check import main, self_check
from nnunet_prompt.common.errors import ModelError
from tests.helpers.models import write_model_folder

Answer = Callable[[np.ndarray], np.ndarray]


def _pretend(
    monkeypatch: pytest.MonkeyPatch, answer: Answer, *, channels: int = 1, code: int = 0
) -> list[list[str]]:
    """Puts a command line in place that answers every phantom with `answer(label map)`; returns what was typed."""
    typed: list[list[str]] = []

    def command_line(argv: Sequence[str]) -> int:
        typed.append(list(argv))
        given, output = Path(argv[argv.index("-i") + 1]), Path(argv[argv.index("-o") + 1])
        truth = nib.load(next((given / "labels").iterdir()))
        output.mkdir()
        mask = answer(np.asarray(truth.dataobj).astype(np.uint16))
        image = nib.Nifti1Image(mask, truth.affine)
        nib.save(image, output / "Case9001_pred.nii.gz")
        return code

    loaded = SimpleNamespace(n_image_channels=channels)
    monkeypatch.setattr("nnunet_prompt.inference.model_folder.load_model", lambda *_: loaded)
    monkeypatch.setattr(module, "command_line", command_line)
    return typed


def test_says_how_much_was_segmented(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    typed = _pretend(monkeypatch, lambda truth: truth)
    said = self_check(Path("MODEL"), tmp_path)
    labels = next((tmp_path / "input" / "labels").iterdir())
    array = np.asarray(nib.load(labels).dataobj)
    count = np.count_nonzero(array)
    assert said == f"MODEL: a phantom of {array.size} voxels, {count} of them segmented"
    (argv,) = typed
    assert argv[0] == "submit"
    assert argv[argv.index("-m") + 1] == "MODEL"
    assert {"--strict", "--disable_tta"} <= set(argv)
    assert argv[argv.index("-device") + 1] == "cpu"


def test_an_empty_mask_is_an_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _pretend(monkeypatch, np.zeros_like)
    assert self_check(Path("MODEL"), tmp_path).endswith(", 0 of them segmented")


def test_every_channel_shows_the_phantom(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _pretend(monkeypatch, np.zeros_like, channels=3)
    self_check(Path("MODEL"), tmp_path)
    names = sorted(p.name for p in (tmp_path / "input" / "images").iterdir())
    assert names == [f"Case9001_000{channel}.nii.gz" for channel in range(3)]


def test_a_degraded_case_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _pretend(monkeypatch, np.zeros_like, code=1)
    with pytest.raises(ModelError, match="MODEL: does not segment a phantom; see the lines above"):
        self_check(Path("MODEL"), tmp_path)


def test_a_stray_label_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _pretend(monkeypatch, lambda truth: np.full_like(truth, 7))
    expected = r"holds \[7\], asked for were \[0, 200, 500, 600, 2221\]"
    with pytest.raises(ModelError, match=expected):
        self_check(Path("MODEL"), tmp_path)


def test_another_grid_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _pretend(monkeypatch, lambda truth: truth[:-1])
    with pytest.raises(ModelError, match="has another geometry than"):
        self_check(Path("MODEL"), tmp_path)


def test_what_is_no_model_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith(f"self-check: error: {tmp_path / 'prompt_capability.json'}: not found")


@pytest.mark.slow
def test_a_real_network_of_two_channels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_model_folder(tmp_path / "model", channels=2)
    plans = json.loads((model / "plans.json").read_text())
    plans["configurations"]["3d_fullres"]["patch_size"] = [8, 64, 64]
    (model / "plans.json").write_text(json.dumps(plans))
    assert main([str(model)]) == 0
    assert "voxels, " in capsys.readouterr().out
