"""Names of label values: given, or those of the data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.evaluation.names import NamesLike, read_names
from tests.helpers.each import each

OURS = {
    "labels": {"background": 0, "LV": 1, "scar": 2, "ignore": 3},
    "nnunet_prompt": {
        "structures": {
            "LV": {"label": 1, "members": [1], "official": 500},
            "scar": {"label": 2, "members": [2], "official": 2221},
        }
    },
}


def _write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


@each(
    "names",
    ["500=LV,200=myo wall", " 500 = LV , myo wall=200 ", {500: "LV", 200: "myo wall"}],
)
def test_names_of_the_caller(names: NamesLike, tmp_path: Path) -> None:
    found = read_names(names, tmp_path, tmp_path)
    assert found.of([200, 500, 7]) == {200: "myo wall", 500: "LV"}
    assert found.source is None and found.ignore is None


@each(
    "names",
    [
        "LV",
        "500=",
        "500=LV,500=RV",
        "500=LV,200=LV",
        "0=background",
        "LV=RV",
        "",
        {"500": "LV"},
        {500: 3},
        {True: "LV"},
        7,
        ["LV"],
    ],
)
def test_names_that_are_none(names: Any, tmp_path: Path) -> None:
    with pytest.raises(NNUNetPromptError, match=r"^names: ") as error:
        read_names(names, tmp_path, tmp_path)
    assert "\n" not in str(error.value)


@each("place", ["raw/labelsTr", "raw", "out"])
def test_names_of_the_data_set(place: str, tmp_path: Path) -> None:
    labels, predictions = tmp_path / "raw" / "labelsTr", tmp_path / "out"
    path = _write(tmp_path / place / "dataset.json", OURS)
    found = read_names(None, labels, predictions)
    assert found.source == path and found.ignore == 3
    assert found.of([1, 2]) == {1: "LV", 2: "scar"}
    assert found.of([500, 2221]) == {500: "LV", 2221: "scar"}  # as a challenge writes them


def test_no_data_set_no_names(tmp_path: Path) -> None:
    assert read_names(None, tmp_path / "a", tmp_path / "b").of([1]) == {}
    _write(tmp_path / "a" / "dataset.json", ["no data set"])  # found by chance: not an error
    assert read_names(None, tmp_path / "a", tmp_path / "b").of([1]) == {}


@each(
    ("labels", "known"),
    [
        ({"0": "background", "1": "LV"}, {1: "LV"}),  # the old form
        ({"background": 0, "LV": "1"}, {1: "LV"}),
        ({"background": 0, "whole": [1, 2], "core": [2]}, {2: "core"}),  # regions
    ],
)
def test_the_forms_of_nnunet(labels: Any, known: dict[int, str], tmp_path: Path) -> None:
    path = _write(tmp_path / "any.json", {"labels": labels})
    assert read_names(path, tmp_path, tmp_path).of([1, 2]) == known
    assert read_names(str(path), tmp_path, tmp_path).of([1, 2]) == known


def test_an_official_value_is_never_ignored(tmp_path: Path) -> None:
    content = json.loads(json.dumps(OURS).replace("2221", "3"))
    assert read_names(_write(tmp_path / "d.json", content), tmp_path, tmp_path).ignore is None


def test_a_file_of_names_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(NNUNetPromptError, match=r"gone\.json: not found; expected a dataset\.json"):
        read_names(tmp_path / "gone.json", tmp_path, tmp_path)
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(
        NNUNetPromptError, match=r"broken\.json: not readable as JSON .*expected a dataset\.json"
    ):
        read_names(broken, tmp_path, tmp_path)
    with pytest.raises(NNUNetPromptError, match=r"empty\.json: expected labels"):
        read_names(_write(tmp_path / "empty.json", {"labels": {}}), tmp_path, tmp_path)
