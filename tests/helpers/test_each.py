"""One test for many values leaves no value out, and no trace of one to the next."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from tests.helpers.each import Fakes, each


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "file").write_text("as it was")
    return tmp_path / "folder"


def run_over(values: list[Any], body: Callable[[Any], None], **fixtures: Any) -> None:
    def test(value: Any) -> None:
        body(value)

    each("value", values)(test)(**fixtures)


def test_every_value_that_fails_is_named() -> None:
    seen = []

    def body(value: int) -> None:
        seen.append(value)
        assert value % 2, f"{value} is even"

    with pytest.raises(AssertionError, match=r"2 of 4 values:\n2: .*even\n4: .*even") as error:
        run_over([1, 2, 3, 4], body)
    assert seen == [1, 2, 3, 4]
    assert isinstance(error.value.__cause__, AssertionError)


def test_an_exception_that_did_not_come_is_a_failure() -> None:
    def body(value: int) -> None:
        with pytest.raises(ValueError):
            pass

    with pytest.raises(AssertionError, match="1 of 1 values"):
        run_over([1], body)


def test_skipped_only_where_every_value_is() -> None:
    def body(value: int) -> None:
        if value:
            pytest.skip("not here")

    run_over([0, 1], body)
    with pytest.raises(pytest.skip.Exception):
        run_over([1, 1], body)
    with pytest.raises(pytest.skip.Exception):
        run_over([], body)


def test_several_make_a_product_and_have_names() -> None:
    seen = []

    @each("a", [1, 2], ids=["one", "two"])
    @each("b, c", [("x", "y"), pytest.param("z", "z", id="zs")])
    def test(a: int, b: str, c: str) -> None:
        seen.append((a, b, c))
        raise ValueError

    with pytest.raises(AssertionError, match="4 of 4") as error:
        test()
    assert seen == [(1, "x", "y"), (1, "z", "z"), (2, "x", "y"), (2, "z", "z")]
    assert "one-'x', 'y': ValueError" in str(error.value)
    assert "two-zs: ValueError" in str(error.value)


def test_a_mark_of_one_value_and_a_name_that_nobody_takes() -> None:
    with pytest.raises(AssertionError):
        run_over([pytest.param(1, marks=pytest.mark.slow)], lambda _: None)
    with pytest.raises(AssertionError):
        each("other", [1])(test_skipped_only_where_every_value_is)


@each("value", [1, 2])
def test_each_begins_where_the_first_began(
    value: int,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    fake: Fakes,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert capsys.readouterr().out == "" and "EACH" not in os.environ
    assert (folder / "file").read_text() == "as it was" and (folder / "deep").is_dir()
    assert not (folder / "new").exists() and os.sep == "/"
    assert not isinstance(os.path.join, Mock)
    (folder / "file").write_text("changed")
    (folder / "deep").rmdir()
    (folder / "new").touch()
    monkeypatch.setattr(os, "sep", "|")
    os.environ["EACH"] = fake("os.path.join", "")(value)
    print("said")


def test_what_fails_leaves_no_trace_either(tmp_path: Path) -> None:
    def body(value: int, tmp_path: Path) -> None:
        assert "EACH" not in os.environ and not list(tmp_path.iterdir())
        os.environ["EACH"] = "x"
        (tmp_path / "x").touch()
        raise ValueError(value)

    with pytest.raises(AssertionError, match="2: ValueError: 2\n3: ValueError: 3"):
        each("value", [2, 3])(body)(tmp_path=tmp_path)


@each("value", [1, 2, 3], fast=[2])
def test_few_where_all_take_too_long(value: int, of_which_value: list[int]) -> None:
    of_which_value.append(value)


@pytest.fixture
def of_which_value(request: pytest.FixtureRequest) -> Iterator[list[int]]:
    seen: list[int] = []
    yield seen
    slow = request.node.get_closest_marker("slow") is not None
    assert seen == ([1, 2, 3] if slow else [2])


class TestInAClass:
    @each("value", [1, 2])
    @pytest.mark.parametrize("other", [3, 4])
    def test_beside_cases(self, tmp_path: Path, value: int, other: int) -> None:
        assert list(tmp_path.iterdir()) == [] and value < other
        (tmp_path / "x").touch()
