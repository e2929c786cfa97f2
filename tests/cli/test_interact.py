"""`nnunet-prompt interact`: what is typed reaches the run, and what comes back is printed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from nnunet_prompt.cli.interact import PROTOCOLS
from nnunet_prompt.cli.main import main
from nnunet_prompt.evaluation.interact import protocols
from nnunet_prompt.evaluation.interact.play import Play
from nnunet_prompt.evaluation.interact.summary import summarise

ROWS = [
    {"case": "a", "label": 5, "interaction": k, "dice": d, "hd95_mm": None, "nsd": d}
    for k, d in enumerate((0.5, 0.875))
]


def test_the_protocols_are_those_of_the_simulated_user() -> None:
    assert PROTOCOLS == protocols.PROTOCOLS == tuple(protocols.INTERACTIONS)


def test_what_is_typed_reaches_the_run(
    tmp_path: Path, fake: Callable[..., Mock], capsys: pytest.CaptureFixture[str]
) -> None:
    called = fake("nnunet_prompt.evaluation.interact.run.interact_folder", summarise(ROWS))
    typed = f"interact L -i I -o {tmp_path} -m M --protocol slices --seed 3 --values 5,7"
    assert main([*typed.split(), "--start", "automatic", "--feedback", "-device", "cpu"]) == 0
    given = called.call_args.kwargs
    assert called.call_args.args == (Path("L"), Path("I"), tmp_path)
    assert given["play"] == Play("slices", 5, 2.0, True, 3)
    assert given["start"] == "automatic" and given["values"] == (5, 7)
    assert given["options"].device == "cpu" and given["model"] == Path("M")
    first, *_ = capsys.readouterr().out.splitlines()
    assert first == (
        "label 5: Dice 0.500 0.875; area 0.688; to 0.85: 2.0 (0 of 1 never), to 0.90: – (1 of 1 never)"
    )
