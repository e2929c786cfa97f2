from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nnunet_prompt.challenge.forms.sockets import (
    InputSocket,
    NamedLabel,
    OutputSocket,
    Sockets,
    check_below,
    default_sockets,
    read_sockets,
    sockets_for,
)
from nnunet_prompt.common.errors import DatasetError, NNUNetPromptError
from tests.helpers.each import each
from tests.helpers.schemas import check_form
from website import formats

pytestmark = pytest.mark.slow

INPUTS = {"ct": {"role": "image"}}
OUTPUTS: dict[str, Any] = {"mask": {}}


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


@each("form", ["grand-challenge", "autopet"])
def test_defaults_come_with_the_package(form: str) -> None:
    sockets = default_sockets(form)
    check_form("sockets", sockets.model_dump(mode="json", exclude_defaults=True))
    assert "image" in {one.role for one in sockets.inputs.values()}
    assert sockets.inputs["lesion-clicks"].names["background"].positive is False


def test_the_schema_lists_every_key() -> None:
    schema = json.loads(formats.schemas()["sockets.schema.json"])
    one = schema["properties"]["inputs"]["additionalProperties"]["properties"]
    out = schema["properties"]["outputs"]["additionalProperties"]["properties"]
    label = one["names"]["additionalProperties"]["anyOf"][1]["properties"]
    found = (schema["properties"], one, out, label)
    for model, keys in zip((Sockets, InputSocket, OutputSocket, NamedLabel), found, strict=True):
        assert set(model.model_fields) == set(keys)


def test_what_is_given_wins_over_the_models_and_that_over_the_defaults(tmp_path: Path) -> None:
    assert sockets_for("autopet", None, (tmp_path,)) == default_sockets("autopet")
    write(tmp_path / "sockets.json", {"inputs": INPUTS, "outputs": OUTPUTS})
    assert set(sockets_for("autopet", None, (tmp_path,)).inputs) == {"ct"}
    given = write(tmp_path / "g.json", {"inputs": {"mr": {"role": "image"}}, "outputs": OUTPUTS})
    assert set(sockets_for("autopet", given, (tmp_path,)).inputs) == {"mr"}


def test_where_a_mask_goes() -> None:
    assert str(OutputSocket().target("heart", "7f")) == "images/heart/output.mha"
    named = OutputSocket(path="a/b", file="{image}.nii.gz")
    assert str(named.target("heart", "7f")) == "a/b/7f.nii.gz"


def test_structures_are_those_of_all_outputs_or_all(tmp_path: Path) -> None:
    two = {"a": {"structures": ["LV", "scar"]}, "b": {"structures": ["scar"]}}
    path = tmp_path / "s.json"
    assert read_sockets(write(path, {"inputs": INPUTS, "outputs": two})).structures == (
        "LV",
        "scar",
    )
    all_ = {"inputs": INPUTS, "outputs": {**two, "c": {}}}
    assert read_sockets(write(path, all_)).structures == ()


@each(
    ("content", "line"),
    [
        ([], "expected a JSON object, found list"),
        ({"outputs": OUTPUTS}, "inputs: Field required"),
        ({"inputs": {}, "outputs": OUTPUTS}, "inputs: Dictionary should have at least 1 item"),
        ({"inputs": {"ct": {"role": "picture"}}, "outputs": OUTPUTS}, "inputs.ct.role: .*'picture'"),
        ({"inputs": {"ct": {"role": "image", "chanel": 1}}, "outputs": OUTPUTS}, "inputs.ct.chanel"),
        ({"inputs": INPUTS, "outputs": {"m": {"file": "mask.png"}}}, "file: expected a name that ends"),
        ({"inputs": INPUTS, "outputs": {"m": {"path": "/etc"}}}, "expected a path below the folder"),
        ({"inputs": INPUTS, "outputs": {"m": {"values": {"LV": 0}}}}, "outputs.m.values.LV"),
        ({"version": 2, "inputs": INPUTS, "outputs": OUTPUTS}, "version: .*found 2"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_line(tmp_path: Path, content: Any, line: str) -> None:
    with pytest.raises(DatasetError, match=line) as caught:
        read_sockets(write(tmp_path / "s.json", content))
    assert "\n" not in str(caught.value) and str(tmp_path / "s.json") in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"s.json: not found; give a sockets file"):
        read_sockets(tmp_path / "s.json")


@each("path", ["", "/a", "..", "a/../../b", "a\0"])
def test_paths_stay_below_their_folder(path: str) -> None:
    with pytest.raises(NNUNetPromptError, match="expected a path below the folder"):
        check_below(path)
