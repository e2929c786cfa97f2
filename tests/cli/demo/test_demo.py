"""The demo's commands are ones that the command line knows, and a stage that is done is left alone."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from nnunet_prompt.cli import main as cli
from nnunet_prompt.cli.demo import demo
from nnunet_prompt.cli.demo.demo import Stage
from nnunet_prompt.common.errors import NNUNetPromptError, OutputError
from tests.helpers.each import each


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lets stages be lines of Python; collects that the demo came to its end."""
    seen: list[str] = []
    monkeypatch.setattr(demo, "_conclude", lambda *_: seen.append("end"))
    monkeypatch.setattr(demo, "_executable", lambda words: [sys.executable, "-c", *words])
    return seen


def _play(output: Path, monkeypatch: pytest.MonkeyPatch, **code: str) -> None:
    steps = [Stage(name, name, ("X=1", text)) for name, text in code.items()]
    monkeypatch.setattr(demo, "stages", lambda *_, **__: steps)
    demo.run_demo(output)


def _log(output: Path, name: str) -> str:
    return (output / "logs" / f"{name}.log").read_text()


def test_every_command_of_ours_can_be_parsed(tmp_path: Path) -> None:
    parser = cli.build_parser()
    steps = demo.stages(tmp_path / "my demo", seed=3)
    ours = [stage.command for stage in steps if stage.command[0] == "nnunet-prompt"]
    assert len(ours) == 11
    for command in ours:
        parser.parse_args(command[1:])
    assert len({stage.name for stage in steps}) == len(steps)


def test_the_folders_are_nnunets_and_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    variables = demo.demo_variables(Path("out"))
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        assert variables[name] == str(tmp_path.resolve() / "out" / name)


def test_programs_are_those_of_this_interpreter() -> None:
    assert demo._executable(("nnunet-prompt", "env"))[:3] == [sys.executable, "-m", "nnunet_prompt"]
    assert Path(demo._executable(("nnUNetv2_train", "1"))[0]).is_file()
    with pytest.raises(NNUNetPromptError, match="no such command"):
        demo._executable(("nnUNetv2_fly",))


def test_a_stage_runs_once_and_its_words_reach_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, played: list[str]
) -> None:
    code = "import os; print('X', os.environ['X'], os.environ['nnUNet_compile'])"
    _play(tmp_path, monkeypatch, a=code)
    assert _log(tmp_path, "a") == "X 1 f\n"
    (tmp_path / "logs" / "a.log").write_text("untouched")
    _play(tmp_path, monkeypatch, a=code)
    assert _log(tmp_path, "a") == "untouched"
    assert played == ["end", "end"]
    assert "X" not in os.environ


def test_what_follows_a_changed_stage_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, played: list[str]
) -> None:
    _play(tmp_path, monkeypatch, a="print(1)", b="print(2)", c="print(3)")
    for name in "abc":
        (tmp_path / "logs" / f"{name}.log").write_text("old")
    _play(tmp_path, monkeypatch, a="print(1)", b="print(4)", c="print(3)")
    assert [_log(tmp_path, name) for name in "abc"] == ["old", "4\n", "3\n"]


def test_a_failed_stage_stops_the_demo_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, played: list[str]
) -> None:
    with pytest.raises(
        NNUNetPromptError, match=r"failed: the reason \(its whole output is in .*b\.log\)"
    ):
        _play(tmp_path, monkeypatch, a="print(1)", b="print(2); exit('the reason')", c="print(3)")
    assert played == []
    assert not (tmp_path / "logs" / "c.log").exists()
    _play(tmp_path, monkeypatch, a="print(1)", b="print(2)", c="print(3)")
    assert played == ["end"]


def test_a_training_tells_how_far_it_is(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    played: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = ("nothing", "2026-11-28: epoch 1 of 2, about 3 s left", "train_loss 1")
    _play(tmp_path, monkeypatch, train=f"print(*{lines!r}, sep='\\n')")
    shown = capsys.readouterr().out.splitlines()
    assert "epoch 1 of 2, about 3 s left" in shown
    assert "nothing" not in shown and "train_loss 1" not in shown


@each("part", ["train", "test"])
def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, part: str) -> None:
    (tmp_path / part).mkdir()
    with pytest.raises(
        OutputError, match=rf"{part}: already exists, and not as part of a demo.* with -o"
    ):
        demo.run_demo(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / part]
