"""What goes into the image beside the wheels, and how it is named."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.networks.capability import CAPABILITY_FILE
from tests.helpers.each import each

SCRIPT = Path(__file__).parents[2] / "container" / "stage_model.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("stage_model", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


staging: Any = _load()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A trained model as nnU-Net leaves it, with what inference does not read."""
    folder = tmp_path / "trainer__plans__3d_fullres"
    for name, content in {
        "plans.json": "plans",
        "dataset.json": "data",
        "prompt_capability.json": "points",
        "fold_0/checkpoint_final.pth": "weights 0",
        "fold_0/checkpoint_best.pth": "others",
        "fold_0/validation/case.nii.gz": "a patient",
        "fold_all/checkpoint_final.pth": "weights of all",
        "LICENSE.txt": "CC BY 4.0",
        "dataset_fingerprint.json": "{}",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def _files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


STAGED = {
    "plans.json",
    "dataset.json",
    "prompt_capability.json",
    "fold_0/checkpoint_final.pth",
    "fold_all/checkpoint_final.pth",
    "LICENSE.txt",
}


def test_takes_what_inference_reads_and_no_more(model: Path, tmp_path: Path) -> None:
    digest = staging.stage(model, tmp_path / "staged")
    manifest = (tmp_path / "staged" / "model.sha256").read_bytes()
    assert _files(tmp_path / "staged") == STAGED | {"model.sha256"}
    assert digest == hashlib.sha256(manifest).hexdigest()
    assert {line.split("  ")[1] for line in manifest.decode().splitlines()} == STAGED


def test_a_bank_of_words_goes_along(model: Path, tmp_path: Path) -> None:
    (model / "words.npz").write_bytes(b"bank")
    staging.stage(model, tmp_path / "staged")
    assert _files(tmp_path / "staged") == STAGED | {"model.sha256", "words.npz"}


def test_names_the_files_as_inference_does() -> None:
    assert CAPABILITY_FILE in staging.NEEDED
    assert staging.CHECKPOINTS == f"fold_*/{PredictOptions().checkpoint}"


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum")
def test_sha256sum_reads_the_manifest(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "staged"
    staging.stage(model, target)
    check = ["sha256sum", "--check", "--strict", "--quiet", "model.sha256"]
    assert subprocess.run(check, cwd=target, capture_output=True).returncode == 0
    (target / "plans.json").write_text("other")
    assert subprocess.run(check, cwd=target, capture_output=True).returncode == 1


def test_the_hash_depends_on_contents_and_names_only(model: Path, tmp_path: Path) -> None:
    first = staging.stage(model, tmp_path / "a")
    moved = model.rename(tmp_path / "moved")
    assert staging.stage(moved, tmp_path / "b") == first
    (moved / "fold_0" / "checkpoint_final.pth").write_text("weights 1")
    assert staging.stage(moved, tmp_path / "b") != first


def test_everyone_may_read_the_copies(model: Path, tmp_path: Path) -> None:
    (model / "plans.json").chmod(0o600)
    (model / "fold_0").chmod(0o700)
    staging.stage(model, tmp_path / "staged")
    for path in [tmp_path / "staged", *(tmp_path / "staged").rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path


def test_a_second_staging_leaves_nothing_of_the_first(model: Path, tmp_path: Path) -> None:
    staging.stage(model, tmp_path / "staged")
    shutil.rmtree(model / "fold_all")
    staging.stage(model, tmp_path / "staged")
    assert not (tmp_path / "staged" / "fold_all").exists()


@each("name", ["plans.json", "dataset.json", "prompt_capability.json"])
def test_a_missing_file_is_named(model: Path, tmp_path: Path, name: str) -> None:
    (model / name).unlink()
    with pytest.raises(staging.StageError, match=rf"{name}: not found; name a trained model"):
        staging.stage(model, tmp_path / "staged")
    assert not (tmp_path / "staged").exists()


def test_a_model_that_nnunet_installed_from_a_zip(model: Path, tmp_path: Path) -> None:
    (model / CAPABILITY_FILE).unlink()
    (model / "dataset.json").write_text('{"prompt_capability": {}}')
    staging.stage(model, tmp_path / "staged")
    assert "dataset.json" in _files(tmp_path / "staged")
    assert CAPABILITY_FILE not in _files(tmp_path / "staged")


def test_a_model_without_checkpoint_is_refused(model: Path, tmp_path: Path) -> None:
    for path in model.glob("fold_*/checkpoint_final.pth"):
        path.unlink()
    with pytest.raises(staging.StageError, match=r"no fold_\*/checkpoint_final.pth in it"):
        staging.stage(model, tmp_path / "staged")


def test_a_folder_with_other_things_is_not_removed(model: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("")
    with pytest.raises(staging.StageError, match=r"precious: holds no staged model"):
        staging.stage(model, precious)
    assert _files(precious) == {"thesis.tex"}


def test_the_command_prints_the_hash(model: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), str(model), str(tmp_path / "staged")]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == staging.stage(model, tmp_path / "again")


def test_the_command_says_what_is_wrong_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert staging.main([str(tmp_path), str(tmp_path / "staged")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        f"{tmp_path / 'plans.json'}: not found; name a trained model, <trainer>__<plans>__<config>"
    ]


def test_copies_beside_the_folds_stay_behind(model: Path, tmp_path: Path) -> None:
    for name in ("fold_0_old", "fold_0 (copy)"):
        (model / name).mkdir()
        (model / name / "checkpoint_final.pth").write_text("others")
    staging.stage(model, tmp_path / "staged")
    assert _files(tmp_path / "staged") == STAGED | {"model.sha256"}


def test_the_model_is_never_the_target(model: Path, tmp_path: Path) -> None:
    staged = tmp_path / "staged"
    staging.stage(model, staged)
    before = _files(staged)
    (tmp_path / "link").symlink_to(staged)
    for target in (staged, tmp_path / "link", staged / ".." / "staged"):
        with pytest.raises(staging.StageError, match="is or holds the model"):
            staging.stage(staged, target)
    assert _files(staged) == before
