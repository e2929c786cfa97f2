"""Exports without a pickle: safetensors, which our predictor runs, and ONNX, which onnxruntime runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nnunet_prompt.cli import main as cli
from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.inference.model_folder import load_model
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.networks.checkpoint import read_checkpoint
from nnunet_prompt.networks.safetensors_file import save_safetensors
from nnunet_prompt.weights.export import ExportOptions, export_model
from nnunet_prompt.weights.families import open_source
from nnunet_prompt.weights.inspect import describe
from tests.helpers.each import each
from tests.helpers.exports import ORIGIN, servable_plans, write_model
from tests.helpers.schemas import check_form

PLANS = servable_plans(patch=(8, 12, 16))
CPU = PredictOptions(device="cpu")


def ours(folder: Path, **changes: Any) -> Path:
    return write_model(folder / "ours", plans=PLANS, origins=(ORIGIN,), **changes)


def weights_of(checkpoint: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = read_checkpoint(checkpoint)["network_weights"]
    return weights


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_safetensors_are_a_model_folder_with_every_fold(tmp_path: Path) -> None:
    model = ours(tmp_path, folds=(0, 2))
    export_model(model, tmp_path / "open", "safetensors")
    before, after = load_model(model, CPU), load_model(tmp_path / "open", CPU)
    for one, other in zip(before.weights, after.weights, strict=True):
        assert equal(one, other)
    assert after.capability == before.capability and after.table == before.table
    assert after.mirror_axes == before.mirror_axes == (0, 1, 2)
    assert not list((tmp_path / "open").rglob("*.pth"))
    for fold in (0, 2):
        stored = tmp_path / "open" / f"fold_{fold}" / "checkpoint_final.safetensors"
        original = model / f"fold_{fold}" / "checkpoint_final.pth"
        assert stored.stat().st_size < 1.2 * original.stat().st_size  # aliases are stored once


def test_a_bank_of_words_goes_along(tmp_path: Path) -> None:
    model = ours(tmp_path)
    labels = np.array(["blood", "LV"])
    np.savez(model / "words.npz", labels=labels, vectors=np.eye(2, dtype=np.float16))
    export_model(model, tmp_path / "open", "safetensors")
    bank = load_model(tmp_path / "open", CPU).table.bank
    assert bank is not None and bank.labels == ("blood", "LV")


def test_they_can_be_exported_again(tmp_path: Path) -> None:
    export_model(ours(tmp_path), tmp_path / "open", "safetensors")
    written = export_model(tmp_path / "open", tmp_path / "again", "nnunet")
    assert written.licence == ORIGIN.licence


@each("form", ["safetensors", "onnx"])
def test_both_are_read_back_as_sources(form: Any, tmp_path: Path) -> None:
    model = ours(tmp_path)
    export_model(model, tmp_path / "open", form)
    before, after = open_source(model), open_source(tmp_path / "open")
    assert equal(before.weights, after.weights)
    assert (after.family, after.configuration) == ("nnunet_prompt", "3d_fullres")
    assert after.rows == before.rows and after.points == before.points
    assert ORIGIN in after.origins
    facts, known = describe(tmp_path / "open"), describe(model)
    for title in ("family", "features", "heads", "parameters", "prompt channels"):
        assert facts[title] == known[title]


def test_onnx_gives_the_same_logits_for_any_batch(tmp_path: Path) -> None:
    import onnxruntime

    model = ours(tmp_path)
    export_model(model, tmp_path / "open", "onnx")
    manifest = json.loads((tmp_path / "open" / "manifest.json").read_text())
    path = str(tmp_path / "open" / manifest["model"])
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    network = load_model(model, CPU).network
    (batch, *shape) = manifest["input"]["shape"]
    assert batch == "batch" and shape == [8, 8, 12, 16]
    rng = np.random.default_rng(5)
    for count in (1, 3):
        given = rng.standard_normal((count, *shape)).astype(np.float32)
        (found,) = session.run([manifest["output"]["name"]], {manifest["input"]["name"]: given})
        with torch.inference_mode():
            expected = network(torch.from_numpy(given)).numpy()
        assert np.abs(found - expected).max() < 1e-4
        assert list(found.shape) == [count, *manifest["output"]["shape"][1:]]


def test_the_manifest_says_what_a_stranger_needs(tmp_path: Path) -> None:
    export_model(ours(tmp_path), tmp_path / "open", "onnx")
    found = json.loads((tmp_path / "open" / "manifest.json").read_text())
    assert found["input"]["channels"][0] == "image" or len(found["input"]["channels"]) == 8
    assert found["structures"][0] == {"index": 1, "name": "dim", "value": 500, "members": [1]}
    check_form("manifest", found)
    assert found["licence"] == ORIGIN.licence and found["origins"][0]["sha256"] == "ab12"
    assert found["opset"] == 17 and found["largest_difference"] <= 1e-4
    assert found["patch_size"] == [8, 12, 16] and len(found["spacing_mm"]) == 3
    assert found["prompts"]["point_radius"] == 4.0
    assert [one["scheme"] for one in found["normalisation"]] == ["ZScoreNormalization"]


def test_one_fold_alone_goes_into_onnx(tmp_path: Path) -> None:
    model = ours(tmp_path, folds=(0, 1))
    with pytest.raises(ModelError, match="an ONNX file holds one: choose it with -f"):
        export_model(model, tmp_path / "open", "onnx")
    export_model(model, tmp_path / "open", "onnx", options=ExportOptions(folds=(1,)))
    fold = weights_of(model / "fold_1" / "checkpoint_final.pth")
    assert equal(weights_of(tmp_path / "open" / "model.onnx"), fold)


def test_a_network_that_onnxruntime_runs_otherwise_is_not_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nnunet_prompt.networks.onnx_file.TOLERANCE", -1.0)
    with pytest.raises(ModelError, match="onnxruntime differs from torch"):
        export_model(ours(tmp_path), tmp_path / "open", "onnx")
    assert not (tmp_path / "open").exists()


@each(
    "name",
    ["checkpoint_final.safetensors", "model.onnx", "cut.safetensors", "cut.onnx", "other.onnx"],
)
def test_damaged_files_are_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    if name == "other.onnx":
        import onnx

        onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [])), str(path))
    elif name.startswith("cut"):
        form: Any = "onnx" if name.endswith("onnx") else "safetensors"
        export_model(ours(tmp_path), tmp_path / "open", form)
        whole = next((tmp_path / "open").rglob(f"*{path.suffix}")).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    else:
        path.write_bytes(b"\x08" + b"\x00" * 7 + b"{nonsense")
    assert cli.main(["weights", "inspect", str(path)]) == 1
    told = capsys.readouterr().err.strip()
    assert str(path) in told and "\n" not in told and "Traceback" not in told


def test_tensors_of_others_are_inspected(tmp_path: Path) -> None:
    save_safetensors(tmp_path / "theirs.safetensors", {"network_weights": {"a.b": torch.ones(2)}})
    assert describe(tmp_path / "theirs.safetensors")["cannot be adapted"]
