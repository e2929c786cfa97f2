from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.training import external_trainers as extension
from tests.helpers.each import each

OURS = str(extension.trainers_dir())


def test_trainers_dir_holds_the_recipes() -> None:
    assert (extension.trainers_dir() / "nnUNetTrainerPrompt.py").is_file()


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nnunet_prompt.trainers", None)  # makes its import fail
    with pytest.raises(NNUNetPromptError, match="pip install -e"):
        extension.trainers_dir()


@each(
    ("before", "after"),
    [
        ({}, [OURS]),
        ({"nnUNet_extTrainer": ""}, [OURS]),
        ({"nnUNet_extTrainer": "/a"}, [OURS, "/a"]),
        ({"nnUNet_extTrainer": f"/a{os.pathsep}/b c"}, [OURS, "/a", "/b c"]),
        (
            {"nnUNet_extTrainer": f"/a{os.pathsep}{OURS}{os.pathsep}{os.pathsep}/b"},
            [OURS, "/a", "/b"],
        ),
    ],
)
def test_environment_puts_ours_first_and_keeps_the_others(
    before: dict[str, str], after: list[str]
) -> None:
    expected = {"nnUNet_extTrainer": os.pathsep.join(after)}
    assert extension.environment(before) == expected
    assert extension.environment(expected) == expected


def test_environment_leaves_the_data_folders_alone() -> None:
    assert list(extension.environment({"nnUNet_raw": "/r", "nnUNet_results": "/s"})) == [
        "nnUNet_extTrainer"
    ]


def test_register_trainers_changes_the_process_once() -> None:
    os.environ["nnUNet_extTrainer"] = "/mine"
    extension.register_trainers()
    extension.register_trainers()
    assert os.environ["nnUNet_extTrainer"] == f"{OURS}{os.pathsep}/mine"


@each("value", ["/plain", "/with space", "/it's", '/a"b', "/$HOME", "/`id`", "/a;b", "/new\nline"])
def test_shell_exports_survive_the_shell(value: str) -> None:
    script = 'eval "$1"; printf %s "$nnUNet_extTrainer"'
    text = extension.shell_exports({"nnUNet_extTrainer": value})
    result = subprocess.run(
        ["sh", "-c", script, "sh", text], capture_output=True, text=True, check=True
    )
    assert result.stdout == value


def test_require_folders() -> None:
    os.environ["nnUNet_raw"] = "/somewhere"
    extension.require_folders("nnUNet_raw")
    with pytest.raises(
        NNUNetPromptError, match=r"nnUNet_results is not set: run `export nnUNet_results=FOLDER`"
    ):
        extension.require_folders("nnUNet_raw", "nnUNet_results")
    os.environ["nnUNet_raw"] = " "
    with pytest.raises(NNUNetPromptError, match="nnUNet_raw is not set"):
        extension.require_folders("nnUNet_raw")


def test_the_folder_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert extension.trainers_dir().is_absolute()
    assert extension.trainers_dir() == Path(OURS)
