"""Whatever a prompts.json holds: no traceback, no hang, and a mask for every image that can be read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.challenge.fuzz import (
    PROMPTS,
    SHAPE,
    answer,
    in_little_memory,
    use_babbler,
    watched,
    write_input,
)
from tests.helpers.each import each

NAMES = ["a_pred.nii.gz", "b_pred.nii.gz"]


@dataclass(frozen=True)
class Raw:
    """Text that stands in the file as it is."""

    text: str


class Pairs(list[Any]):
    """An object, as pairs of [key, value], so that a key may come twice."""


LITERALS = [
    *("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e-400", "9" * 4000, "-" + "9" * 5000),
    *("-0.0", "0.5", "1E6", "1000001", "2147483648", "01", "+1", ".5", "0x10", "1_000", "True"),
    *('"\\ud800"', '"\\u0000"', '"\\udfff\\n"', "'a'", "[", "{", "]", "}", "//", "\x00", ",", ""),
    *("[" * 3000, "{}" * 3, "[" * 400 + "]" * 400, '{"0":' * 300 + "1" + "}" * 300),
]
KEYS = [
    *("", "0", "00", "1", "-1", "1.0", " 1", "1 ", "2", "3", "99", "999999999", "9" * 30, "９"),
    *("500", "-500", "1e2", "NaN", "null", "a", "b", "a.nii.gz", "B", "a_LGE", "a/../b", "\n"),
    *("../../a", "/etc/passwd", "\x00", "\u202e", "a" * 5000, "__proto__", "twice", "é", "\ud800"),
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-10, 10)
    | st.integers()
    | st.floats(width=32)
    | st.text(max_size=8)
    | st.sampled_from(LITERALS).map(Raw)
)
KEY = st.sampled_from(KEYS) | st.text(max_size=6) | st.integers(-3, 3000).map(str)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=7)
        | st.lists(st.tuples(KEY, inner).map(list), max_size=4).map(Pairs)
    ),
    max_leaves=8,
)


def to_pairs(value: Any) -> Any:
    if isinstance(value, dict):
        return Pairs([key, to_pairs(entry)] for key, entry in value.items())
    return [to_pairs(entry) for entry in value] if isinstance(value, list) else value


def to_text(value: Any) -> str:
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, Pairs):
        return "{" + ", ".join(f"{json.dumps(k)}: {to_text(v)}" for k, v in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(to_text, value)) + "]"
    return json.dumps(value)


def places(value: Any) -> Iterator[tuple[list[Any], int]]:
    """Every entry of every list and object, as the container and the index in it."""
    if isinstance(value, list):
        for i, entry in enumerate(value):
            yield value, i
            yield from places(entry[1] if isinstance(value, Pairs) else entry)


def change(tree: list[Any], draw: Any) -> None:
    """Replaces, removes, doubles, moves or renames one entry."""
    found = list(places(tree))
    if not found:
        return
    container, i = draw(st.sampled_from(found))
    action = draw(st.sampled_from(["replace", "replace", "rename", "remove", "double", "move"]))
    if action == "replace" and isinstance(container, Pairs):
        container[i] = [container[i][0], draw(VALUES)]
    elif action == "replace":
        container[i] = draw(VALUES)
    elif action == "rename" and isinstance(container, Pairs):
        container[i] = [draw(KEY), container[i][1]]
    elif action == "double":
        container.insert(draw(st.integers(0, len(container))), container[i])
    elif action == "move":
        container.append(container.pop(i))
    else:
        del container[i]


ENCODINGS = ["utf-8"] * 12 + ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "utf-7", "cp500"]  # fmt: skip


@st.composite
def files(draw: Any) -> bytes:
    """The bytes of a prompts.json that was right before a few entries, and perhaps bytes, were changed."""
    tree = to_pairs(PROMPTS)
    for _ in range(draw(st.integers(0, 3))):
        change(tree, draw)
    data = to_text(tree).encode(draw(st.sampled_from(ENCODINGS)), "replace")
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        at = draw(st.integers(0, len(data)))
        cut = draw(st.sampled_from([0, 0, 1, 5, len(data)]))
        data = data[:at] + draw(st.binary(max_size=4)) + data[at + cut :]
    return data


def ids_in(data: bytes) -> set[int]:
    """Every whole number above 0 that stands where a label stands; none if the file is not JSON."""
    try:
        tree = [json.loads(data.decode("utf-8-sig"), object_pairs_hook=Pairs, parse_int=float)]
    except (ValueError, RecursionError):
        return set()
    for _ in range(2):  # into the cases, then into the slices
        tree = [entry for one in tree if isinstance(one, Pairs) for _, entry in one]
    keys = [key for one in tree if isinstance(one, Pairs) for key, _ in one]
    return {int(k) for k in keys if k.isascii() and k.isdecimal() and len(k) < 10} - {0}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("fuzz")
    write_input(folder / "input")
    with pytest.MonkeyPatch.context() as patch:
        use_babbler(patch)
        yield folder


def check(place: Path, data: bytes, *, seconds: float = 5) -> dict[str, Any]:
    """Runs one file; the masks."""
    (place / "input" / "prompts.json").write_bytes(data)
    for old in place.glob("output/*"):
        old.unlink()
    with watched(seconds):
        masks, said = answer(place / "input", place / "output")
    assert said == "" and list(masks) == NAMES
    allowed = ids_in(data)
    for mask in masks.values():
        assert mask.shape == SHAPE and mask.dtype.kind == "u"
        assert set(np.unique(mask).tolist()) <= {0, *allowed}
    return masks


LIMITS = settings(
    deadline=None,  # `watched` looks at the time
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.slow
def test_two_thousand_mutated_files(place: Path, capsys: Any, caplog: Any) -> None:
    @settings(LIMITS, max_examples=2000)
    @given(files())
    def fuzz(data: bytes) -> None:
        check(place, data)
        assert "Traceback" not in capsys.readouterr().err
        assert all(len(line) < 1000 for line in caplog.messages)
        caplog.clear()

    fuzz()


def test_the_file_that_they_are_made_from_is_right(place: Path, capsys: Any) -> None:
    a, b = check(place, to_text(to_pairs(PROMPTS)).encode()).values()
    assert set(np.unique(a)) == {0, 500, 2221} and set(np.unique(b)) == {0, 20}


def many_cases(megabytes: int) -> bytes:
    text = to_text(to_pairs(PROMPTS))[1:-1]
    one = ", ".join(f'"c%d{i}": {{"0": {{"500": [[1, 2, 3, 4], [[1, 2]]]}}}}' for i in range(50))
    count = megabytes * 2**20 // len(one)
    return (
        "{" + ", ".join([text, *(one.replace("%d", f"{n}-") for n in range(count))]) + "}"
    ).encode()


WHOLE = {
    "empty": b"",
    "only a mark": b"\xef\xbb\xbf",
    "null": b"null",
    "a list": b"[]",
    "nothing": b"{}",
    "zeros": bytes(1000),
    "open brackets": b"[" * 10**5,
    "deep lists": b"[" * 10**5 + b"]" * 10**5,
    "deep objects": b'{"a":' * 10**5 + b"1" + b"}" * 10**5,
    "deep in a case": b'{"a": {"1": {"500": ' + b"[" * 10**5 + b"]" * 10**5 + b"}}}",
    "a long number": b'{"a": {"1": {"500": [[' + b"1" * 10**6 + b", 0, 1, 1], []]}}}",
    "a long key": b'{"' + b"a" * 10**7 + b'": 1}',
    "many points": b'{"a": {"1": {"500": [null, [' + b"[1,1]," * 10**5 + b"[1,1]]]}}}",
    "many labels": b'{"a": {"1": {'
    + b",".join(b'"%d": [[0,0,2,2],[]]' % i for i in range(1, 10**4))
    + b"}}}",
    "many bad labels": b'{"a": {"1": {' + b",".join(b'"x%d": 1' % i for i in range(10**5)) + b"}}}",
    "many slices": b'{"a": {' + b",".join(b'"%d": null' % i for i in range(10**5)) + b"}}",
    "many times the same": b'{"a": {' + b",".join([b'"1": null'] * 10**5) + b"}}",
    "a pickle": b"\x80\x04cposix\nsystem\n(S'true'\ntR.",
}


@each("data", WHOLE.values(), fast=list(WHOLE.values())[::4])
def test_whole_files(place: Path, data: bytes, capsys: Any) -> None:
    check(place, data)
    assert "Traceback" not in capsys.readouterr().err


@each("kind", ["missing", "folder", "pipe", "dangling", "device"])
def test_what_is_no_file_stops_the_run_at_the_start(place: Path, kind: str) -> None:
    path = place / "input" / "prompts.json"
    path.unlink(missing_ok=True)
    try:
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "dangling":
            path.symlink_to("nowhere.json")
        elif kind == "device":
            path.symlink_to("/dev/zero")
        for old in place.glob("output/*"):
            old.unlink()
        with watched():
            masks, said = answer(place / "input", place / "output")
    finally:
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
    assert "prompts.json: cannot be read" in said and masks == {}


@pytest.mark.slow
def test_a_file_of_ten_megabytes(place: Path, capsys: Any) -> None:
    check(place, many_cases(10), seconds=100)  # 200,000 cases: hours, were there a loop in a loop


@pytest.mark.slow
@pytest.mark.parametrize("one", [b"{},", b"[],", b"0,"])
def test_a_file_that_grows_in_memory(tmp_path: Path, one: bytes) -> None:
    prompts = write_input(tmp_path / "input") / "prompts.json"
    prompts.write_bytes(b'{"a": [' + one * (16 * 2**20 // len(one)) + b"0]}")
    assert in_little_memory(tmp_path, 1) == NAMES


@pytest.mark.slow
def test_a_file_of_gigabytes(tmp_path: Path) -> None:
    with (write_input(tmp_path / "input") / "prompts.json").open("r+b") as file:
        file.truncate(2**40)  # takes no room on the disk
    with pytest.MonkeyPatch.context() as patch, watched():
        use_babbler(patch)
        masks, said = answer(tmp_path / "input", tmp_path / "output")
    assert said == "" and list(masks) == NAMES
