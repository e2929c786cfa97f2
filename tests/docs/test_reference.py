"""The pages that the build makes: verbs, API, file formats and results; a thing without a description ends it."""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import nibabel as nib
import numpy as np
import pytest

import nnunet_prompt
from nnunet_prompt.cli.main import VERBS, build_parser
from nnunet_prompt.data.structures import Structure, StructureTable
from nnunet_prompt.evaluation.ranking.leaderboard import leaderboard
from nnunet_prompt.networks.capability import Capability, capability_to_json

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.helpers.schemas import check_form  # noqa: E402
from website import api, formats, json_files, notebook, results, undocumented, verbs  # noqa: E402

PROMPTS_PAGE = (ROOT / "docs" / "prompts.md").read_text("utf-8")


def test_every_verb_and_each_of_its_options_has_a_row() -> None:
    page = verbs.verbs_page(build_parser())
    for name in VERBS:
        assert f"## {name} {{#{name}}}" in page
    assert "| `-p PROMPTS` |" in page and "### weights adapt {#weights-adapt}" in page
    assert "<" not in re.sub(r"`[^`]*`|\\<|```.*?```", "", page, flags=re.S)


def test_an_option_without_help_ends_the_build() -> None:
    parser = build_parser()
    (subs,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    subs.choices["predict"].add_argument("--silent", action="store_true")
    with pytest.raises(undocumented.Undocumented, match="predict: --silent has no help text"):
        verbs.verbs_page(parser)


def test_a_verb_without_summary_ends_the_build() -> None:
    parser = build_parser()
    (subs,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    subs.add_parser("silent")
    with pytest.raises(undocumented.Undocumented, match="silent: the verb has no summary"):
        verbs.verbs_page(parser)


def test_help_is_shown_as_it_is_written() -> None:
    assert verbs.plain("a <b>__c__ *d* `e|<f>`") == r"a \<b\>\_\_c\_\_ \*d\* `e\|<f>`"


def test_every_public_name_has_an_entry() -> None:
    page = api.api_page()
    for name in set(nnunet_prompt.__all__) - {"__version__"}:
        assert f"## {name} {{#{name}}}" in page
    assert "### PromptSession.add_point {#PromptSession.add_point}" in page


def test_a_public_name_without_docstring_ends_the_build() -> None:
    class Silent(ValueError):
        pass

    with pytest.raises(undocumented.Undocumented, match="Silent"):
        api.described("Silent", Silent)


def validator(name: str) -> Any:
    schema = json.loads(formats.schemas()[name])
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_schemas_have_titles_and_descriptions() -> None:
    for name in formats.schemas():
        assert {"title", "description"} <= set(validator(name).schema)


def example(name: str) -> Any:
    (found,) = re.findall(rf"```json {re.escape(name)}\n(.*?)```", PROMPTS_PAGE, re.S)
    return json.loads(found)


def test_prompts_of_the_page_are_in_their_forms() -> None:
    own, given = validator(formats.OWN), validator("tfm4media_prompts.schema.json")
    assert own.is_valid(example("own.json")) and given.is_valid(example("prompts.json"))
    assert given.is_valid(example("words.json"))
    assert not own.is_valid(example("prompts.json")) and not given.is_valid(example("own.json"))
    wrong = json.loads(json.dumps(example("own.json")).replace('"upper"', '"uper"'))
    assert not own.is_valid(wrong)


def test_words_are_in_their_forms() -> None:
    own, given = validator(formats.OWN), validator("tfm4media_prompts.schema.json")
    head = {"format": "nnunet-prompt", "version": 1}
    for case in ("LV", ["LV"], {"text": "LV"}, {"500": "LV"}, {"500": {"text": ["LV"]}}):
        assert own.is_valid(head | {"cases": {"a": case}}), case
    for case in ("LV", ["LV"], {"text": {"500": "LV"}}, {"3": "LV"}, {"3": {"500": "LV"}}):
        assert given.is_valid({"a": case}), case
    assert given.is_valid({"a": {"3": {"500": [None, [[1, 2]], "LV"]}}})
    for case in (7, {"text": 7}, {"text": []}):
        assert not own.is_valid(head | {"cases": {"a": case}}) and not given.is_valid({"a": case})


def test_a_capability_is_in_its_form() -> None:
    content = json.loads(json.dumps(capability_to_json(Capability(mixture={"none": 0.5}))))
    found = validator("prompt_capability.schema.json")
    assert found.is_valid(content) and set(content) == set(found.schema["properties"])
    assert not found.is_valid(content | {"point_shape": "star"})


def test_a_block_is_in_its_form() -> None:
    table = StructureTable(
        (Structure("LV", 1, (1,), 500), Structure("scar", 2, (2,), 2221)),
        "canonical",
        ("scar",),
        annotated={"a": frozenset({"LV"})},
    )
    found = validator("dataset_block.schema.json")
    assert found.is_valid(table.to_block())
    assert set(table.to_block()) == set(found.schema["properties"])
    assert not found.is_valid(table.to_block() | {"structures": {"LV": {"members": []}}})


def test_metrics_and_places_are_in_their_forms(tmp_path: Path) -> None:
    mask = np.zeros((4, 4, 4), np.uint8)
    mask[1:3, 1:3, 1:3] = 1
    for name, array in (("labels", mask), ("a", mask), ("b", np.roll(mask, 1, 0))):
        (tmp_path / name).mkdir()
        for case in ("c1", "c2"):
            nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / name / f"{case}.nii.gz")
    found = nnunet_prompt.evaluate(tmp_path / "labels", tmp_path / "b", labels=[1])
    metrics = validator("metrics.schema.json")
    check_form("metrics", json.loads(json.dumps(found)))
    assert not metrics.is_valid(found | {"cases": [1]})
    teams = {name: tmp_path / name for name in "ab"}
    places = validator("leaderboard.schema.json")
    board = json.loads(json.dumps(leaderboard(tmp_path / "labels", teams)))
    check_form("leaderboard", board)
    assert not places.is_valid(board | {"teams": [{"team": "a"}]})


def makers_of_json(source: str) -> Iterator[str]:
    """The functions in a file's text that make JSON, with the class of a method before its name."""

    def walk(node: ast.AST, names: tuple[str, ...]) -> Iterator[str]:
        if isinstance(node, ast.Call) and re.fullmatch(
            r"(.*\.)?write_json|json\.dumps?|.*\.model_dump_json", ast.unparse(node.func)
        ):
            yield ".".join(names)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = (*names, node.name)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, names)

    yield from walk(ast.parse(source), ())


def test_every_json_file_that_is_written_is_listed() -> None:
    """With a schema, or with the reason why it has none: website/json_files.py."""
    folders = ("nnunet_prompt", "dataset_conversion", "trainers", "container")
    found = {
        f"{path.relative_to(ROOT).as_posix()}:{name}"
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        for name in makers_of_json(path.read_text("utf-8"))
    }
    written = [name for file in json_files.FILES for name in file.by]
    assert sorted({*written, *json_files.NO_FILE}) == sorted(found)
    assert not set(written) & set(json_files.NO_FILE)
    assert all(bool(file.schema) != bool(file.form) for file in json_files.FILES)
    schemas = {f"{file.schema}.schema.json" for file in json_files.FILES if file.schema}
    assert schemas == set(formats.schemas())


def test_a_function_that_writes_json_is_found() -> None:
    text = "def f():\n  io.write_json(p, x)\nclass A:\n  def g(self):\n    return json.dumps(1)\n"
    assert list(makers_of_json(text)) == ["f", "A.g"]
    assert list(makers_of_json("def f():\n  read_json(p); json.loads(t); dumps(x)\n")) == []


def test_every_schema_is_held_against_a_file_that_the_program_wrote() -> None:
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for name in formats.schemas():
        assert f'check_form("{name.split(".")[0]}", ' in tests, name


def test_a_key_that_no_schema_lists_is_found() -> None:
    check_form("sha256", {"a": "0" * 64})
    for name, content in (
        ("sha256", {"a": "0"}),
        ("doctor", {"form": 1, "ok": True, "checks": [], "more": 1}),
    ):
        with pytest.raises(AssertionError):
            check_form(name, content)


def test_every_result_has_a_page() -> None:
    folder = ROOT / "benchmarks" / "results"
    pages = results.pages(folder)
    assert set(pages) == {f"results/{p.name}" for p in folder.glob("*.md")} | {"results/index.md"}
    assert all(f"]({p.name})" in pages["results/index.md"] for p in folder.glob("*.md"))


def test_the_notebook_is_that_of_its_page() -> None:
    made = notebook.notebook_json(notebook.SOURCE.read_text("utf-8"))
    assert notebook.NOTEBOOK.read_text("utf-8") == made, "python website/notebook.py writes it"
    cells = json.loads(made)["cells"]
    assert "page only" not in made and [c["cell_type"] for c in cells].count("code") == 4
