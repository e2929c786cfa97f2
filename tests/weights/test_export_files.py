"""An exported folder appears whole or not at all, over nothing that is there, and says what binds it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nnunet_prompt import __version__
from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.networks.provenance import UNKNOWN_LICENCE, Origin
from nnunet_prompt.weights.export_files import Licence, ModelFiles, refuse_existing, write_model
from tests.helpers.each import each

TOY = Origin("toy v1", "nninteractive", "CC BY-NC-SA 4.0", "ab12")
ATLAS = Origin("atlas", "nnunet", "CC BY 4.0")
FILES = ModelFiles(
    trainer_name="nnUNetTrainer",
    configuration="3d_fullres",
    plans={"plans_name": "p"},
    dataset_json={"labels": {"background": 0, "ümlaut": 1}},
    weights={"fold_1": {"a": torch.arange(3.0)}, "fold_all": {"a": torch.zeros(1)}},
    mirror_axes=(0, 2),
    extra={"more.json": {"x": 1}},
)


def test_everything_is_written(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "model"
    write_model(target, FILES, Licence((TOY,)))
    names = sorted(str(p.relative_to(target)) for p in target.rglob("*") if p.is_file())
    assert names == [
        "LICENSE",
        "dataset.json",
        "fold_1/checkpoint_final.pth",
        "fold_all/checkpoint_final.pth",
        "more.json",
        "plans.json",
    ]
    assert json.loads((target / "dataset.json").read_text("utf-8")) == FILES.dataset_json
    assert json.loads((target / "plans.json").read_text()) == FILES.plans
    assert json.loads((target / "more.json").read_text()) == {"x": 1}
    assert [p.name for p in target.parent.iterdir()] == ["model"]


def test_what_a_user_must_know_is_in_the_folder(tmp_path: Path) -> None:
    told = replace(FILES, notes=("only canonical", "labels 1, 2"), warned=True)
    write_model(tmp_path / "m", told, Licence())
    said = (tmp_path / "m" / "HOW_TO_PREDICT.txt").read_text("utf-8")
    assert said == "* only canonical\n* labels 1, 2\n"


def test_a_checkpoint_is_plain_data(tmp_path: Path) -> None:
    write_model(tmp_path / "model", FILES, Licence((TOY,)))
    found = {
        fold: torch.load(tmp_path / "model" / fold / "checkpoint_final.pth", weights_only=True)
        for fold in FILES.weights
    }
    assert found["fold_1"]["init_args"] == {
        "plans": FILES.plans,
        "configuration": "3d_fullres",
        "fold": 1,
        "dataset_json": FILES.dataset_json,
    }
    assert found["fold_all"]["init_args"]["fold"] == "all"
    assert found["fold_1"]["trainer_name"] == "nnUNetTrainer"
    assert found["fold_1"]["inference_allowed_mirroring_axes"] == (0, 2)
    assert torch.equal(found["fold_1"]["network_weights"]["a"], torch.arange(3.0))
    assert found["fold_1"]["provenance"] == [
        {
            "name": "toy v1",
            "family": "nninteractive",
            "licence": "CC BY-NC-SA 4.0",
            "sha256": "ab12",
        }
    ]


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "notes.txt").write_text("mine")
    for act in (lambda: refuse_existing(target), lambda: write_model(target, FILES, Licence())):
        with pytest.raises(ModelError) as caught:
            act()
        assert str(caught.value) == (
            f"{target}: exists already; give -o a new folder, or remove this one first"
        )
    assert [p.name for p in tmp_path.rglob("*")] == ["model", "notes.txt"]
    with pytest.raises(ModelError, match="exists already"):
        refuse_existing(target / "notes.txt")


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    write_model(tmp_path / "model", FILES, Licence())
    assert (tmp_path / "model" / "plans.json").is_file()


def test_nothing_is_left_of_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_model(tmp_path / "model", FILES, Licence())
    assert list(tmp_path.iterdir()) == []


@each(
    ("licence", "line"),
    [
        (Licence(), UNKNOWN_LICENCE),
        (Licence(given="MIT"), "MIT"),
        (Licence((TOY,)), "CC BY-NC-SA 4.0"),
        (Licence((TOY, ATLAS, TOY), "CC BY 4.0"), "CC BY-NC-SA 4.0 and CC BY 4.0"),
        (Licence((Origin("x", "nnunet", "two\n  lines"),)), "two lines"),
    ],
)
def test_the_first_line_of_the_licence(licence: Licence, line: str) -> None:
    assert licence.line == line
    assert licence.text.splitlines()[0] == line


def test_the_licence_names_the_sources() -> None:
    assert Licence((TOY, ATLAS), "mine").text == (
        "CC BY-NC-SA 4.0 and CC BY 4.0 and mine\n\n"
        "Made from toy v1 (nninteractive), licence: CC BY-NC-SA 4.0, sha256 ab12\n"
        "Made from atlas (nnunet), licence: CC BY 4.0\n"
        f"Exported by nnunet_prompt {__version__}.\n"
    )
