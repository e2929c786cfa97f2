"""What is published is loaded by us and listed by nnInteractive; what may not be or does not fit is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nnunet_prompt.cli import main as cli
from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.inference.model_folder import load_model
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.networks.capability import write_capability
from nnunet_prompt.networks.provenance import OWN_LICENCE, UNKNOWN_LICENCE, Origin
from nnunet_prompt.weights import publish
from nnunet_prompt.weights.card import licence_identifier
from nnunet_prompt.weights.export import ExportOptions
from nnunet_prompt.weights.publish import make_publication, upload_folder
from tests.helpers.each import each
from tests.helpers.exports import ORIGIN, VOXELS, servable_plans, write_model

PATCH = (8, 12, 16)
PLANS = servable_plans(patch=PATCH)
SPACING = tuple(PLANS["configurations"]["3d_fullres"]["spacing"])
CAPABILITY = replace(VOXELS, grid_spacing=SPACING)
REPO = "lab/heart"
MINE = ExportOptions(licence="CC BY 4.0")


def ours(folder: Path, **changes: Any) -> Path:
    return write_model(folder, **{"plans": PLANS, "capability": CAPABILITY, **changes})


def test_the_folder(tmp_path: Path) -> None:
    model = ours(tmp_path / "ours", origins=(ORIGIN,))
    made = make_publication(model, REPO, tmp_path / "out", options=MINE)
    assert made.licence == "CC BY-NC-SA 4.0 and CC BY 4.0"
    assert made.model_id == "nnInteractive_heart"
    names = {str(p.relative_to(made.folder)) for p in made.folder.rglob("*") if p.is_file()}
    assert {
        *("README.md", "LICENSE", "models.json", "plans.json", "dataset.json"),
        *("prompt_capability.json", "fold_0/checkpoint_final.safetensors"),
        "nnInteractive_heart/inference_info.json",
    } <= names
    assert [p.name for p in tmp_path.iterdir() if p.name not in ("ours", "out")] == []


def test_it_is_loaded_again(tmp_path: Path) -> None:
    """By its default options: the safetensors stand for the checkpoint of that name."""
    model = ours(tmp_path / "ours", folds=(0, 1))
    made = make_publication(model, REPO, tmp_path / "out", options=MINE)
    before, after = (load_model(m, PredictOptions(device="cpu")) for m in (model, made.folder))
    assert len(after.weights) == 2
    for one, other in zip(before.weights, after.weights, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_card(tmp_path: Path) -> None:
    model = ours(tmp_path / "ours", origins=(replace(ORIGIN, licence="CC BY 4.0"),))
    folder = model / "fold_0" / "validation"
    folder.mkdir()
    kinds = {k: {"foreground_mean": {"Dice": d}} for k, d in (("none", 0.5), ("points", 0.8125))}
    (folder / "summary.json").write_text(json.dumps({"prompt_kinds": kinds}))
    made = make_publication(model, REPO, tmp_path / "out")
    card = (made.folder / "README.md").read_text()
    assert card.startswith("---\nlicense: cc-by-4.0\n")
    assert "| fold_0 | points | 0.812 |" in card
    assert "* weights from toy v1 (nninteractive): CC BY 4.0, sha256 ab12" in card
    assert "hf://lab/heart@REVISION" in card
    assert "| 500 | dim |" in card or "| 1 | dim |" in card


def test_nninteractive_lists_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    management = pytest.importorskip("nnInteractive.model_management")
    made = make_publication(ours(tmp_path / "ours"), REPO, tmp_path / "out", options=MINE)
    root = tmp_path / "models"
    (root / "models").mkdir(parents=True)
    (made.folder / made.model_id).rename(root / "models" / made.model_id)
    (made.folder / "models.json").rename(root / "models.json")
    monkeypatch.setenv("NNINTERACTIVE_MODEL_DIR", str(root))
    monkeypatch.setattr(management, "_load_remote_manifest", lambda _: 1 / 0)  # no network
    assert management.get_default_model_id() == "nnInteractive_heart"
    found = management.ensure_model_available("nnInteractive_heart")
    assert (found / "fold_0" / "checkpoint_final.pth").is_file()


def test_a_model_that_viewers_cannot_serve_goes_without(tmp_path: Path) -> None:
    capability = replace(CAPABILITY, point_metric="spacing", grid_spacing=(4.0, 1.0, 1.0))
    plans = servable_plans(patch=PATCH)
    plans["configurations"]["3d_fullres"]["spacing"] = [4.0, 1.0, 1.0]
    model = ours(tmp_path / "ours", capability=capability, plans=plans)
    made = make_publication(model, REPO, tmp_path / "out", options=MINE)
    assert made.model_id == ""
    assert made.notes[0].startswith("without nnInteractive's form: ")
    assert not (made.folder / "models.json").exists()


class TestRefusals:
    @each(
        "origin, given, message",
        [
            (None, "", "its licence is 'not stated'"),
            (UNKNOWN_LICENCE, "CC BY 4.0", "its licence is 'unknown"),
            (OWN_LICENCE, "", "its licence is 'none stated"),
            ("CC BY-NC-ND 4.0", "CC BY 4.0", "'CC BY-NC-ND 4.0' forbids"),
            (None, "All rights reserved", "'All rights reserved' forbids"),
        ],
    )
    def test_licences(self, origin: str | None, given: str, message: str, tmp_path: Path) -> None:
        origins = () if origin is None else (Origin("toy", "nnunet", origin),)
        model = ours(tmp_path / "ours", origins=origins)
        with pytest.raises(ModelError, match=message):
            make_publication(model, REPO, tmp_path / "out", options=ExportOptions(licence=given))
        assert not (tmp_path / "out").exists()

    def test_a_capability_of_another_grid(self, tmp_path: Path) -> None:
        model = ours(tmp_path / "ours")
        write_capability(model, replace(CAPABILITY, grid_spacing=(9.0, 9.0, 9.0)))
        with pytest.raises(ModelError, match=r"prompt_capability\.json: grid_spacing is \[9\.0"):
            make_publication(model, REPO, tmp_path / "out", options=MINE)

    def test_a_capability_that_offers_what_the_network_ignores(self, tmp_path: Path) -> None:
        model = ours(tmp_path / "ours")
        path = model / "fold_0" / "checkpoint_final.pth"
        content = torch.load(path)
        for value in content["network_weights"].values():
            if value.ndim == 5 and value.shape[1] == 8:
                value[:, -1] = 0
        torch.save(content, path)
        with pytest.raises(ModelError, match="but the network has no weight for that channel"):
            make_publication(model, REPO, tmp_path / "out", options=MINE)

    def test_a_capability_that_names_no_structure(self, tmp_path: Path) -> None:
        model = ours(tmp_path / "ours", capability=replace(CAPABILITY, one_component=("liver",)))
        with pytest.raises(ModelError, match="one_component names liver"):
            make_publication(model, REPO, tmp_path / "out", options=MINE)

    @each("repo", ["heart", "a/b/c", "../x", "lab/", "/heart", "lab/.."])
    def test_names(self, repo: str, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="expected owner/name"):
            make_publication(tmp_path, repo, tmp_path / "out")


class TestCommand:
    def test_a_dry_run_uploads_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(publish, "upload_folder", lambda *_, **__: pytest.fail("uploaded"))
        model = ours(tmp_path / "ours")
        line = ["weights", "publish", str(model), REPO, "-o", str(tmp_path / "out"), "--dry-run"]
        assert cli.main([*line, "--licence", "MIT"]) == 0
        assert f"wrote {tmp_path / 'out'}; licence: MIT\n" in capsys.readouterr().out
        assert (tmp_path / "out" / "README.md").is_file()

    def test_the_hub_is_given_the_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: list[Any] = []

        class Api:
            def create_repo(self, repo: str, **how: Any) -> None:
                calls.append((repo, how))

            def upload_folder(self, **how: Any) -> Any:
                calls.append(how)
                return SimpleNamespace(commit_url="the/commit")

        monkeypatch.setattr("huggingface_hub.HfApi", Api)
        assert upload_folder(tmp_path, REPO, private=True) == "the/commit"
        assert calls[0] == (REPO, {"private": True, "exist_ok": True})
        assert (calls[1]["repo_id"], calls[1]["folder_path"]) == (REPO, tmp_path)

    def test_a_hub_that_refuses_is_one_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse() -> None:
            raise RuntimeError("401\nno token")

        monkeypatch.setattr("huggingface_hub.HfApi", refuse)
        with pytest.raises(ModelError, match=r"cannot be uploaded \(401 no token\)"):
            upload_folder(tmp_path, REPO)


@each(
    "line, identifier",
    [
        ("CC BY 4.0", "cc-by-4.0"),
        ("CC BY-NC-SA 4.0", "cc-by-nc-sa-4.0"),
        ("Apache-2.0", "apache-2.0"),
        ("MIT", "mit"),
        ("CC BY 4.0 and MIT", "other"),
        ("my own", "other"),
    ],
)
def test_identifiers(line: str, identifier: str) -> None:
    assert licence_identifier(line) == identifier
