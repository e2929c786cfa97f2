from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest

from nnunet_prompt.cli.learn import KINDS
from nnunet_prompt.cli.main import build_parser, main
from nnunet_prompt.cli.options import predict_options
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.learn.options import GIVEN as KNOWN
from nnunet_prompt.learn.options import Learned, LearnOptions
from tests.helpers.each import each

LINE = "learn I L -m M -o NAME -device cpu"


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Mock:
    """Stands in for learning, which wrote 3000 bytes."""
    file = tmp_path / "NAME.pth"
    file.write_bytes(bytes(3000))
    made = Mock(
        return_value=Learned(file, "lora", ("a",), 20, 20, {"lora": (0.5, 0.7), "affine": (0.5,)})
    )
    monkeypatch.setattr("nnunet_prompt.learn.run.learn", made)
    return made


def test_the_options_arrive(call: Mock, capsys: pytest.CaptureFixture[str]) -> None:
    more = " --minutes 2 --iterations 20 --kind lora --seed 3 --names 1=a --c -f 1 -chk best.pth"
    assert main((LINE + more).split()) == 0
    call.assert_called_once_with(
        Path("I"),
        Path("L"),
        model=Path("M"),
        output=Path("NAME"),
        options=LearnOptions(2.0, 20, "lora", 3, "1=a", True),
        running=PredictOptions(device="cpu", folds=(1,), checkpoint="best.pth"),
    )
    printed = capsys.readouterr()
    assert printed.out == (
        f"wrote {call.return_value.file} (lora, 3 kB, 20 of 20 iterations)\n"
        "left-out Dice, lora: 0.600 (2 cases)\n"
        "left-out Dice, affine: 0.500 (1 case)\n"
    )
    assert f"--with {call.return_value.file}" in printed.err


def test_a_stopped_one_ends_as_ctrl_c_does(call: Mock, capsys: pytest.CaptureFixture[str]) -> None:
    call.return_value = Learned(call.return_value.file, "lora", ("a",), 5, 20, interrupted=True)
    assert main(LINE.split()) == 130
    printed = capsys.readouterr()
    assert "5 of 20 iterations" in printed.out and "with --c resumes" in printed.err


def test_vectors_are_not_trained_and_that_is_what_is_printed(
    call: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    file = call.return_value.file
    call.return_value = Learned(file, "vector", ("a",), 0, 0, dice={"vector": (0.5, 0.7)})
    assert main(LINE.split()) == 0
    printed = capsys.readouterr()
    assert f"wrote {file} (vector, " in printed.out and "iteration" not in printed.out
    assert "left-out Dice, vector: 0.600 (2 cases)\n" in printed.out


def test_the_kinds_are_those_of_the_library() -> None:
    assert KINDS == KNOWN


@each("verb", ["predict -i I -o O -m M", "submit -i I -o O -m M", "interact L -i I -o O -m M"])
def test_with_reaches_the_predictor(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("nnUNet_prompt_with", raising=False)
    words = verb.split()
    options = predict_options(build_parser(words).parse_args([*words, "--with", "NAME"]))
    assert options.adapter == Path("NAME")
    assert predict_options(build_parser(words).parse_args(words)).adapter is None
    monkeypatch.setenv("nnUNet_prompt_with", "there.pth")
    assert predict_options(build_parser(words).parse_args(words)).adapter == Path("there.pth")
