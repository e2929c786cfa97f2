"""One reader and one writer of JSON files."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunet_prompt.common.errors import DatasetError, ModelError, OutputError
from nnunet_prompt.io.json_file import read_json, read_object, write_json
from tests.helpers.each import each


def test_an_object_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes('{"Größe": [1, null]}'.encode())
    assert read_object(path, ModelError) == {"Größe": [1, None]}
    path.write_bytes("\ufeff{}".encode())
    assert read_object(path, ModelError, encoding="utf-8-sig") == {}
    path.write_text("[]")
    assert read_json(path, ModelError) == []


def test_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(ModelError) as plain:
        read_object(path, ModelError, way_out="; plan again")
    assert str(plain.value) == f"{path}: cannot be read: No such file or directory"
    with pytest.raises(DatasetError) as helped:
        read_object(path, DatasetError, missing="plan first")
    assert str(helped.value) == f"{path}: not found; plan first"
    with pytest.raises(DatasetError, match=r"cannot be read: Is a directory$"):
        read_object(tmp_path, DatasetError, missing="plan first")


@each(
    ("content", "message"),
    [
        (b"", "not readable as JSON (Expecting value: line 1 column 1 (char 0))"),
        (b"{", "not readable as JSON (Expecting property name"),
        (b"\xff", "not readable as JSON ('utf-8' codec can't decode byte 0xff"),
        (b"[" * 100_000, "not readable as JSON ("),
        (b"[1]", "expected a JSON object, found list"),
        (b"null", "expected a JSON object, found NoneType"),
    ],
)
def test_what_is_no_object_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(DatasetError) as error:
        read_object(path, DatasetError, way_out="; plan again")
    said = str(error.value)
    assert said.startswith(f"{path}: {message}") and said.endswith("; plan again")
    assert "\n" not in said


def test_writing(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"é": [1]})
    assert path.read_text() == '{\n  "\\u00e9": [\n    1\n  ]\n}\n'
    write_json(path, [1], indent=4)
    assert path.read_text() == "[\n    1\n]\n"
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, float("nan"), allow_nan=False)
    assert path.read_text() == "[\n    1\n]\n" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(OutputError, match="cannot be written: No such file"):
        write_json(tmp_path / "none" / "a.json", {})
