"""The pages that the build makes: verbs, API, file formats and results; a thing without a description ends it."""

from __future__ import annotations

import argparse
import json
import re
import sys
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

from website import api, formats, notebook, results, undocumented, verbs  # noqa: E402

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
    assert metrics.is_valid(json.loads(json.dumps(found)))
    assert not metrics.is_valid(found | {"cases": [1]})
    teams = {name: tmp_path / name for name in "ab"}
    places = validator("leaderboard.schema.json")
    board = json.loads(json.dumps(leaderboard(tmp_path / "labels", teams)))
    assert list(places.iter_errors(board)) == []
    assert not places.is_valid(board | {"teams": [{"team": "a"}]})


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
