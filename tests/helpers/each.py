"""One test for many values that check the same thing: it costs one test, and names every value that fails."""

from __future__ import annotations

import functools
import importlib
import inspect
import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock, create_autospec

import pytest

Rows = list[tuple[str, dict[str, Any]]]
Test = Callable[..., None]


def each(
    names: str | Sequence[str],
    values: Iterable[Any],
    *,
    ids: Any = None,
    fast: Iterable[Any] | None = None,
) -> Any:
    """Runs a test once per value; written like `pytest.mark.parametrize`, and several of them make a product.

    Every value gets the fixtures as the first one got them: files below `tmp_path`, the environment, `monkeypatch`,
    `fake`, mocks and what was printed. What else a fixture keeps in memory is shared; a test that changes it, or
    that needs marks of single values, is parametrised. All values are tried; the test fails with those that failed.

    `fast` are the values of the fast tests, where all of them would take too long: all of them are a slow test then.
    """
    split = [n.strip() for n in names.split(",")] if isinstance(names, str) else list(names)
    rows = [row(split, value, n, ids) for n, value in enumerate(values)]

    def decorate(test: Test) -> Test:
        if fast is not None:
            assert not hasattr(test, "each"), "the fast values of a product are those of one each()"
            few = [row(split, value, n, ids) for n, value in enumerate(fast)]
            return of_which(looped(test, test, rows, few))
        inner: tuple[Test, Rows] = getattr(test, "each", (test, [("", {})]))
        product = [
            (f"{a}-{b}".strip("-"), more | one)
            for (a, one), (b, more) in itertools.product(rows, inner[1])
        ]
        return looped(test, inner[0], product)

    return decorate


of_which: Callable[[Test], Test] = pytest.mark.parametrize(
    "of_which", ["few", pytest.param("all", marks=pytest.mark.slow)]
)


def row(names: Sequence[str], value: Any, number: int, ids: Any) -> tuple[str, dict[str, Any]]:
    """The name of a value and the arguments that it stands for."""
    single = (value,) if len(names) == 1 else value
    label = None
    if hasattr(value, "marks"):  # a pytest.param
        assert not value.marks, "a value with marks of its own is a case of its own"
        single, label = value.values, value.id
    if label is None and ids is not None:
        label = ids(value) if callable(ids) else ids[number]
    return label or ", ".join(short(v) for v in single), dict(zip(names, single, strict=True))


def short(value: Any) -> str:
    text = getattr(value, "__name__", None) or repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


def looped(outer: Test, test: Test, rows: Rows, few: Rows | None = None) -> Test:
    signature = inspect.signature(test)
    given = set(rows[0][1]) if rows else set()
    assert given <= set(signature.parameters), f"{test.__name__} does not take all of {given}"
    left = [p for name, p in signature.parameters.items() if name not in given]
    wants_folder = "tmp_path" in signature.parameters
    if not wants_folder and {p.name for p in left} - {"self"}:  # a fixture may have files there
        left.append(inspect.Parameter("tmp_path", inspect.Parameter.KEYWORD_ONLY))
    if few is not None:
        left.append(inspect.Parameter("of_which", inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(outer)
    def run(*args: Any, of_which: str = "all", **fixtures: Any) -> None:
        def one(arguments: dict[str, Any]) -> None:
            with afresh(fixtures) as fresh:
                if not wants_folder:
                    fresh.pop("tmp_path", None)
                test(*args, **fresh, **arguments)

        run_all(one, few if few is not None and of_which == "few" else rows)

    run.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
    run.each = (test, rows)  # type: ignore[attr-defined]
    return run


def run_all(one: Callable[[dict[str, Any]], None], rows: Rows) -> None:
    """Runs a test with every row and fails with all that failed; it is skipped if all were."""
    failed: list[tuple[str, BaseException]] = []
    skipped = 0
    for label, arguments in rows:
        try:
            one(arguments)
        except pytest.skip.Exception:
            skipped += 1
        except (Exception, pytest.fail.Exception) as error:
            failed.append((label, error))
    if failed:
        lines = [f"{name}: {type(e).__name__}: {first_line(e)}" for name, e in failed]
        told = f"{len(failed)} of {len(rows)} values:\n" + "\n".join(lines)
        raise AssertionError(told) from failed[0][1]
    if skipped == len(rows):
        pytest.skip("every value was skipped" if rows else "no values")


@contextmanager
def afresh(fixtures: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The fixtures as they are now; afterwards what a test did to them is undone."""
    with ExitStack() as stack:
        stack.enter_context(same_environment())
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        if "tmp_path" in fixtures:
            stack.enter_context(same_files(fixtures["tmp_path"]))
        fresh = dict(fixtures)
        for name, value in fixtures.items():
            if isinstance(value, pytest.MonkeyPatch):
                fresh[name] = patch
            elif isinstance(value, Fakes):
                fresh[name] = Fakes(patch)
            elif isinstance(value, Mock):
                value.reset_mock()
            elif isinstance(value, pytest.CaptureFixture):
                value.readouterr()
            elif isinstance(value, pytest.LogCaptureFixture):
                value.clear()
        yield fresh


@contextmanager
def same_environment() -> Iterator[None]:
    saved = dict(os.environ)
    try:
        yield
    finally:
        if dict(os.environ) != saved:
            os.environ.clear()
            os.environ.update(saved)


@contextmanager
def same_files(folder: Path) -> Iterator[None]:
    """Brings a folder back to what is in it now."""
    kept = folder.with_name(f"{folder.name}-as-it-was")
    full = any(folder.iterdir())
    if full:
        shutil.copytree(folder, kept, symlinks=True)
    try:
        yield
    finally:
        shutil.rmtree(folder)
        if full:
            kept.rename(folder)
        else:
            folder.mkdir()


class Fakes:
    """Replaces a public function by one that only remembers its call, and accepts only what the real one accepts."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch

    def __call__(self, where: str, result: Any = None) -> Mock:
        module, name = where.rsplit(".", 1)
        real = getattr(importlib.import_module(module), name)
        mock: Mock = create_autospec(real, return_value=result)
        self.patch.setattr(where, mock)
        return mock
