"""`nnunet-prompt report` from its arguments to its exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunet_prompt.cli.main import build_parser, main
from nnunet_prompt.cli.report import command
from tests.helpers.each import each
from tests.report.small import Small, write_small

pytestmark = pytest.mark.slow  # a whole product


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return write_small(tmp_path)


def run(small: Small, *more: str) -> int:
    return main(["report", str(small.labels), str(small.masks), "-o", str(small.output), *more])


def test_it_writes_the_page_and_its_command(
    small: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(small, "-i", str(small.images), "--names", "500=LV,200=scar") == 0
    assert capsys.readouterr().out == f"wrote {small.output} (4 cases)\n"
    text = small.output.read_text(encoding="utf-8")
    assert f"nnunet-prompt report {small.labels} {small.masks} -o {small.output}" in text


def test_a_case_that_fails_is_reported_and_the_others_are_written(
    small: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    (small.masks / "c2.nii.gz").write_bytes(b"half")
    assert run(small) == 1
    found = capsys.readouterr()
    assert found.out == f"wrote {small.output} (3 cases); 1 case not scored\n"
    assert found.err.startswith("warning: c2: not scored: ") and found.err.count("\n") == 1
    assert small.output.is_file()


@each(
    "more, message",
    [
        (["--groups", "missing.csv"], "missing.csv: no such file or folder"),
        (["-p", "missing.json"], "missing.json: no such file or folder"),
        (["--names", "LV"], "names: expected value=name"),
    ],
)
def test_what_is_wrong_is_one_line(
    small: Small, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(small, *more) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_four_folders_are_too_many(small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "a", "b", "c", "d", "-o", "r.html"]) == 1
    assert "found 4 folders" in capsys.readouterr().err


def test_the_command_can_be_typed_again() -> None:
    line = ["report", "a b", "c", "-o", "r.html", "-i", "i", "--missing", "skip", "-np", "2"]
    words = command(build_parser().parse_args(line))
    assert words == "nnunet-prompt report 'a b' c -o r.html -i i -np 2 --missing skip"
