"""Each action of `weights` calls one public function with what was typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from nnunet_prompt.cli import main as cli
from nnunet_prompt.cli.weights import ACTIONS
from nnunet_prompt.networks.provenance import Origin
from nnunet_prompt.weights.report import AdaptReport, Entry
from nnunet_prompt.weights.source_model import SourceModel
from nnunet_prompt.weights.source_table import SOURCES, known_source
from tests.helpers.each import each


def run(line: str) -> int:
    return cli.main(line.split())


@each("action", list(ACTIONS))
def test_every_action_has_help(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        run(f"weights {action} --help")
    assert f"nnunet-prompt weights {action}" in capsys.readouterr().out


@each(
    "line",
    [
        "weights",
        "weights eat",
        "weights adapt a -d 0 -o b",
        "weights adapt a -d 1",
        "weights fetch",
    ],
)
def test_misuse_is_exit_code_2(line: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(line)


def report() -> AdaptReport:
    source = SourceModel(
        path=Path("a.pth"),
        family="nnunet",
        trainer="nnUNetTrainer",
        weights={},
        origins=(Origin("a.pth", "nnunet", "CC BY 4.0"),),
    )
    entries = (Entry("encoder.x", "copied", (2,)), Entry("heads.0.weight", "new", (1, 2), "fresh"))
    return AdaptReport(source, "nnUNetPlans", entries, ("another spacing",))


def test_adapt(fake: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from nnunet_prompt.weights.adapt import AdaptOptions

    call = fake("nnunet_prompt.weights.adapt.adapt_checkpoint", report())
    assert run(f"weights adapt a.pth -d 4 -o s.pth --report {tmp_path / 'r.json'}") == 0
    call.assert_called_once_with(Path("a.pth"), 4, Path("s.pth"), options=AdaptOptions())
    text = capsys.readouterr().out
    assert "heads.0.weight" in text and "encoder.x" not in text
    assert "1 copied, 0 widened, 1 new, 0 unused" in text
    assert "note: another spacing\n" in text
    assert "binds what is made from them: CC BY 4.0\n" in text
    assert text.endswith("wrote s.pth: train with -pretrained_weights s.pth\n")
    assert (tmp_path / "r.json").is_file()


def test_adapt_with_everything(fake: Any) -> None:
    from nnunet_prompt.weights.adapt import AdaptOptions

    call = fake("nnunet_prompt.weights.adapt.adapt_checkpoint", report())
    assert run("weights adapt a -d 4 -p P -c 2d -o s.pth --licence mine --stem 035") == 0
    call.assert_called_once_with(
        Path("a"), 4, Path("s.pth"), options=AdaptOptions("P", "2d", "035", "mine")
    )


def test_plan(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from nnunet_prompt.weights.source_plan import SourcePlanOptions

    call = fake("nnunet_prompt.weights.source_plan.write_source_plans", Path("x/theirs.json"))
    assert run("weights plan a.pth -d 4 -o theirs --batch-size 3") == 0
    call.assert_called_once_with(
        Path("a.pth"), 4, options=SourcePlanOptions(name="theirs", batch_size=3)
    )
    assert capsys.readouterr().out == (
        "wrote x/theirs.json: next, nnUNetv2_preprocess -d 4 -plans_name theirs -c 3d_fullres\n"
    )


@each(("flag", "tensors"), [("", True), (" --no-tensors", False)])
def test_inspect(fake: Any, flag: str, tensors: bool) -> None:
    call = fake("nnunet_prompt.weights.inspect.print_checkpoint")
    assert run(f"weights inspect a.pth{flag}") == 0
    ((path, console), said) = call.call_args
    assert path == Path("a.pth") and isinstance(console, Console) and said == {"tensors": tensors}


def test_list(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run("weights list") == 0
    text = capsys.readouterr().out
    assert all(source.name in text for source in SOURCES)


def test_fetch(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    call = fake("nnunet_prompt.weights.fetch.fetch", Path("w/openmind-mae"))
    assert run("weights fetch openmind-mae -o w") == 0
    call.assert_called_once_with(known_source("openmind-mae"), Path("w"))
    assert capsys.readouterr().out == "wrote w/openmind-mae; licence: CC BY 4.0\n"


def test_an_unknown_source_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("weights fetch sam") == 1
    assert "no known source 'sam'" in capsys.readouterr().err
