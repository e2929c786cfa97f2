"""`nnunet-prompt leaderboard`: what is typed reaches the ranking, and what comes back is printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.cli.leaderboard import SCHEMES
from nnunet_prompt.cli.main import main
from nnunet_prompt.evaluation.ranking import options
from nnunet_prompt.evaluation.ranking.board import rank_evaluations
from nnunet_prompt.evaluation.ranking.options import RankOptions
from nnunet_prompt.evaluation.ranking.teams import EvaluationOptions
from tests.evaluation.ranking.scored import evaluation
from tests.helpers.each import each

pytestmark = pytest.mark.slow  # a whole product


def test_the_schemes_are_those_of_the_ranking() -> None:
    assert SCHEMES == options.SCHEMES


def test_what_is_typed_reaches_the_ranking(
    tmp_path: Path, fake: Callable[..., Mock], capsys: pytest.CaptureFixture[str]
) -> None:
    board = rank_evaluations({"A": evaluation({"x": {5: (0.5, 2.0)}})})
    called = fake("nnunet_prompt.evaluation.ranking.leaderboard.leaderboard", board)
    typed = (
        f"leaderboard L A=a B=b=c -o {tmp_path} --scheme tfm4media --groups g.csv --seen A,whs:B"
        " --unseen C --weights dice=0.8,time=0.2 --times A:3 t.csv --samples 50 --seed 4 --names 5=LV"
        " --values 5,7 --processes 3 --no-published"
    )
    assert main(typed.split()) == 0
    assert called.call_args.args == (Path("L"), {"A": Path("a"), "B": Path("b=c")}, tmp_path)
    assert called.call_args.kwargs == {
        "groups": Path("g.csv"),
        "times": ["A:3", "t.csv"],
        "evaluation": EvaluationOptions((5, 7), "5=LV", 3),
        "options": RankOptions(
            "tfm4media",
            {"dice": 0.8, "time": 0.2},
            ("A", "whs:B"),
            ("C",),
            samples=50,
            seed=4,
            published=False,
        ),
    }
    printed = capsys.readouterr().out
    assert "label 5" in printed and "general: 1 cases" in printed
    assert printed.splitlines()[-1] == (
        f"wrote {tmp_path / 'leaderboard.json'} and {tmp_path / 'leaderboard.csv'}"
    )


@each(
    "more",
    [
        "A",
        "=a",
        "A=",
        "A=a --weights dice",
        "A=a --weights dice=x",
        "A=a --weights dice=1,dice=2",
        "A=a --weights dice=-1",
        "A=a --scheme none",
        "A=a --samples 0",
        "A=a --seen A,,B",
        "",
    ],
)
def test_misuse_is_exit_code_2(more: str) -> None:
    with pytest.raises(SystemExit) as end:
        main(["leaderboard", "L", *more.split(), "-o", "out"])
    assert end.value.code == 2


def _save(path: Path, length: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros((8, 4, 4), np.uint16)
    array[1 : 1 + length, 1:3, 1:3] = 1
    nib.save(nib.Nifti1Image(array, np.eye(4)), path)


def test_from_folders_to_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k in range(2):
        _save(tmp_path / "labels" / f"c{k}.nii.gz", 5)
        _save(tmp_path / "a" / f"c{k}.nii.gz", 4)
        _save(tmp_path / "b" / f"c{k}.nii.gz", 5)
    labels, out = str(tmp_path / "labels"), tmp_path / "out"
    teams = [f"{team}={tmp_path / team}" for team in "ab"]
    options = ["-o", str(out), "--processes", "1", "--samples", "10"]
    assert main(["leaderboard", labels, *teams, *options]) == 0
    found = json.loads((out / "leaderboard.json").read_text())
    assert [row["team"] for row in found["teams"]] == ["b", "a"]
    capsys.readouterr()

    wrong = f"c={tmp_path / 'nowhere'}"
    assert main(["leaderboard", labels, *teams, wrong, *options]) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1].endswith("; not ranked: c")
    assert "warning: c: not ranked:" in captured.err

    assert main(["leaderboard", labels, wrong, *options]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("nnunet-prompt: error: team c: ")
    assert main(["leaderboard", labels, teams[0], teams[0], *options]) == 1
    assert "give each team its own name" in capsys.readouterr().err
