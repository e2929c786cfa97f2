"""`submit` runs nothing that a file brings along: not a checkpoint, not the JSON files beside it, not prompts."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from nnunet_prompt.cli.main import main
from tests.challenge.fuzz import write_input
from tests.helpers.each import each
from tests.helpers.models import write_model_folder


class Runs:
    """Unpickling it writes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.marker, "it ran")


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "marker"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_model_folder(tmp_path / "model") / "fold_0" / "checkpoint_final.pth"


def refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The last line of `nnunet-prompt submit` on a good input with the model of the folder."""
    write_input(tmp_path / "input")
    folders = [str(tmp_path / name) for name in ("input", "output")]
    code = main(
        ["submit", "-i", folders[0], "-o", folders[1], "-m", str(tmp_path / "model"), "-device", "cpu"]
    )  # fmt: skip
    said = capsys.readouterr().err
    assert code == 1 and "Traceback" not in said
    assert not (tmp_path / "output").exists()
    return said.strip().splitlines()[-1]


@each("zipped", [True, False], ids=["zip", "old format"])
@each("place", ["beside", "weights", "init_args", "bare"])
def test_a_crafted_checkpoint(
    tmp_path: Path, checkpoint: Path, marker: Path, place: str, zipped: bool, capsys: Any
) -> None:
    content = torch.load(checkpoint, weights_only=False)
    if place == "beside":
        content["surprise"] = Runs(marker)
    elif place == "weights":
        content["network_weights"]["surprise"] = Runs(marker)
    elif place == "init_args":
        content["init_args"]["configuration"] = Runs(marker)
    if place == "bare":
        checkpoint.write_bytes(pickle.dumps(Runs(marker)))
    else:
        torch.save(content, checkpoint, _use_new_zipfile_serialization=zipped)
    line = refusal(tmp_path, capsys)
    assert str(checkpoint) in line and "refused" in line
    assert not marker.exists()


@each("key", ["nonlin", "network_class_name"])
def test_plans_that_name_what_is_no_network(
    tmp_path: Path, checkpoint: Path, marker: Path, key: str, capsys: Any
) -> None:
    """nnU-Net imports what its plans name, and calls it with what they say."""
    plans = tmp_path / "model" / "plans.json"
    content = json.loads(plans.read_text())
    architecture = content["configurations"]["3d_fullres"]["architecture"]
    if key == "nonlin":
        architecture["arch_kwargs"]["nonlin"] = "os.system"
        architecture["arch_kwargs"]["nonlin_kwargs"] = {"command": f"touch '{marker}'"}
    else:
        architecture[key] = "os.system"
    plans.write_text(json.dumps(content))
    line = refusal(tmp_path, capsys)
    assert "plans.json" in line and "'os.system'" in line and "refused" in line
    assert not marker.exists()
