from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest

from nnunet_prompt.challenge.check import Checked
from nnunet_prompt.cli.main import main
from nnunet_prompt.prompt_files.prompts_json_convention import GivenConvention
from tests.helpers.each import each


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Stands in for the check; no folder is named by the environment."""
    for name in ("input", "output", "model"):
        monkeypatch.delenv(f"nnUNet_prompt_{name}", raising=False)
    made = Mock(return_value=Checked(2, ()))
    monkeypatch.setattr("nnunet_prompt.challenge.check.check_output", made)
    return made


def test_a_folder_in_order_needs_neither_model_nor_output(
    call: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main("submit -i in --check out --order yx --base 1 --inclusive no".split()) == 0
    call.assert_called_once_with(Path("in"), Path("out"), given=GivenConvention("yx", 1, False))
    assert capsys.readouterr().out == "out: 2 masks expected, all in order\n"


def test_problems_are_lines_and_exit_code_1(call: Mock, capsys: pytest.CaptureFixture[str]) -> None:
    call.return_value = Checked(1, ("a: is missing", "b: is odd"), ("taken as order xy",))
    assert main("submit -i in --check out".split()) == 1
    printed = capsys.readouterr()
    assert printed.out == "a: is missing\nb: is odd\nout: 1 mask expected, 2 problems\n"
    assert printed.err == "warning: taken as order xy\n"
    call.return_value = Checked(1, ("a: is missing",))
    assert main("submit -i in --check out".split()) == 1
    assert capsys.readouterr().out == "a: is missing\nout: 1 mask expected, 1 problem\n"


@each("line", ["submit --check out", "submit -i in", "submit -i in -o out"])
def test_a_run_still_needs_them_and_a_check_its_input(
    call: Mock, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main("submit -i in --check out".split())  # which changes nothing for later
    with pytest.raises(SystemExit) as stop:
        main(line.split())
    assert stop.value.code == 2
    assert "required: -" in capsys.readouterr().err


def test_an_input_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", "-i", str(tmp_path), "--check", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"nnunet-prompt: error: {tmp_path}/images: no such folder; it must hold the images\n"
    )


def test_a_report_is_of_a_run(call: Mock, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("submit -i in --check out --report r.json".split()) == 1
    assert "--report: reports on a run, and --check runs nothing" in capsys.readouterr().err
    call.assert_not_called()


@each(
    ("form", "call"),
    [
        ("grand-challenge", "grand_challenge.submit_grand_challenge"),
        ("autopet", "autopet.submit_autopet"),
        ("cvpr", "cvpr.submit_cvpr"),
    ],
)
def test_the_form_chooses_what_runs(
    form: str, call: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from nnunet_prompt.challenge.forms.grand_challenge import Folders

    for name in ("input", "output", "model", "form", "state"):
        monkeypatch.delenv(f"nnUNet_prompt_{name}", raising=False)
    made = Mock(return_value=1)
    monkeypatch.setattr(f"nnunet_prompt.challenge.forms.{call}", made)
    more = [] if form == "cvpr" else ["--state", "s", "--sockets", "j"]
    words = ["submit", "-i", "a", "-o", "b", "-m", "c", "--strict", "--base", "1", *more]
    monkeypatch.setenv("nnUNet_prompt_form", form)
    assert main(words) == 0
    given = [Path("j"), Path("s")] if more else [None, None]
    (folders,), options = made.call_args
    assert folders == Folders(Path("a"), Path("b"), Path("c"), *given)
    assert options["submission"].strict and options["submission"].convention.base == 1
    assert capsys.readouterr().out == "wrote the masks to b; 1 case degraded, see the warnings\n"


def test_a_form_of_the_environment_that_there_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("nnUNet_prompt_form", "kaggle")
    assert main("submit -i a -o b -m c".split()) == 1
    assert "nnUNet_prompt_form: expected one of care, grand-challenge, autopet, cvpr" in (
        capsys.readouterr().err
    )
