"""The side file of a raw data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunet_prompt.common.errors import DatasetError
from nnunet_prompt.data.side_file import patients_of, read_side_file, write_side_file
from tests.helpers.each import each


def test_what_is_written_is_read(tmp_path: Path) -> None:
    cases = {"a": {"patient": "p-1"}, "b": {"patient": "p-2", "centre": "A"}}
    write_side_file(tmp_path, cases)
    assert read_side_file(tmp_path) == cases
    assert patients_of(tmp_path) == {"a": "p-1", "b": "p-2"}


@each("text", ["{", "[]", '{"version": 1}', '{"version": 9, "cases": {}}'])
def test_a_side_file_in_another_form(tmp_path: Path, text: str) -> None:
    assert read_side_file(tmp_path) == {}
    (tmp_path / "nnunet_prompt_cases.json").write_text(text)
    with pytest.raises(DatasetError, match=r"nnunet_prompt_cases\.json"):
        read_side_file(tmp_path)
