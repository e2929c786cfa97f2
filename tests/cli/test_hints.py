"""The command that comes next, at every stop, on stderr; stdout has the results alone."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from nnunet_prompt.cli import main as cli
from nnunet_prompt.cli.hints import next_command, note
from tests.helpers.each import each

PLAN = "nnUNetv2_plan_and_preprocess -d 7 -c 3d_fullres"


def run(line: str) -> int:
    return cli.main(line.split())


def test_words_are_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    next_command("nnunet-prompt", "predict", "-i", Path("my images"))
    note("chosen: this")
    assert capsys.readouterr().err == (
        "next: nnunet-prompt predict -i 'my images'\nnnunet-prompt: chosen: this\n"
    )


@each(
    ("line", "function", "result", "following"),
    [
        ("convert nnunet S -d 7", "nnunet_prompt.dataset_conversion.nnunet_raw.convert", "F", PLAN),
        ("convert msd S -d 7", "nnunet_prompt.dataset_conversion.msd.convert", "F", PLAN),
        ("convert whs S -d 7", "nnunet_prompt.dataset_conversion.care.whs.convert", "F", PLAN),
        ("convert unify S -d 7", "nnunet_prompt.dataset_conversion.care.unify.unify", "F", PLAN),
        (
            "phantom heart -o F",
            "nnunet_prompt.phantom.heart.write_phantoms",
            None,
            "nnunet-prompt convert phantom F -d ID",
        ),
        (
            "plan -d 7",
            "nnunet_prompt.data.plans.reduce_plans",
            Path("p/small.json"),
            "nnunet-prompt train 7 3d_fullres 0 -tr nnUNetTrainerPromptCPU -p small",
        ),
        (
            "plan -d 7 --no-resampling",
            "nnunet_prompt.data.plans.no_resampling_plans",
            Path("p/voxels.json"),
            "nnUNetv2_preprocess -d 7 -plans_name voxels -c 3d_fullres",
        ),
        (
            "predict -i I -o O -m M",
            "nnunet_prompt.inference.predict_folder.predict_folder",
            SimpleNamespace(written=1, kept=0),
            "nnunet-prompt evaluate LABELS O -o metrics.json",
        ),
        (
            "simulate L -o P",
            "nnunet_prompt.challenge.simulate.simulate_prompts_json",
            None,
            "nnunet-prompt predict -i IMAGES -p P -o MASKS -m MODEL",
        ),
        (
            "submit -i I -o O -m M",
            "nnunet_prompt.challenge.submit.submit",
            0,
            "nnunet-prompt submit -i I --check O",
        ),
    ],
)
def test_the_next_command(
    line: str,
    function: str,
    result: Any,
    following: str,
    fake: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake(function, result)
    assert run(line) == 0
    seen = capsys.readouterr()
    assert seen.err.splitlines()[-1] == f"next: {following}"
    assert "next:" not in seen.out


def test_what_unify_has_planned_is_to_be_preprocessed(
    fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    os.environ["nnUNet_preprocessed"] = "/p"
    fake("nnunet_prompt.dataset_conversion.care.unify.unify", Path("F"))
    assert run("convert unify S -d 7") == 0
    assert capsys.readouterr().err == (
        "next: nnUNetv2_preprocess -d 7 -plans_name nnUNetPlans -c 3d_fullres\n"
    )


def test_nobody_types_in_a_container(
    fake: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    os.environ["nnUNet_prompt_input"] = str(tmp_path)
    fake("nnunet_prompt.challenge.submit.submit", 0)
    assert run("submit -o O -m M") == 0
    assert "next:" not in capsys.readouterr().err


def test_an_inspection_and_a_failure_have_no_next_command(
    fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fake("nnunet_prompt.dataset_conversion.care.command_line.run_inspection", 1)
    assert run("convert whs S --inspect F") == 1
    assert run("convert msd nowhere -d 7") == 1
    assert "next:" not in capsys.readouterr().err


def test_predict_says_at_once_what_it_does(
    fake: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before: list[str] = []
    call: Mock = fake(
        "nnunet_prompt.inference.predict_folder.predict_folder", SimpleNamespace(written=1, kept=0)
    )
    call.side_effect = lambda *_, **__: before.append(capsys.readouterr().err) or call.return_value
    assert run("predict -i I -o O -m M") == 0
    assert before == ["nnunet-prompt: loading M\n"]
