"""The upload for Grand Challenge: what is in it, and that its test job is answered."""

from __future__ import annotations

import importlib.util
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

from nnunet_prompt.cli.main import build_parser
from nnunet_prompt.cli.main import main as command_line
from tests.challenge.forms.jobs import lively_model, read_mask
from tests.helpers.each import each
from tests.helpers.schemas import check_form

ROOT = Path(__file__).parents[2]


def _load() -> Any:
    spec = importlib.util.spec_from_file_location("pack_job", ROOT / "container" / "pack_job.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


packing = _load()
CHALLENGE = {"nnUNet_prompt_input": "/input", "nnUNet_prompt_output": "/output"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lively_model(tmp_path_factory.mktemp("model") / "some_trainer")


@pytest.fixture(scope="module")
def packed(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("upload") / "pack"
    packing.pack(model, target, image="heart:1")
    return target


def test_what_is_in_it(packed: Path) -> None:
    with tarfile.open(packed / "model.tar.gz") as archive:
        names = archive.getnames()
        owners = {(m.uid, m.gid, m.mtime, m.mode) for m in archive.getmembers()}
    assert owners == {(0, 0, 0, 0o644)}
    inside = [p.relative_to(packed / "model").as_posix() for p in (packed / "model").rglob("*")]
    assert set(names) <= set(inside)
    assert {"plans.json", "sockets.json", "fold_0/checkpoint_final.pth"} <= set(names)
    check_form("sockets", packed / "model" / "sockets.json")
    notes = (packed / "README.md").read_text()
    assert "heart:1" in notes and "/output/images/segmentation/output.mha" in notes
    for name in packing.NAMES:
        text = (packed / name).read_text()
        assert not re.search("@[A-Z]", text), name
        assert bool((packed / name).stat().st_mode & 0o111) == name.endswith(".sh")


def test_equal_models_make_equal_tarballs(model: Path, packed: Path, tmp_path: Path) -> None:
    packing.pack(model, tmp_path / "again", image="other:2")
    again = (tmp_path / "again" / "model.tar.gz").read_bytes()
    assert again == (packed / "model.tar.gz").read_bytes()


def test_its_job_is_answered_with_its_tarball(packed: Path, tmp_path: Path) -> None:
    with tarfile.open(packed / "model.tar.gz") as archive:
        archive.extractall(tmp_path / "weights", filter="data")
    job, output = packed / "test" / "input" / "interf0", tmp_path / "output"
    given = ["-i", str(job), "-o", str(output), "-m", str(tmp_path / "weights")]
    how = ["-device", "cpu", "--disable_tta", "--strict"]
    assert command_line(["submit", "--form", "grand-challenge", *given, *how]) == 0
    assert read_mask(output / "images" / "segmentation" / "output.mha").any()


def test_a_model_of_two_channels_gets_two_images(tmp_path: Path) -> None:
    model = lively_model(tmp_path / "two", channels=2)
    packing.pack(model, tmp_path / "pack", image="a")
    inputs = json.loads((tmp_path / "pack/test/input/interf0/inputs.json").read_text())
    assert [one["socket"]["slug"] for one in inputs] == ["medical-image", "pet", "points"]


@each("wrong", ["no model", "other things", "too few images"])
def test_what_is_wrong_is_one_line(
    model: Path, tmp_path: Path, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target, more = tmp_path / "pack", []
    if wrong == "other things":
        target.mkdir()
        (target / "thesis.tex").write_text("")
    if wrong == "too few images":
        sockets = {"inputs": {"ct": {"role": "mask"}}, "outputs": {"a": {}}}
        (tmp_path / "s.json").write_text(json.dumps(sockets))
        more = ["--sockets", str(tmp_path / "s.json")]
    source = tmp_path / "nothing" if wrong == "no model" else model
    assert packing.main([str(source), str(target), *more]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    expected = {
        "no model": "plans.json: not found; name a trained model",
        "other things": "holds other things than an upload pack",
        "too few images": "takes 1 image channels, the sockets have images for 0",
    }
    assert expected[wrong] in line


def test_the_image_reads_the_weights_where_the_platform_unpacks_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    stage = dockerfile.split(" AS grand-challenge\n")[1].split("\nFROM ")[0]
    (entry,) = re.findall(r"^ENTRYPOINT (.+)$", stage, re.M)
    program, *words = json.loads(entry)
    for name, value in {**CHALLENGE, "nnUNet_prompt_form": "autopet"}.items():
        monkeypatch.setenv(name, value)
        assert f"{name}=" in dockerfile
    args = build_parser().parse_args(words)
    assert program == "nnunet-prompt"
    assert (args.form, args.model) == ("autopet", Path("/opt/ml/model"))
    assert (args.input, args.output, args.state) == (Path("/input"), Path("/output"), None)
    monkeypatch.setenv("nnUNet_prompt_state", "/cache")
    assert build_parser().parse_args(words).state == Path("/cache")
    assert "COPY" not in stage
    makefile = (ROOT / "Makefile").read_text()
    assert "--platform linux/amd64" in makefile and "--provenance=false" in makefile


def test_the_pack_of_autopet_has_its_sockets(tmp_path: Path) -> None:
    model = lively_model(tmp_path / "two", channels=2)
    packing.pack(model, tmp_path / "pack", form="autopet", image="a")
    inputs = json.loads((tmp_path / "pack/test/input/interf0/inputs.json").read_text())
    assert [one["socket"]["slug"] for one in inputs] == ["ct", "pet", "lesion-clicks"]
    sockets = json.loads((tmp_path / "pack/model/sockets.json").read_text())
    assert sockets["start"] == "structures"
    notes = (tmp_path / "pack/README.md").read_text()
    assert "/output/images/tumor-lesion-segmentation/<image>.mha" in notes
