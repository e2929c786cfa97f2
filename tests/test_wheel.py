"""What a user gets who installs the wheel, far from the checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import nnunet_prompt

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SOURCES = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "nnunet_prompt",
    "trainers",
    "dataset_conversion",
)

FIND_TRAINER = """
import os, sys
sys.path.insert(0, sys.argv[1])
import nnunet_prompt
from nnunet_prompt.training import external_trainers
os.environ.update(external_trainers.environment({}))
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
from nnunet_prompt.training.trainer import PromptTrainer
found = recursive_find_trainer_class_by_name("nnUNetTrainerPrompt")
print(found.__name__, issubclass(found, PromptTrainer), sep="\\n")
home = sys.modules[PromptTrainer.__module__].__file__
print(nnunet_prompt.__file__, external_trainers.trainers_dir(), home, sep="\\n")
"""


def _python(*arguments: str, cwd: Path) -> list[str]:
    result = subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.splitlines()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that no leftover of an earlier build in the checkout can get into it."""
    folder = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, folder / name)
    _python("-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", cwd=folder)
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_no_other_name_reaches_site_packages(names: list[str]) -> None:
    top_level = {name.split("/")[0] for name in names}
    assert len(top_level) == 2
    assert "nnunet_prompt" in top_level
    assert any(
        name.startswith("nnunet_prompt-") and name.endswith(".dist-info") for name in top_level
    )


def test_every_module_of_the_checkout_is_inside(names: list[str]) -> None:
    folders = {"nnunet_prompt": "nnunet_prompt", "trainers": "nnunet_prompt/trainers"}
    folders["dataset_conversion"] = "nnunet_prompt/dataset_conversion"
    expected = {
        f"{inside}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, inside in folders.items()
        for path in (ROOT / folder).rglob("*.py")
    }
    assert expected == {name for name in names if name.endswith(".py")}
    assert "nnunet_prompt/trainers/nnUNetTrainerPrompt.py" in expected
    assert "nnunet_prompt/py.typed" in names


def test_licence_and_command_are_inside(names: list[str], wheel: Path) -> None:
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    with zipfile.ZipFile(wheel) as archive:
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        assert (
            "nnunet-prompt = nnunet_prompt.cli.main:program" in archive.read(entry_points).decode()
        )


def test_nnunet_finds_the_trainer_of_the_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site packages"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    _python(
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(target),
        str(wheel),
        cwd=elsewhere,
    )
    *_, name, is_ours, package, trainers, base = _python(
        "-c", FIND_TRAINER, str(target), cwd=elsewhere
    )
    assert (name, is_ours) == ("nnUNetTrainerPrompt", "True")
    for path in (package, trainers, base):
        assert Path(path).is_relative_to(target.resolve()), path


def test_the_version_is_that_of_the_package(wheel: Path) -> None:
    assert wheel.name.startswith(f"nnunet_prompt-{nnunet_prompt.__version__}-")
